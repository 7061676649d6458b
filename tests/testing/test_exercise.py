"""Exercises in notebooks: each check prints one message and raises no exception."""

import sys
import textwrap

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.testing import exercise, fast


def test_checks_that_hold_say_solved(capsys):
    with exercise("1"):
        assert True
    assert capsys.readouterr().out == "Exercise 1: solved.\n"


def test_a_failed_assertion_says_its_words(capsys):
    with exercise("2a"):
        raise AssertionError("f(2) must be 4")
    assert capsys.readouterr().out == "Exercise 2a: not yet. f(2) must be 4\n"


def test_an_assertion_without_words_says_its_source(capsys):
    with exercise("1"):
        assert 1 + 1 == 3
    said = capsys.readouterr().out
    assert said.startswith("Exercise 1: not yet. ") and "1 + 1 == 3" in said.replace("(", "").replace(")", "")


def test_a_long_message_says_how_many_lines_are_left_out(capsys):
    with exercise("1"):
        raise AssertionError("\n".join("abcdef"))
    assert capsys.readouterr().out == "Exercise 1: not yet. a\n    b\n    c\n    d\n    (and 2 more lines)\n"


def test_what_is_still_an_ellipsis_is_named_so(capsys, said):
    with exercise("1"):
        assert ... > 0
    assert "still contains `...`" in capsys.readouterr().out
    assert "still contains `...`" in said("def f(x):\n    x += ...\n    return x", "f(np.ones(2))")


def test_an_error_names_the_line_of_the_answer_and_the_shapes_in_its_own_names(said):
    answer = """
        def backward(dz, x):
            rows = len(x)
            return dz @ x.T / rows
        """
    assert said(answer, "assert backward(np.ones((16, 5)), np.ones((4, 3))).all()") == (
        "Exercise 1: not yet. Your code stops with an error in `backward`, line 3 of its cell:\n"
        "        return dz @ x.T / rows\n"
        "    ValueError: the shapes do not fit: `dz` is (16, 5), `x.T` is (3, 4). For `@`, the last axis of the first "
        "and the second-to-last axis of the second must be equal.\n"
        "    The exercise runs: assert backward(np.ones((16, 5)), np.ones((4, 3))).all()\n"
    )


def test_an_error_inside_numpy_shows_the_values_given_to_it(said):
    out = said("def f(x):\n    n = 3\n    return x.reshape(-1, n)", "f(np.ones((5, 2)))")
    assert "`f`, line 3 of its cell:\n        return x.reshape(-1, n)\n" in out
    assert "    Here `x` is (5, 2), `n` is 3.\n" in out


def test_an_error_in_a_helper_a_nested_function_or_a_lambda_shows_who_called_it(said):
    answer = """
        def layer(x):
            def double(y):
                return 2 * y.size()
            half = lambda y: double(y) / 2
            return half(x)
        """
    out = said(answer, "layer(np.ones(3))")
    assert "error in `double`, line 3 of its cell:\n        return 2 * y.size()\n" in out
    assert "    called by: half = lambda y: double(y) / 2\n    called by: return half(x)\n" in out
    assert out.endswith("    The exercise runs: layer(np.ones(3))\n")


def test_an_error_in_a_function_of_the_exercise_names_the_line_of_the_answer_that_called_it(said):
    check = """
        def f(x):
            return x[7]
        slope(f, np.ones(3))
        """
    out = said("def slope(f, x):\n    return f(x + 1)", check)
    assert "error in `slope`, line 2 of its cell:\n        return f(x + 1)\n" in out
    assert "IndexError" in out and out.endswith("The exercise runs: return x[7]\n")


def test_an_error_in_backward_under_the_checker_names_its_line(said):
    answer = """
        class Bias(nn.Module):
            def __init__(self):
                self.b = nn.Parameter(np.zeros(3))
            def forward(self, x):
                self.save_for_backward(x)
                return x + self.b.data
            def backward(self, dy):
                (x,) = self.saved()
                self.b.grad += dy
                return dy
        """
    out = said(answer, "nn.testing.assert_gradients_match(Bias(), np.ones((4, 3)))")
    assert "`Bias.backward`, line 9 of its cell:\n        self.b.grad += dy\n" in out
    assert "`self.b.grad` is (3,), `dy` is (4, 3)" in out and "is a sum over an axis missing?" in out


