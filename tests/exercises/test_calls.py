"""Test the calls of a student's functions and the messages about them, in this process: the worker's is killed."""

import importlib
import io
import json
import os
import sys
import types

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.exercises import LADDER, terminal, watch, worker
from nnscratch.exercises.calling import PRINTED, FirstCharacters, call, in_file, sendable
from nnscratch.exercises.checking import Feedback, NotYet, check_values
from nnscratch.exercises.command import run_exercises
from nnscratch.exercises.drivers import DRIVERS
from nnscratch.exercises.exercise import Slip, Values
from nnscratch.exercises.folder import PROGRESS, ExerciseFolder, read_progress
from nnscratch.exercises.ladder import named
from nnscratch.exercises.ladder.dropout import measure
from nnscratch.exercises.notebook import asked_for
from nnscratch.exercises.show import print_feedback
from nnscratch.exercises.values import at_inputs, compare, difference
from nnscratch.gradcheck.command.process import WorkerFailed
from nnscratch.gradcheck.command.refused import Refused

X = np.array([[1.0, -2.0], [3.0, 0.5]])


# --- calls --------------------------------------------------------------------------------------------------------


def called(function, inputs=(X,), returns=("out",), withheld=(), **options):
    return call({"f": function}.get, "f", list(inputs), list(returns), withheld, **options)


def test_the_values_of_a_call_are_returned_as_arrays_without_the_cache():
    assert called(lambda x: (x.sum(), "any cache"), returns=("out", "cache"), withheld={"cache"}) == (2.5, None)
    (found,) = called(lambda x: {"W": x, 1: 2.0})
    assert list(found) == ["W", "1"] and found["1"] == 2.0
    np.testing.assert_array_equal(found["W"], X)


@pytest.mark.parametrize(
    ("function", "returns", "message"),
    [
        (lambda x: None, ("out", "cache"), r"f returns None\. Its last line must be: return out, cache"),
        (lambda x: x, ("out", "cache"), r"f must return out and cache\. It returns one ndarray"),
        (lambda x: (x, x, x), ("out", "cache"), r"f must return out and cache\. It returns 3 values"),
        (lambda x: (x, None), ("out", "dx"), r"f: dx is None\. It must be an array"),
        (lambda x: [1.0, 2.0], ("out",), r"f: out is a list\. Make an array of it: np\.array\(out\)"),
        (lambda x: {"W": (1.0,)}, ("grads",), r"f: grads\['W'\] is a tuple\. Make an array of it"),
        (lambda x: "text", ("out",), "f: out must be an array of numbers, got str"),
        (lambda x: np.array(["a"]), ("out",), "f: out must be an array of numbers, got ndarray"),
        (lambda x: np.subtract(x, 1, out=x), ("out",), r"f changes one of its arguments, an array of shape \(2, 2\)"),
    ],
)
def test_a_call_that_returns_something_else_is_refused(function, returns, message):
    with pytest.raises(Refused, match=message):
        called(function, returns=returns)
    np.testing.assert_array_equal(X, [[1.0, -2.0], [3.0, 0.5]])  # the student's function gets a copy


def test_nan_in_an_argument_is_not_a_change():
    nan = np.array([np.nan, 1.0])
    np.testing.assert_array_equal(called(lambda x, n: x * n, (nan, 2))[0], [np.nan, 2.0])


def test_an_object_that_numpy_cannot_convert_is_refused():
    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise ValueError("no")

    with pytest.raises(Refused, match="f: out must be an array of numbers, got Broken"):
        sendable("f", "out", Broken())


def test_an_overflow_is_an_error_only_if_the_exercise_says_so():
    def overflows(x):
        return np.exp(1000 * x)

    assert np.isinf(called(overflows)[0]).any()
    with pytest.raises(FloatingPointError) as caught:
        called(overflows, overflow="raise")
    text = in_file(caught.value, __file__)
    expected = "overflow encountered in exp: the result is larger than the largest floating-point number (line "
    assert text.startswith(expected)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused("f returns None"), "f returns None"),
        (MemoryError(), "MemoryError: your code needs too much memory"),
        (SystemExit("done"), "it calls sys.exit('done')"),
        (FloatingPointError("underflow"), "FloatingPointError: underflow"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
    ],
)
def test_an_error_is_described_in_one_line(error, text):
    assert in_file(error, "relu.py") == text


def test_only_the_first_characters_of_a_print_are_kept():
    printed = FirstCharacters()
    assert printed.write("a" * (PRINTED - 1)) == PRINTED - 1
    assert printed.write("bc") == 2 and printed.write("d") == 1
    printed.flush()
    assert printed.text == "a" * (PRINTED - 1) + "b" and not printed.isatty()


