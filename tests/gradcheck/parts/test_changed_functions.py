"""Test runs of backward with a changed function: the rest of the program must not notice them."""

import ast
import functools
import gc
import importlib
import importlib.util
import linecache
import sys
import threading
import time
import types
import warnings

import numpy as np
import pytest

from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.diagnosis import changed_functions
from nnscratch.gradcheck.diagnosis.changed_functions import (
    Function,
    Muted,
    Recorder,
    Runs,
    TooManyLines,
    class_of,
    definition_of,
    functions_of_backward,
    is_used,
    is_users_file,
    only_computes,
    quiet,
    same_code,
)
from nnscratch.gradcheck.projection import Projection

searches = importlib.import_module("nnscratch.gradcheck.diagnosis.backward_edits")
X = np.array([[1.0, -2.0, 0.5], [0.3, 1.2, -0.7]])


def projection_of(backward, forward=lambda x: (3.0 * x, x)):
    return Projection(make_adapter((forward, backward), (X.copy(),)), np.random.default_rng(0))


def function_of(function, **variables):
    return Function(function, definition_of(function.__code__), variables)


def replaced(f, old, new):
    """Return the code object in which the expression ``old`` is ``new``."""

    class Replace(ast.NodeTransformer):
        def visit(self, node):
            if isinstance(node, ast.expr) and ast.unparse(node) == old:
                return ast.parse(new, mode="eval").body
            return self.generic_visit(node)

    body = f.definition.body
    f.definition.body = [Replace().visit(ast.parse(ast.unparse(s)).body[0]) for s in body]
    code = f.compiled()
    f.definition.body = body
    return code


def run(backward, old, new, **options):
    """Return the gradient of x with one changed expression of backward, or None."""
    p = projection_of(backward, **options)
    (f,) = [f for f in functions_of_backward(p) if f.function is backward]
    code = backward.__code__
    found = Runs(p, [f]).gradients(backward, replaced(f, old, new)).get("x")
    assert backward.__code__ is code
    np.testing.assert_array_equal(p.variables["x"], X)
    return None if found is None else found / p.weights[0]


def triple(dy, cache):
    return 3 * dy


# --- the changed function runs, and only here ------------------------------------------------------------------------


def test_the_changed_function_runs_once_and_the_old_one_afterwards():
    np.testing.assert_allclose(run(triple, "3", "5"), np.full(X.shape, 5))
    assert triple(2, None) == 6


class Timed:
    """An object in a cycle: Python's garbage collector deletes it, and then it reads the clock."""

    def __init__(self):
        self.cycle = self

    def __del__(self):
        time.time()


def with_many_objects(dy, cache):
    [[k] for k in range(2000)]  # starts the garbage collector
    return 3 * dy


def test_objects_that_are_deleted_during_backward_are_not_part_of_it():
    p = projection_of(with_many_objects)
    gc.collect()
    gc.disable()
    for _ in range(10):
        Timed()
    gc.enable()
    assert [f.function for f in functions_of_backward(p)] == [with_many_objects]
    assert gc.isenabled()


def test_a_changed_function_runs_only_in_the_thread_that_compiled_it():
    def both(n):
        return n + 1

    code, f, found = both.__code__, function_of(both), []
    both.__code__ = replaced(f, "1", "10")
    other = threading.Thread(target=lambda: found.append(both(1)))
    other.start()
    other.join()
    here = both(1)
    both.__code__ = code
    assert found == [2] and here == 11


@pytest.mark.parametrize(
    "error",
    [ValueError, RecursionError, SystemExit, MemoryError],
)
def test_an_error_of_a_changed_function_means_that_there_is_no_gradient(error):
    errors = [error]  # noqa: F841

    def backward(dy, cache):
        return 3 * dy if len(errors) else fail(errors[0])

    assert run(backward, "len(errors)", "0") is None