@pytest.mark.parametrize(
    "answer, check, hint",
    [
        ("def f(x):\n    x * 2", "assert f(3) == 6, 'f(3) must be 6'", "`f` has no `return`, so it gives None"),
        ("def f(x):\n    print(x)", "y = f(3)\nassert abs(y - 6) < 1", "printing does not return it"),
        ("def f(x):\n    return", "a, b = f(3)", "`f` has no `return`"),
        ("def f(x):\n    x", "def call(g):\n    return g(3)\ncall(f).sum()", "`f` has no `return`"),
        ("def f(x):\n    return x", "a, b = f(3)", "`f` must return 2 values. It returns one value."),
        ("def f(x):\n    return x, x", "a, b, c = f(3)", "`f` must return 3 values. It returns 2."),
        ("def f(x):\n    return 2 * x", "a, b = f(np.ones(3))", "`f` must return 2 values. It returns one value."),
        ("def f():\n    return 1", "f(3)", "It is defined as `f()`. The exercise gives it other arguments"),
        ("def f(x):\n    return X", "f(3)", "Did you mean `x`?"),
        ("", "y = slope(3)", "The check needs a name that does not exist yet:\n        y = slope(3)"),
        ("def f(x):\n    return exp(x)", "f(3)", "Did you mean `np.exp`?"),
        ("def f(x):\n    return [x].mean()", "f(3)", "a list of 1 element. Arrays have .mean"),
        ("def f(x):\n    return np.maximun(x, 0)", "f(3)", "Did you mean `np.maximum`?"),
        ("def f(x):\n    return 1 if x > 0 else 0", "f(np.ones(2))", "np.where and & work on each element"),
        ("def f(x):\n    return 2 * x", "y = f(np.ones(2))\nassert abs(y) < 1", "needed here, not an array."),
        ("def f(x):\n    return str(x)", "y = f(3)\nnp.subtract(y, 3.0)", "One of the values is a string."),
        ("def f(x):\n    k = 1.0\n    return x[k / 2 :]", "f(np.ones(3))", "`x` is (3,), `k / 2` is 0.5"),
        ("def f(x):\n    return x ^ 2", "f(0.5)", "a power is written `**`"),
        ("def f(x):\n    return np.log(-x)", "y = f(np.ones(2))\nassert y.sum() == 0", "`f` returns NaN"),
        ("def f(x):\n    return x.astype(int)", "y = f(np.ones(2))\nassert y.sum() == 2.5", "cannot hold fractions"),
        ("def f(x):\n    return x,", "y = f(3)\nassert y == 3, 'f(3) must be 3'", "a tuple with one element"),
        ("def f(state):\n    return state['m']", "f({})", "there is no key 'm'\n    Here `state` is an empty dict."),
        (
            "def forward(x):\n    N = len(x)\n    return x / N\ndef backward(dy):\n    return dy / N",
            "backward(forward(np.ones(2)))",
            "`N` exists only in `forward`. Compute it here too, or save it.",
        ),
        (
            "class A:\n    def forward(self, x):\n        return x\n    def backward(self, dy):\n        return dy * x",
            "A().backward(np.ones(2))",
            "`x` exists only in `forward`. Compute it here too, or save it.",
        ),
        (
            "def f(x):\n    return x[x > 5].max()",
            "f(np.ones(2))",
            "`x[x > 5]` is empty.",
        ),
    ],
)  # fmt: skip
def test_hints_for_common_mistakes(said, answer, check, hint):
    with np.errstate(all="ignore"):
        assert hint in said(answer, check)


@pytest.mark.parametrize(
    "answer, check, hint",
    [
        (
            "def f(x):\n    x + 1",
            "y = f(np.ones(2))\nnn.testing.assert_values_match(y, np.ones(2))",
            "`f` has no `return`",
        ),
        ("def f(x):\n    x + 1", "nn.testing.assert_values_match(f(np.ones(2)), np.ones(2))", "`f` has no `return`"),
        ("def f():\n    return np.ones(2, int)", "y = f()\nnn.testing.assert_values_match(y, y / 2)", "hold fractions"),
        ("def f():\n    return ...", "y = f()\nassert np.shape(y) == (2,), 'shape'", "still contains `...`"),
        ("def f():\n    return ...", "y = f().tolist()", "still contains `...`"),
    ],
)
def test_hints_about_values_that_a_check_compares(said, answer, check, hint):
    assert hint in said(answer, check)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the position of the failing expression is unknown")