def test_the_process_answers_with_the_file_that_was_opened_last(tmp_path, monkeypatch):
    path = tmp_path / "student_relu.py"
    path.write_text("print('hello')\n\ndef relu_forward(x):\n    print('in')\n    return x * (x > 0), x\n")
    kept = {}
    monkeypatch.setattr(worker, "limit_resources", lambda: None)
    monkeypatch.setattr(worker, "answer_requests", lambda *functions: kept.update(functions=functions))
    for name, value in (("stdout", sys.stdout), ("argv", sys.argv), ("path", list(sys.path))):
        monkeypatch.setattr(sys, name, value)
    worker.main()
    answer, describe = kept["functions"]
    assert answer("open", {"path": str(path)}) is None
    assert sys.argv == [str(path)]
    values = {"function": "relu_forward", "inputs": [X], "returns": ["out", "cache"], "overflow": "ignore"}
    out, cache = answer("call", values)
    np.testing.assert_array_equal(out, np.maximum(X, 0))
    assert cache is None
    assert answer("printed", {}) == "hello\nin\n"
    with pytest.raises(Refused) as caught:
        answer("call", values | {"function": "relu"})
    assert describe(caught.value) == f"{path} has no relu"
    del sys.modules["student_relu"]


# --- the solutions ------------------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("exercise", LADDER, ids=lambda exercise: exercise.name)
def test_the_solution_passes_in_this_process(exercise):
    module = importlib.import_module(f"nnscratch.exercises.solutions.{exercise.name}")
    report = nn.exercises.check(exercise.name, *(getattr(module, name) for name in asked_for(exercise)), seed=0)
    assert report.solved, report


def test_drivers_call_the_students_code():
    class Linear:
        def __init__(self, n_in, n_out):
            self.W, self.b = np.zeros((n_out, n_in)), np.zeros((n_out, 1))

    W, b = DRIVERS["Linear.__init__"]({"Linear": Linear}.get)([3, 2])
    assert W.shape == (2, 3) and b.shape == (2, 1)
    gradient = DRIVERS["numerical_gradient"]({"numerical_gradient": lambda f, x: f(x)}.get)
    assert gradient("cubes", np.array([1.0, 2.0])) == 9 and gradient("products", np.array([2.0, 3.0])) == 19
    clip = DRIVERS["clip_norm"]({"clip_norm": lambda arrays, most: (most, arrays)}.get)
    assert clip(1, 2, 0.5) == (0.5, 1, 2)


# --- differences --------------------------------------------------------------------------------------------------


def test_a_dictionary_is_compared_entry_by_entry():
    right = {"W": np.array([1.0, 2.0]), "b": np.array([3.0])}
    assert difference("grads", {**right, "more": 1.0}, right, ()) is None
    assert difference("grads", X, right, ()) == ["grads must be a dictionary"]
    assert difference("out", right, X, ()) == ["out must be an array, got a dictionary"]
    assert difference("grads", {"W": right["W"]}, right, ()) == ["grads has no entry 'b'"]
    assert difference("grads", {**right, "b": np.array([0.0])}, right, ())[0] == "grads['b'] is zero everywhere"


def test_the_first_input_is_shown_only_if_it_has_this_element():
    assert at_inputs((1, 0), (2, X)) == ["at this index, the first input is 3", "the inputs: 2, shape (2, 2)"]
    assert at_inputs((2, 0), (X,)) == ["the inputs: shape (2, 2)"]
    assert at_inputs((0,), (X,)) == ["the inputs: shape (2, 2)"]
    assert at_inputs((0,), (2,)) == ["the inputs: 2"]


def test_a_known_slip_is_named_before_the_difference():
    def not_possible(x):
        raise ValueError("another number of axes")

    slips = [Slip(not_possible, "never"), Slip(lambda x: x.T, "the axes are swapped.")]
    part = Values("f", lambda x: x, [], ("out",), slips=slips)
    assert compare(part, (X,), (X,)) is None
    assert compare(part, (X,), (X.T,))[0] == "f: the axes are swapped."
    assert compare(part, (X,), (X + 1,))[0] == "f: the values of out are not right"
    symmetric = X + X.T  # here the mistake gives the right values
    assert compare(part, (symmetric,), (symmetric + 1,))[0] == "f: the values of out are not right"


def test_a_mask_of_another_shape_cannot_be_measured():
    part = named("dropout").parts[0]
    inputs = np.ones((4, 2)), {"mode": "test", "p": 0.5}
    assert compare(part, inputs, (np.ones((4, 2)), None)) is None
    wrong = compare(part, inputs, (np.ones((2, 4)), None))
    assert wrong[0] == "dropout_forward: out has shape (2, 4); it must have shape (4, 2)"
    assert wrong[1].startswith("the inputs: shape (4, 2)")
    assert measure(inputs, np.zeros((4, 2)))["the largest out / x of a kept element"] == 0  # all are dropped