def fail(error):
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit])
def test_an_interruption_ends_the_search_with_the_old_function(error):
    errors = [error]  # noqa: F841

    def backward(dy, cache):
        return 3 * dy if len(errors) else fail(errors[0])

    p, code = projection_of(backward), backward.__code__
    (f,) = [f for f in functions_of_backward(p) if f.function is backward]
    runs, changed = Runs(p, [f]), replaced(f, "len(errors)", "0")
    with pytest.raises(error):
        runs.gradients(backward, changed)
    assert backward.__code__ is code


def test_a_changed_loop_that_never_ends_is_stopped():
    def backward(dy, cache):
        t, found = 0, 0
        while t < 3:
            found = found + dy
            t = t + 1
        return found

    assert run(backward, "t + 1", "t - 1") is None
    np.testing.assert_allclose(run(backward, "t + 1", "t + 2"), np.full(X.shape, 2))


def test_a_helper_that_never_ends_is_stopped():
    def halved(x, tolerance):
        size = 1.0
        while size > tolerance:
            size /= 2
        return x

    def backward(dy, cache):
        return halved(3 * dy, 0.001)

    assert run(backward, "0.001", "-0.001") is None


def test_a_run_may_execute_ten_times_as_many_lines():
    def backward(dy, cache):
        n = 200
        for _ in range(n):
            dy = dy + 0
        return 3 * dy

    assert run(backward, "200", "200 * 9") is not None
    assert run(backward, "200", "200 * 20") is None


def test_an_endless_recursion_is_stopped():
    def power(x, n):
        return x if n == 1 else x + power(x, n - 1)

    def backward(dy, cache):
        return power(dy, 3)

    assert run(backward, "3", "-3") is None


# --- kinds of functions ----------------------------------------------------------------------------------------------


class Base:
    def backward(self, dy):
        return 3 * dy


class Private(Base):
    def __init__(self):
        self.__factor = 2.0

    def backward(self, dy):
        return super().backward(dy) + self.__factor * dy


def test_a_method_keeps_its_private_names_and_its_class():
    f = function_of(Private.backward)
    code, made = Private.backward.__code__, Private()
    Private.backward.__code__ = replaced(f, "self.__factor * dy", "self.__factor * dy * 10")
    try:
        found = made.backward(1.0)
    finally:
        Private.backward.__code__ = code
    assert found == 23 and made.backward(1.0) == 5


def test_a_closure_keeps_its_variables():
    def counter(step):
        total = 0

        def add(n):
            nonlocal total
            total = total + n * step
            return total

        return add

    add = counter(10)
    code, f = add.__code__, function_of(add)
    first = add(1)
    add.__code__ = replaced(f, "n * step", "n * step * 2")
    second = add(1)
    add.__code__ = code
    third = add(1)
    assert (first, second, third) == (10, 30, 40)


def test_a_generator_stays_a_generator():
    def numbers(n, *, start=1):
        for k in range(n):
            yield start + k

    code, f = numbers.__code__, function_of(numbers)
    numbers.__code__ = replaced(f, "start + k", "start - k")
    found = list(numbers(3)), list(numbers(2, start=5))
    numbers.__code__ = code
    assert found == ([1, 0, -1], [5, 4])


def test_a_default_that_is_a_function_and_annotations_are_left_alone():
    def scaled(x: float, by=lambda v: 2 * v, *more: int) -> float:
        return by(x) + 1

    code, f = scaled.__code__, function_of(scaled)
    scaled.__code__ = replaced(f, "1", "10")
    found = scaled(3), scaled(3, lambda v: v)
    scaled.__code__ = code
    assert found == (16, 13) and scaled(3) == 7