def test_a_function_that_indexes_its_argument_and_gets_a_number(said):
    found = said("def f(g, x):\n    return g(x[0])", "f(lambda x: x[0], np.ones(2))")
    assert "`g` was called with one number. It needs a whole array." in found and "must return" not in found


def test_rows_that_are_whole_numbers_get_no_hint_about_fractions(said):
    answer = "def f():\n    return np.array([2, 0]), np.array([0.5, 0.25])"
    out = said(answer, "rows, best = f()\nassert list(rows) == [1, 0], 'the rows must be 1 and 0'")
    assert out == "Exercise 1: not yet. the rows must be 1 and 0\n"


def test_a_list_of_arrays_in_a_check_that_needs_a_number_raises_no_other_error(said):
    check = "g = [np.ones(2), np.ones((3, 1))]\nassert f(g) == 5.0, 'five'"
    assert "A number is needed here" in said("def f(g):\n    return g[0]", check)


def test_an_array_that_numpy_cannot_read_in_a_failed_check_raises_no_other_error(said):
    check = """
        class Far:
            def __array__(self, *args, **options):
                raise TypeError("on the device")
        far = Far()
        assert far is None, 'far'
        """
    assert said("", check) == "Exercise 1: not yet. far\n"


def test_the_gradient_of_a_number_is_named_without_an_index(said):
    answer = "def forward(x, b):\n    return x * b, x\n\ndef backward(dy, x):\n    return 0 * dy, 0.0"
    out = said(answer, "nn.testing.assert_gradients_match((forward, backward), np.ones(3), np.array(0.5))")
    assert "The gradient of b is wrong: your backward gives 0" in out


def test_the_hints_run_nothing_of_the_answer_again(said, monkeypatch):
    calls = []
    monkeypatch.setattr(np, "calls", calls, raising=False)
    answer = """
        class Bag:
            def take(self, x):
                np.calls.append(1)
                return x
        bag = Bag()
        def f(x):
            return bag.take(x) @ bag.take(x)
        """
    assert "line 7 of its cell:\n        return bag.take(x) @ bag.take(x)" in said(answer, "f(np.ones((4, 3)))")
    assert calls == [1, 1]  # one for each of the two calls, and none for the hint


def test_a_check_without_an_answer_shows_its_line(capsys):
    with exercise("1"):
        raise ValueError("first\nsecond")
    assert capsys.readouterr().out == (
        "Exercise 1: not yet. The exercise stops with an error where it uses your answer:\n"
        '        raise ValueError("first\\nsecond")\n'
        "    ValueError: first\n"
    )


def test_a_wrong_gradient_names_the_array_both_values_and_the_mistake_with_its_evidence_and_no_right_one(capsys):
    class Flipped(nn.Linear):
        def backward(self, dy):
            return -super().backward(dy)

    with exercise("1"):
        nn.testing.assert_gradients_match(Flipped(3, 2, rng=0), np.random.default_rng(0).normal(size=(4, 3)))
    said = capsys.readouterr().out
    assert said == (
        "Exercise 1: not yet. The gradient of x is wrong: at [2, 2] your backward gives -1.37, but the numerical "
        "gradient is 1.37.\n"
        "        Likely mistake: sign flipped. Evidence: your gradient = -1 * the right one in all 12 element(s).\n"
    )


def test_more_wrong_arrays_than_are_described_are_counted(capsys):
    def forward(a, b, c, d, e):
        return a * b * c * d * e, (a, b, c, d, e)

    def backward(dy, cache):
        a, b, c, d, e = cache
        return dy, dy, dy, dy, dy

    with exercise("1"):
        arrays = (np.random.default_rng(k).normal(size=3) for k in range(5))
        nn.testing.assert_gradients_match((forward, backward), *arrays)
    assert capsys.readouterr().out.endswith("    and 2 more: d, e\n")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the position of the failing expression is unknown")
