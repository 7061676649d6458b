"""A check survives any file, and its message says what happened."""

import numpy as np
import pytest

from nnscratch.exercises import LADDER, check_file
from nnscratch.exercises.values import difference

RELU = next(exercise for exercise in LADDER if exercise.name == "relu")
MSE = next(exercise for exercise in LADDER if exercise.name == "mse")

BACKWARD = "\n\ndef relu_backward(dout, cache):\n    return dout * (cache > 0)\n"
RIGHT = "def relu_forward(x):\n    return x * (x > 0), x"


@pytest.fixture
def relu(shared, tmp_path):
    """Check an answer to the exercise relu."""
    return lambda text, **options: shared.check(RELU, tmp_path, text, **options)


def test_any_right_answer_passes_and_its_prints_are_shown(relu):
    feedback = relu('print("hello")\n\n' + RIGHT + BACKWARD)
    assert feedback.solved and feedback.printed == "hello\n"


def test_float32_and_loops_and_another_cache_pass(relu):
    answer = """
import numpy as np

def relu_forward(x):
    out = np.zeros(x.shape, dtype=np.float32)
    for i in np.ndindex(x.shape):
        out[i] = max(x[i], 0)
    return out, {"mask": out > 0}

def relu_backward(dout, cache):
    return np.where(cache["mask"], dout, 0)
"""
    feedback = relu(answer)
    assert feedback.solved, [feedback.headline, *feedback.details]


@pytest.mark.parametrize(("forward", "message", "detail"), [
    ("import sys\ndef relu_forward(x):\n    sys.exit(0)", "relu_forward: it calls sys.exit(0)", "your line 3: sys.exi"),
    ("import os\ndef relu_forward(x):\n    os._exit(0)", "process ended without a report (exit code 0)", ""),
    ("def relu_forward(x):\n    return bytearray(1 << 40), x", "MemoryError: your code needs too much", "your line 2"),
    ("def relu_forward(x):\n    return relu_forward(x)", "RecursionError", "your line 2"),
    ("def relu_forward(x):\n    out = x * (x > 0)", "returns None. Its last line must be: return out, cache", ""),
    ("def relu_forward(x):\n    return x * (x > 0)", "must return out and cache. It returns one ndarray", ""),
    ("def relu_forward(x):\n    return x.flatten(), x", "out has shape (30,); it must have shape (6, 5)", ""),
    ("def relu_forward(x):\n    return 0 * x, x", "out is zero everywhere", "it must be"),
    ("def relu_forward(x):\n    return 'x', x", "out must be an array of numbers, got str", ""),
    ("def relu_forward(x):\n    return x.tolist(), x", "out is a list. Make an array of it: np.array(out)", ""),
    ("def relu_forward(x):\n    return x / 0 * 0, x", "nan", ""),
    ("def relu_forward(x):\n    return x.maximum(0), x", "AttributeError", "your line 2: return x.maximum(0), x"),
    ("def relu_forward(x)\n    return x, x", "Python cannot read line 1: expected ':'", "line 1: def relu_forward(x)"),
    ("x = '\0'\n" + RIGHT, "Python cannot read the file: ", "Is it a text file with Python code?"),
    ("import torch\n" + RIGHT, "Your file imports torch", "line 1: import torch"),
    ("def relu(x):\n    return x, x", "has no relu_forward", ""),
    ("1 / 0\n" + RIGHT, "ZeroDivisionError", "your line 1: 1 / 0"),
])  # fmt: skip
def test_a_wrong_or_hostile_file_gets_a_message(relu, forward, message, detail):
    feedback = relu(forward + BACKWARD, seconds=60)
    assert not feedback.solved
    assert message in feedback.headline
    assert detail in "\n".join(feedback.details)


def test_a_loop_that_never_ends_is_ended(relu):
    feedback = relu("def relu_forward(x):\n    while True:\n        pass" + BACKWARD, seconds=1)
    assert "did not finish within 1 seconds. Is there a loop that never ends?" in feedback.headline


def test_a_process_that_does_not_start_gets_a_message(relu, monkeypatch):
    monkeypatch.setattr("nnscratch.exercises.checking.START", 0.0)
    feedback = relu(RIGHT + BACKWARD)
    assert not feedback.solved and "cannot start a process for your file" in feedback.headline


def test_a_file_that_cannot_be_read_gets_a_message(relu, monkeypatch):
    def locked(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", locked)
    assert "04_relu.py cannot be read: Permission denied" in relu(RIGHT + BACKWARD).headline


def test_a_flood_of_output_is_cut(relu):
    feedback = relu(f"for _ in range(100_000):\n    print('x' * 50)\n{RIGHT}{BACKWARD}")
    assert feedback.solved and len(feedback.printed) <= 1500


def test_output_past_python_does_not_disturb_the_check(relu):
    assert relu(f"import os\nos.write(1, b'solved' * 1000)\nos.write(2, b'x' * 1000)\n{RIGHT}{BACKWARD}").solved


def test_gradients_of_zero_earn_nothing(relu):
    feedback = relu(RIGHT + "\n\ndef relu_backward(dout, cache):\n    return 0 * dout")
    assert not feedback.solved and "gradient of x" in feedback.headline


def test_the_same_seed_repeats_a_check(relu):
    answer = "def relu_forward(x):\n    return x + x.sum(), x" + BACKWARD
    first = relu(answer, seed=7)
    assert relu(answer, seed=7) == first and relu(answer, seed=8) != first


def test_a_missing_file_is_named(tmp_path):
    feedback = check_file(RELU, tmp_path / RELU.filename)
    assert not feedback.solved and "`nnscratch exercises reset relu` writes it again" in feedback.headline


def test_the_gradient_of_a_loss_alone_is_named(tmp_path):
    path = tmp_path / MSE.filename
    path.write_text("def mse_loss(x, y):\n    return ((x - y) ** 2).mean(), x - y")
    headline = check_file(MSE, path).headline
    assert headline.startswith("The loss is right. The gradient of x is not right yet: scaled by a")


@pytest.mark.parametrize(("value", "message"), [
    (np.array([1.0, 2.0]), None),
    (np.array([1.0, 2.0 + 1e-7]), None),
    (np.array([1.0, 2.0 + 1e-4], dtype=np.float32), None),
    (np.array([-1.0, -2.0]), "out has the wrong sign"),
    (np.array([3.0, 6.0]), "out is 3 times the right value"),
    (np.array([0.0, 0.0]), "out is zero everywhere"),
    (np.array([1.0, np.inf]), "out[1] is inf"),
    (np.array([1.0, 5.0]), "the values of out are not right"),
    (np.array([[1.0, 2.0]]), "out has shape (1, 2); it must have shape (2,)"),
])  # fmt: skip
def test_a_difference_is_described(value, message):
    found = difference("out", value, np.array([1.0, 2.0]), (np.array([1.0, 2.0]),))
    assert found is None if message is None else found[0] == message