@pytest.mark.parametrize("reply", [None, [X], (X, X)])
def test_a_process_that_sends_other_values_is_not_believed(reply):
    sends = types.SimpleNamespace(request=lambda *_, **__: reply)
    with pytest.raises(WorkerFailed, match="its process sent no values"):
        check_values(sends, Values("f", lambda x: x, [], ("out",)), (X,))


def test_wrong_values_are_a_not_yet():
    sends = types.SimpleNamespace(request=lambda *_, **__: (-X,))
    with pytest.raises(NotYet, match="f: out has the wrong sign"):
        check_values(sends, Values("f", lambda x: x, [], ("out",)), (X,))


# --- the folder and the command -----------------------------------------------------------------------------------


def test_feedback_shows_prints_details_and_the_seed(tmp_path, capsys):
    folder, _ = ExerciseFolder.start(tmp_path / "work", names=["relu"])
    exercise = named("relu")
    print_feedback(exercise, Feedback(False, "dx is zero.", ["line 7: dx = 0"], "one\ntwo\n", seed=5), folder)
    output = capsys.readouterr().out
    assert "Your code printed:\n  | one\n  | two\n" in output and "\nNot yet. dx is zero.\n  line 7: dx = 0\n" in output
    assert "nnscratch exercises check relu --seed 5\nThere are 2 hints" in output
    folder.mark_hint(exercise, 1)
    print_feedback(exercise, Feedback(False, "You have not started yet.", started=False), folder)
    assert capsys.readouterr().out == "\nYou have not started yet.\nThere is 1 hint: nnscratch exercises hint relu\n"
    folder.mark_hint(exercise, 2)
    print_feedback(exercise, Feedback(False, "dx is zero."), folder)
    assert "hint" not in capsys.readouterr().out


def test_resetting_a_file_that_is_missing_keeps_nothing(tmp_path):
    folder, _ = ExerciseFolder.start(tmp_path / "work", names=["relu"])
    exercise = named("relu")
    folder.file_of(exercise).unlink()
    assert folder.reset(exercise) is None
    assert folder.file_of(exercise).read_text() == exercise.student_file


def test_a_damaged_progress_file_of_a_course_keeps_its_exercises(tmp_path):
    folder, _ = ExerciseFolder.start(tmp_path / "work", names=["relu", "softmax"])
    (folder.path / PROGRESS).write_text("[1]")
    held, note = read_progress(folder.path / PROGRESS)
    assert sorted(held["exercises"]) == ["relu", "softmax"] and "could not be read" in note
    (folder.path / PROGRESS).write_text(json.dumps({"format": "x", "solved": [], "hints": {"relu": 1}}))
    held, note = read_progress(folder.path / PROGRESS)
    assert held["solved"] == {} and held["hints"] == {"relu": 1} and note == ""


def test_a_file_cannot_be_the_folder_of_the_exercises(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(FileExistsError, match="file is a file. Give the name of a folder"):
        run_exercises(types.SimpleNamespace(action="start", folder=path, notebooks=False))


def test_next_after_the_last_exercise_says_nothing_if_others_are_open(tmp_path, capsys):
    folder, _ = ExerciseFolder.start(tmp_path / "work", names=["relu"])
    watching = watch.Watch(folder, named("relu"), None, 15)
    assert watching.go_to_next() is False and capsys.readouterr().out == ""
    folder.mark_solved(named("relu"))
    assert watching.go_to_next() is False and "are solved" in capsys.readouterr().out


# --- the keyboard -------------------------------------------------------------------------------------------------


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    for stdin in (None, io.StringIO("n")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with terminal.keyboard() as wait:
            assert wait is None


@pytest.mark.skipif(os.name == "nt", reason="select does not work on pipes")
def test_keys_are_read_in_lower_case_and_a_closed_terminal_is_a_q(monkeypatch):
    ours, theirs = os.pipe()
    assert terminal.read_key(ours, 0) == ""
    os.write(theirs, b"N\033[1;5A\033Ox")
    assert [terminal.read_key(ours, 0) for _ in range(4)] == ["n", "", "", ""]  # an arrow, a function key, nothing
    os.close(theirs)
    assert terminal.read_key(ours, 0) == "q"
    os.close(ours)

    def closed(*_):
        raise OSError("the terminal was closed")

    monkeypatch.setattr(terminal.select, "select", closed)
    assert terminal.read_key(ours, 0) == "q"


def test_keys_of_a_windows_console(monkeypatch):
    keys = list("NX")
    console = types.SimpleNamespace(kbhit=lambda: bool(keys), getwch=lambda: keys.pop(0))
    monkeypatch.setitem(sys.modules, "msvcrt", console)
    assert terminal.wait_on_windows(0) == "n" and terminal.wait_on_windows(0) == "x"
    assert terminal.wait_on_windows(0.01) == ""  # no key was pressed
    keys.append("\x03")
    with pytest.raises(KeyboardInterrupt):
        terminal.wait_on_windows(0)