def test_a_choice_from_no_rows_names_the_comparison_and_shows_the_line_once(said):
    answer = """
        def split(t, rng):
            rows = np.arange(len(t))
            return np.concatenate([rng.choice(rows[t == c], 1, replace=False) for c in range(3)])
        """
    out = said(answer, "for k in (3,):\n    split(np.array([k, 1, 1]), np.random.default_rng(0))")
    if sys.version_info < (
        3,
        12,
    ):  # later versions forget the variable of a comprehension before the error is explained
        assert "`rows[t == c]` is empty: no element of `t` is equal to `c`. Here `c` is 0.\n" in out
    assert out.count("rng.choice(rows") == 1 and "called by" not in out
    assert out.endswith("This is the check with `k` = 3.\n")


def test_a_choice_from_no_rows_in_a_loop_names_the_comparison(said):
    answer = """
        def split(t, rng):
            rows = np.arange(len(t))
            for c in range(3):
                rng.choice(rows[t == c], 1, replace=False)
        """
    out = said(answer, "split(np.array([3, 1, 1]), np.random.default_rng(0))")
    assert "`rows[t == c]` is empty: no element of `t` is equal to `c`. Here `c` is 0.\n" in out


def test_an_error_of_the_check_in_a_loop_names_the_values_of_the_loop(said):
    out = said("def f(x):\n    return None", "for n in (4, 5):\n    f(n).sum()")
    assert out.endswith("This is the check with `n` = 4.\n")


class InPlace(nn.Module):
    """y = a relu(x) b, with a backward that changes dy."""

    def __init__(self):
        self.b = nn.Parameter(np.array([0.5, 2.0, -1.0]))

    def forward(self, x):
        self.save_for_backward(x)
        return np.maximum(x, 0) + self.b.data

    def backward(self, dy):
        (x,) = self.saved()
        dy[x <= 0] = 0
        self.b.grad += dy.sum(axis=0)
        return dy


def test_a_changed_dy_is_named_if_it_explains_a_wrong_gradient(capsys):
    x = np.random.default_rng(2).normal(size=(4, 3))
    with exercise("1"):
        nn.testing.assert_gradients_match(InPlace(), x)
    found = capsys.readouterr().out
    assert "backward changes dy in place, and then computes this gradient with the changed values" in found

    class Noise(InPlace):
        def backward(self, dy):
            dx = super().backward(dy)
            self.b.grad[...] = [3.0, 1.0, 4.0]
            return dx

    with exercise("1"):
        nn.testing.assert_gradients_match(Noise(), x)
    assert "backward changes dy in place: the rest of backward and its caller use" in capsys.readouterr().out


def test_a_changed_dy_is_not_shown_if_the_gradients_are_right(capsys):
    class Right(InPlace):
        def backward(self, dy):
            self.b.grad += dy.sum(axis=0)
            (x,) = self.saved()
            dy[x <= 0] = 0
            return dy

    with exercise("1"):
        nn.testing.assert_gradients_match(Right(), np.random.default_rng(2).normal(size=(4, 3)))
    assert capsys.readouterr().out == "Exercise 1: solved.\n"


def test_a_backward_that_returns_none_is_told_so_and_not_given_a_diagnosis(capsys):
    with exercise("1"):
        nn.testing.assert_gradients_match((lambda x, w: (x * w, 0), lambda dy, cache: (None, None)), *np.ones((2, 3)))
    said = capsys.readouterr().out
    assert "Backward gives None for the gradients of x, w. Is `return` missing" in said and "Likely" not in said


@pytest.mark.parametrize("wrap, kind", [(lambda dx: (dx,), "tuple"), (lambda dx: dx.tolist(), "list")])
def test_a_tuple_or_a_list_instead_of_an_array_is_refused(capsys, wrap, kind):
    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            return wrap(2 * dy)

    x = np.random.default_rng(0).normal(size=(4, 3))
    pair = lambda x: (2 * x, None), lambda dy, cache: wrap(2 * dy)
    for subject in (Double(), pair):
        with exercise("1"):
            nn.testing.assert_gradients_match(subject, x)
        assert f"backward returns a {kind} instead of an array" in capsys.readouterr().out
    assert nn.gradcheck.check_gradients(Double(), x).verdict == "wrong"
    assert nn.gradcheck.check_gradients(pair, x).verdict == "right"  # outside of exercises, a function may do so


class ScaleSummedTooFar(nn.Module):
    """y = g * x with backward's mistake: on one axis, the sum leaves a number, and += gives it to every element."""

    def __init__(self):
        self.g = nn.Parameter(np.full(4, 0.1))

    def forward(self, x):
        self.save_for_backward(x)
        return self.g.data * x

    def backward(self, dy):
        (x,) = self.saved()
        self.g.grad += (dy * x).sum(axis=0)
        return self.g.data * dy