@pytest.mark.parametrize("future, number", [("", float), ("from __future__ import annotations\n", "float")])
def test_annotations_of_inner_functions_are_evaluated_as_in_the_users_file(tmp_path, future, number):
    path = tmp_path / "layer.py"
    path.write_text(f"{future}def f(x):\n    def g(y: float):\n        return y + x\n    return g\n")
    spec = importlib.util.spec_from_file_location("layer_of_a_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    f = function_of(module.f)
    module.f.__code__ = replaced(f, "y + x", "y * x")
    g = module.f(3)
    assert g(5) == 15 and g.__annotations__ == {"y": number}


class Kinds:
    @staticmethod
    def static(x):
        return x

    @classmethod
    def of_class(cls, x):
        return x

    @functools.lru_cache  # noqa: B019
    def cached(self, x):
        return x

    @property
    def size(self):
        return 1

    def __call__(self, x):
        return x

    def __len__(self):
        return 1


def test_functions_whose_results_a_decorator_may_keep_are_not_changed():
    assert definition_of(Kinds.static.__code__) is not None
    assert definition_of(Kinds.of_class.__func__.__code__) is not None
    assert definition_of(Kinds.cached.__wrapped__.__code__) is None
    assert definition_of(Kinds.size.fget.__code__) is None


def test_special_methods_are_not_changed():
    assert definition_of(Kinds.__call__.__code__) is not None
    assert definition_of(Kinds.__len__.__code__) is None


def test_a_function_without_a_source_is_not_changed():
    names = {}
    exec("def backward(dy): return dy", names)
    assert definition_of(names["backward"].__code__) is None
    assert definition_of((lambda dy: dy).__code__) is None


@pytest.mark.parametrize(
    "source", ["def f(x):\n    return 4 * x\n", "def f(x):\n    return 3.0 * x\n", "def f(x:\n", "", "\0"]
)
def test_a_function_whose_file_has_changed_since_it_was_imported_is_not_changed(tmp_path, source):
    path = tmp_path / "layer.py"
    path.write_text("def f(x):\n    return 3 * x\n")
    spec = importlib.util.spec_from_file_location("layer_of_a_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert definition_of(module.f.__code__) is not None
    path.write_text(source)
    linecache.clearcache()
    assert definition_of(module.f.__code__) is None


def test_codes_are_the_same_only_with_the_same_types_of_numbers():
    a, b, c = (compile(f"def f(): return ({n}, 'a')", "f.py", "exec").co_consts[0] for n in ("1", "1.0", "1"))
    assert same_code(a, c) and not same_code(a, b)
    inner = [compile(f"def f():\n def g(): return {n}\n return g", "f", "exec").co_consts[0] for n in (1, 2, 1)]
    assert same_code(inner[0], inner[2]) and not same_code(inner[0], inner[1])
    number = inner[0].replace(co_consts=tuple(3 if isinstance(c, types.CodeType) else c for c in inner[0].co_consts))
    assert not same_code(inner[0], number) and not same_code(number, inner[0])
    lower = compile("\ndef f(): return (1, 'a')", "f.py", "exec").co_consts[0]
    assert not same_code(a, lower)


@pytest.mark.parametrize(
    "name, owner",
    [("f", "_"), ("C.f", "C"), ("C.f.<locals>.g", "C"), ("f.<locals>.g", "_"), ("f.<locals>.C.g", "C"), ("A.B.f", "B")],
)
def test_the_class_around_a_function(name, owner):
    assert class_of(types.SimpleNamespace(co_qualname=name)) == owner


# --- functions that backward runs ------------------------------------------------------------------------------------


def helper(dy):
    return 2 * dy


def test_the_definition_stays_the_same():
    p = projection_of(triple)
    (f,) = functions_of_backward(p)
    before = ast.dump(f.definition)
    assert is_used(Runs(p, [f]), f) and f.compiled() is not None and ast.dump(f.definition) == before


def test_gradients_that_are_not_finite_floats_are_left_out():
    def backward(dy, cache):
        return 3 * dy

    assert run(backward, "3 * dy", "np.where(dy > dy.min(), dy, np.inf)") is None
    assert run(backward, "3 * dy", "None") is None and run(backward, "3 * dy", "3j * dy") is None


def test_backward_runs_at_the_current_point():
    def backward(dy, twice):
        return 3 * dy

    p = projection_of(backward, lambda x: (3 * x, 2 * x))
    p.variables["x"][...] = 7
    (f,) = functions_of_backward(p)
    np.testing.assert_array_equal(f.variables["twice"], np.full(X.shape, 14))


def test_functions_with_the_same_code_are_all_tried():
    def backward(dy, cache):
        return both(eval("lambda v: v")(dy))

    def both(dy):
        return 3 * dy

    other = types.FunctionType(both.__code__, globals())
    projection = projection_of(backward)
    functions = functions_of_backward(projection)
    assert {f.function for f in functions} == {both, other, backward}  # and no lambda, because it has no source
    runs = Runs(projection, functions)
    assert {f.function for f in functions if is_used(runs, f)} == {both, backward}
    assert other(1) == both(1) == 3


class Frame:
    """A frame of a file, called by another frame."""

    def __init__(self, filename, called_by=None, **variables):
        self.f_code = compile("0", filename, "exec")
        self.f_back, self.f_locals = called_by, variables


OWN, PACKAGE = Frame("/home/ada/layer.py", x=3), Frame(changed_functions.__file__)


def test_a_function_is_recorded_when_it_returns():
    recorder = Recorder()
    for event in ("call", "c_return", "exception"):
        recorder(OWN, event, time.sleep)
    recorder(Frame(np.__file__, OWN), "return", None)
    assert recorder.ran == {} and not recorder.acts
    recorder(OWN, "return", None)
    assert recorder.ran == {OWN.f_code: {"x": 3}} and not recorder.acts


@pytest.mark.parametrize("frame, function, acts", [
    (OWN, time.sleep, True),
    (OWN, len, False),
    (Frame(np.__file__, OWN), time.sleep, True),  # a library that the user's code calls
    (Frame(np.__file__, Frame(functools.__file__, OWN)), time.sleep, True),
    (Frame(np.__file__, PACKAGE), time.sleep, False),  # a library that the checker calls
    (PACKAGE, time.sleep, False),
    (Frame(np.__file__), time.sleep, False),
])  # fmt: skip
def test_an_effect_counts_if_the_users_code_causes_it(frame, function, acts):
    recorder = Recorder()
    recorder(frame, "c_call", function)
    assert recorder.acts is acts
    recorder(PACKAGE, "c_call", time.sleep)
    assert recorder.acts is acts  # an effect is not forgotten


def test_only_lines_of_the_users_code_are_counted():
    runs = Runs(projection_of(triple), [])
    runs._count, runs._lines = 0, 2
    for _ in range(5):
        assert runs._trace(Frame(np.__file__), "call", None) is None
    assert runs._trace(OWN, "call", None) == runs._trace(OWN, "line", None) == runs._trace
    with pytest.raises(TooManyLines):
        runs._trace(OWN, "line", None)


def test_the_functions_that_backward_runs_with_their_variables():
    def backward(dy, cache):
        half = helper(dy)
        return half + dy

    found = {f.function: f.variables for f in functions_of_backward(projection_of(backward))}
    assert set(found) == {backward, helper} and set(found[backward]) == {"dy", "cache", "half"}
    np.testing.assert_array_equal(found[backward]["half"], 2 * found[backward]["dy"])
    assert sys.getprofile() is None


def test_a_function_that_forward_makes_anew_is_not_used():
    def forward(x):
        def inner(dy):
            return 3 * dy

        return 3 * x, inner

    def backward(dy, cache):
        return cache(dy)

    p = projection_of(backward, forward)
    found = functions_of_backward(p)
    runs = Runs(p, found)
    used = {f.function.__name__: is_used(runs, f) for f in found}
    assert used.pop("inner", False) is False and used == {"backward": True}


def test_a_backward_that_acts_outside_of_the_program_is_not_changed(tmp_path):
    def writes(dy, cache):
        np.save(tmp_path / "dy.npy", dy)
        return 3 * dy

    def waits(dy, cache):
        time.sleep(0)
        return 3 * dy

    def starts(dy, cache):
        thread = threading.Thread(target=len, args=([],))
        thread.start()
        thread.join()
        return 3 * dy

    def dumps(dy, cache):
        dy.tofile(tmp_path / "dy.bin")
        return 3 * dy

    for backward in (writes, waits, starts, dumps):
        assert functions_of_backward(projection_of(backward)) == []


def test_a_backward_that_computes_with_libraries_is_changed():
    def backward(dy, cache):
        values = sorted([float(v) for v in dy.ravel()])
        print(len(values), np.einsum("ij,ij->", dy, dy), np.linalg.norm(dy), np.random.default_rng(0).normal())
        with np.errstate(all="ignore"):
            return 3 * dy + np.add.reduce(0 * dy) + functools.reduce(max, [0, 0])

    with quiet():
        found = functions_of_backward(projection_of(backward))
    assert [f.function for f in found] == [backward]


@pytest.mark.parametrize(
    "function, computes",
    [(len, True), (X.sum, True), ([].append, True), (np.random.rand, True), (print, True), (functools.reduce, True),
     (open, False), (input, False), (breakpoint, False), (time.sleep, False), (X.tofile, False), (X.dump, False),
     (threading.get_ident, False), (sys.exit, False)],
)  # fmt: skip
def test_functions_that_only_compute(function, computes):
    assert only_computes(function) == computes


def test_files_of_the_user():
    assert is_users_file("/home/ada/layers.py") and is_users_file("<ipython-input-1>") and is_users_file(__file__)
    installed = "/usr/lib/python3/dist-packages/a.py", "/home/ada/.venv/lib/site-packages/b.py"
    for name in (np.__file__, functools.__file__, changed_functions.__file__, "<frozen importlib>", *installed):
        assert not is_users_file(name)


def test_while_a_profiler_runs_no_function_is_changed():
    def profiler(*event):
        pass

    p = projection_of(triple)
    sys.setprofile(profiler)
    try:
        found, after = functions_of_backward(p), sys.getprofile()
    finally:
        sys.setprofile(None)
    assert found == [] and after is profiler


def test_a_tracer_is_suspended_during_a_changed_run():
    p, traced = projection_of(triple), []
    (f,) = functions_of_backward(p)
    runs, code = Runs(p, [f]), replaced(f, "3", "5")

    def tracer(frame, event, argument):
        if frame.f_code.co_name == "triple":
            traced.append(event)

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        found, after = runs.gradients(triple, code), sys.gettrace()
    finally:
        sys.settrace(before)
    assert after is tracer and traced == [] and "x" in found


def test_while_a_debugger_watches_no_function_is_changed(monkeypatch):
    monitoring = types.SimpleNamespace(DEBUGGER_ID=0, get_tool=lambda number: "debugger" if number == 0 else None)
    monkeypatch.setattr(sys, "monitoring", monitoring, raising=False)
    assert functions_of_backward(projection_of(triple)) == []
    monitoring.get_tool = lambda number: None
    assert len(functions_of_backward(projection_of(triple))) == 1


# --- state -----------------------------------------------------------------------------------------------------------


def test_an_array_that_a_changed_function_writes_into_is_restored():
    module = types.ModuleType("tables")
    module.table, module.log = np.ones(X.shape), [1.0]

    def backward(dy, cache):
        dx, table, log = np.zeros(dy.shape), module.table, module.log  # noqa: F841
        np.add(dx, 3 * dy, out=dx)
        log.extend([])
        return dx

    assert not run(backward, "np.add(dx, 3 * dy, out=dx)", "np.add(table, 3 * dy, out=table)").any()
    np.testing.assert_array_equal(module.table, np.ones(X.shape))
    run(backward, "log.extend([])", "log.extend([5])")
    assert module.log == [1.0]


def test_a_view_of_an_array_keeps_the_values_of_the_current_point():
    def backward(dy, x):
        turned = x.T
        return 3 * dy + 0 * turned.T

    p = projection_of(backward)
    (f,) = functions_of_backward(p)
    runs = Runs(p, [f])
    p.variables["x"][...] = 7
    runs.gradients(backward, backward.__code__)
    np.testing.assert_array_equal(p.variables["x"], np.full(X.shape, 7))


def test_a_view_of_one_of_two_arrays_keeps_the_values_of_the_current_point():
    def backward(dy, cache):
        x, w = cache
        turned = x.T  # noqa: F841
        return dy * w, dy * x

    p = Projection(make_adapter((lambda x, w: (x * w, (x, w)), backward), (X.copy(), X.copy())),
                   np.random.default_rng(0))  # fmt: skip
    (f,) = functions_of_backward(p)
    runs = Runs(p, [f])
    p.variables["x"][...] = 7
    np.testing.assert_allclose(runs.gradients(backward, backward.__code__)["w"], 7 * p.weights[0])
    np.testing.assert_array_equal(p.variables["x"], np.full(X.shape, 7))


def test_text_and_warnings_of_this_thread_are_dropped(capfd):
    with warnings.catch_warnings(record=True) as caught, quiet():
        print("out")
        print("error", file=sys.stderr)
        warnings.warn("odd", stacklevel=1)
        other = threading.Thread(target=print, args=("other",))
        other.start()
        other.join()
    print("after")
    text = capfd.readouterr()
    assert text.out == "other\nafter\n" and text.err == "" and caught == []


def test_numpy_raises_no_error_for_a_changed_computation():
    with np.errstate(all="raise"), quiet():
        assert np.log(np.zeros(1))[0] == -np.inf


def test_a_stream_that_was_kept_writes_again_after_the_search(capfd):
    with quiet():
        kept = sys.stdout, sys.stderr
    for stream in kept:
        stream.write("kept")
        assert isinstance(stream, Muted) and stream.encoding == sys.stdout.encoding
    assert capfd.readouterr() == ("kept", "kept")


def test_a_program_without_streams_stays_without_them(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with quiet():
        print("out")
        kept = sys.stdout
    assert sys.stdout is None and kept.write("text") == 4


# --- the search ------------------------------------------------------------------------------------------------------


def test_only_one_search_runs_at_a_time():
    case = types.SimpleNamespace(found=[], usable=True, same_shape=True)
    assert searches.searching.acquire(blocking=False)
    try:
        searches.backward_edits({"x": case}, None, {})  # does not touch the projection
    finally:
        searches.searching.release()
    with pytest.raises(AttributeError):
        searches.backward_edits({"x": case}, None, {})
    assert not searches.searching.locked()


# --- a function that returns a loss and its gradient -----------------------------------------------------------------


def loss_and_gradient(x):
    e = errors(x)
    return float((e**2).sum()), 2 * e


def errors(x):
    return x - 1


def infinite_loss(x):
    return float(np.inf - np.inf), 2 * x


def projection_of_loss(function):
    return Projection(make_adapter(function, (X.copy(),)), np.random.default_rng(0))


def test_the_function_that_returns_the_loss_comes_first():
    functions = functions_of_backward(projection_of_loss(loss_and_gradient))
    assert [f.function for f in functions] == [loss_and_gradient, errors]


@pytest.mark.parametrize("function, old, new, kept", [
    (loss_and_gradient, "2 * e", "3 * e", True), (loss_and_gradient, "e ** 2", "e ** 4", False),
    (loss_and_gradient, "2 * e", "2 * e.missing", False),  # it raises an error
    (infinite_loss, "2 * x", "3 * x", True),  # the loss is NaN before and after the change
])  # fmt: skip
def test_a_change_keeps_the_loss_or_not(function, old, new, kept):
    projection = projection_of_loss(function)
    runs, f = Runs(projection, functions_of_backward(projection)), function_of(function)
    assert runs.keeps_outputs(function, replaced(f, old, new)) is kept
    assert not runs.keeps_outputs(function, None)  # a change that Python cannot compile