@pytest.mark.filterwarnings("error")
def test_a_wrong_gradient_in_a_loop_names_the_values_of_the_loop_and_the_sum_that_goes_too_far(capsys):
    with exercise("2"):
        for shape in [(3, 4), (4,)]:
            nn.testing.assert_gradients_match(ScaleSummedTooFar(), np.random.default_rng(2).normal(size=shape))
    said = capsys.readouterr().out
    assert "summed over the wrong axis. Evidence: every element is the sum of the true gradient over axis 0" in said
    assert "This is the check with `shape` = (4,)." in said


def test_an_expression_in_a_message_has_one_pair_of_backticks(capsys):
    class LogSoftmax(nn.Module):
        def forward(self, x):
            y = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
            self.save_for_backward(y)
            return y

        def backward(self, dy):
            (y,) = self.saved()
            return dy - np.exp(y)

    with exercise("2"):
        nn.testing.assert_gradients_match(LogSoftmax(), np.random.default_rng(2).normal(size=(4, 3)))
    said = capsys.readouterr().out
    assert "the gradient of the result of `np.log(np.exp(x).sum(axis=-1, keepdims=True))` is taken as -1" in said


@pytest.mark.parametrize(
    "answer, name",
    [
        ("def forward(x):\n    return 2 * x\ndef backward(dy):\n    return n * dy", "backward"),
        ("class A:\n    def forward(self, x):\n        return x * [k * n for k in (1, 2)][1]", "A.forward"),
        ("def half(x):\n    return n * x\ndef backward(dy):\n    return half(dy)", "half"),
    ],
)
def test_an_answer_that_uses_a_variable_of_the_check_is_not_solved(said, answer, name):
    out = said(answer, "n = 2\nused = A().forward(1) if 'A' in globals() else backward(n)")
    assert out.startswith(f"Exercise 1: not yet. `{name}` uses `n`, which is a variable of this check.")


def test_functions_of_the_check_and_names_of_the_notebook_are_no_variables_of_the_check(said):
    answer = "size = 2\ndef f(g, n):\n    return g(n) * size"
    assert said(answer, "n = 3\ndef g(k):\n    return n * k\nassert f(g, 1) == 6") == "Exercise 1: solved.\n"
    assert said("def unused(x):\n    return n", "n = 3\nassert n") == "Exercise 1: solved.\n"


def test_an_interrupt_is_not_an_answer():
    with pytest.raises(KeyboardInterrupt), exercise("1"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("value, expected", [(None, False), ("", False), ("0", False), ("1", True)])
def test_fast_mode_is_asked_for_by_the_environment(monkeypatch, value, expected):
    monkeypatch.delenv("NNSCRATCH_FAST", raising=False)
    if value is not None:
        monkeypatch.setenv("NNSCRATCH_FAST", value)
    assert fast() is expected


def test_in_a_browser_the_fast_mode_is_the_default_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.delenv("NNSCRATCH_FAST", raising=False)
    assert fast() is True
    assert "fewer steps" in capsys.readouterr().out
    monkeypatch.setenv("NNSCRATCH_FAST", "0")
    assert fast() is False
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("end", ["pass", "raise ValueError", "assert False"])
def test_a_check_leaves_the_names_of_the_notebook_as_they_were(end):
    scope = {"exercise": exercise, "x": 1.0, "t": [2.0]}
    kept = dict(scope)
    check = f"for x in range(3): y = x\ndef helper(): return y\ndel t\n{end}"
    exec("with exercise('1'):\n" + textwrap.indent(check, "    "), scope)
    del scope["__builtins__"]
    assert scope == kept


def test_the_symbols_in_the_evidence_of_a_mistake_are_explained(said):
    answer = """
        class Leaky(nn.Module):
            def forward(self, x):
                self.save_for_backward(x)
                return np.where(x > 0, x, 0.1 * x)

            def backward(self, dy):
                (x,) = self.saved()
                return dy * (x > 0)
        """
    found = said(answer, "nn.testing.assert_gradients_match(Leaky(), np.random.default_rng(1).normal(size=(4, 3)))")
    assert "1 where u is above 0, else 0 (u is the input of the activation function)." in found
