"""Test the judge and the code of a student's process in this process: a sandboxed process writes no coverage data."""

import io
import os
import resource
import subprocess
import sys
import types

import numpy as np
import pytest

from nnscratch.course import read_course
from nnscratch.course.judging import mark_parts, printed_by, readable, reference_of
from nnscratch.course.own import read_own
from nnscratch.course.release import readme
from nnscratch.course.settings import Task, limits_from, task_from
from nnscratch.course.trial import Trial
from nnscratch.exercises.checking import Feedback, NotYet
from nnscratch.exercises.exercise import Gradients, Mistake, Values
from nnscratch.exercises.ladder import named
from nnscratch.gradcheck.command import wire
from nnscratch.gradcheck.command.channel import WorkerFailed
from nnscratch.gradcheck.command.refused import Refused

main = pytest.importorskip("nnscratch.course.inside.main", reason="the processes of students' files need POSIX")
from nnscratch.course.inside import imports, sandbox  # noqa: E402
from nnscratch.course.inside.service import Counter, FileService  # noqa: E402
from nnscratch.exercises.calling import in_file  # noqa: E402

X = np.array([[1.0, -2.0], [3.0, 0.5]])
RELU = """
import numpy as np

def relu_forward(x):
    print("forward")
    return np.maximum(x, 0), x

def relu_backward(dout, x):
    return dout * (x > 0)
"""
PARTS = {"values": 2.0, "gradients": 3.0}


@pytest.fixture
def service(monkeypatch):
    """Open a source in a service. Afterwards, the state of Python is what it was."""
    for name in ("argv", "stdout"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def opened(source, path="relu.py"):
        found = FileService(3)
        found.open(path, source)
        return found

    return opened


class LocalBox:
    """A box in this process. Each value of `changes` changes the replies to the requests of this name."""

    failed = False

    def __init__(self, **changes):
        self.service, self.changes = FileService(3), changes

    def request(self, operation, **values):
        try:
            reply = wire.unpack(*wire.pack(getattr(self.service, operation)(**wire.unpack(*wire.pack(values)))))
        except (Exception, SystemExit) as error:
            raise WorkerFailed(in_file(error, self.service.path)) from None
        return self.changes.get(operation, lambda reply: reply)(reply)


@pytest.fixture
def mark(monkeypatch):
    for name in ("argv", "stdout"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def marked(source, exercise="relu", **changes):
        found = mark_parts(LocalBox(**changes), Task(named(exercise), PARTS), source, 3)
        return [(part.kind, part.points, part.headline) for part in found]

    return marked


# --- the judge ----------------------------------------------------------------------------------------------------


def test_a_right_file_gets_all_points(mark):
    assert mark(RELU) == [("values", 2.0, "relu_forward is right."), ("gradients", 3.0, "relu_backward is right.")]
    (values, gradients) = mark(named("softmax_loss").solution, "softmax_loss")  # one function for both
    assert values[1] == 2.0 and gradients[1] == 3.0
    (values, gradients) = mark(named("dropout").solution, "dropout")  # a random forward, which is replayed
    assert values[1] == 2.0 and gradients[1] == 3.0


@pytest.mark.parametrize(
    ("old", "new", "values", "gradients"),
    [
        ("np.maximum(x, 0)", "np.abs(x)", "relu_forward: this is the absolute value.", "Not checked yet"),
        ("dout * (x > 0)", "dout", "", "Forward is right, but backward is not. The gradient of x is not right: mask"),
        ("dout * (x > 0)", "dout * np.float32(x > 0)", "", ""),
        ("dout * (x > 0)", "None", "", "relu_backward returns None"),
        ("dout * (x > 0)", "sum(relu_forward(x)[0] for _ in range(99))", "", "relu_backward calls forward 99 times"),
        ("def relu_backward", "def other", "", "relu_backward: 04_relu.py has no relu_backward"),
        ("import numpy", "import numpi", "ModuleNotFoundError: No module named 'numpi'", "ModuleNotFoundError"),
        ("np.maximum(x, 0), x", "np.maximum(x, 0)", "relu_forward must return out and cache.", "Not checked yet"),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_a_message(mark, old, new, values, gradients):
    found = mark(RELU.replace(old, new))
    for (_, points, headline), expected in zip(found, (values, gradients), strict=True):
        assert expected in headline and (points == 0) == bool(expected)


def test_a_forward_that_is_right_only_at_the_inputs_of_the_values_is_found(mark):
    count = "    relu_forward.n = getattr(relu_forward, 'n', 0) + 1\n    if relu_forward.n > 5:\n        return x, x\n"
    headline = mark(RELU.replace("    print", f"{count}    print"))[1][2]
    assert headline.startswith("relu_forward returned right values in earlier calls, but not in this one: ")


def no_outputs(reply):
    return {**reply, "outputs": None}


@pytest.mark.parametrize(
    ("changes", "part", "message"),
    [
        ({"call": lambda reply: None}, 0, "relu_forward: its process sent no values"),
        ({"call": lambda reply: ("abc", None)}, 0, "out has shape (); it must have shape"),
        ({"gradients": no_outputs}, 1, "relu_backward: its process sent no outputs"),
        ({"gradients": lambda reply: reply | {"outputs": reply["outputs"] * 2}}, 1, "its process sent no outputs"),
        ({"gradients": lambda reply: reply | {"gradients": 3}}, 1, "relu_backward: its process sent no gradients"),
        ({"gradients": lambda reply: {}}, 1, "The process of your file sent a reply that cannot be read."),
    ],
)
def test_a_process_that_sends_other_things_gets_no_points(mark, changes, part, message):
    kind, points, headline = mark(RELU, **changes)[part]
    assert points == 0 and message in headline


def test_a_part_after_the_end_of_the_process_is_not_checked(monkeypatch, mark):
    class Ends(LocalBox):
        def request(self, operation, **values):
            if operation == "gradients":
                self.failed = True
                raise WorkerFailed("its process ended without a report (exit code 1)")
            return super().request(operation, **values)

    exercise = named("batchnorm")
    marks = mark_parts(Ends(), Task(exercise, PARTS), exercise.solution, 3)
    ended = [isinstance(part, Gradients) for part in exercise.parts].index(True)
    assert "its process ended" in marks[ended].headline
    for after in marks[ended + 1 :]:
        assert after.headline == "Not checked: the process of your file ended during the check of an earlier part."


def test_only_a_file_that_was_changed_is_run():
    relu = named("relu")
    for source, message in (
        (None, "relu.py is missing"),
        (b" " * (1 << 20) + b"1", "relu.py has 1,048,577 bytes"),
        (relu.student_file.encode(), "relu.py is unchanged"),
    ):
        with pytest.raises(NotYet, match=message):
            readable(relu, source)
    assert readable(relu, b"\xef\xbb\xbfx = 1\r\n") == "x = 1\n"


def test_what_a_file_printed_is_shown_if_its_process_answers(service):
    box = LocalBox()
    box.service = service("print('hello')")
    assert printed_by(box) == "hello"

    def fails(*_):
        raise WorkerFailed("its process ended")

    box.changes["printed"] = fails
    assert printed_by(box) == ""
    box.failed = True
    assert printed_by(box) == ""


def test_gradients_without_a_reference_are_a_mistake_of_the_exercise():
    values, gradients = named("relu").parts
    assert reference_of(named("relu"), gradients) is values.reference
    alone = types.SimpleNamespace(name="relu", parts=[Values("other", np.abs, []), gradients])
    with pytest.raises(ValueError, match="relu: there is no reference for relu_forward"):
        reference_of(alone, gradients)


# --- the student's process ----------------------------------------------------------------------------------------


def test_a_call_and_the_gradients_of_a_file(service):
    s = service(RELU)
    out, cache = s.call("relu_forward", [X], ["out", "cache"], ["cache"], "ignore")
    np.testing.assert_array_equal(out, np.maximum(X, 0))
    assert cache is None and s.printed() == "forward\n" and sys.argv == ["relu.py"]
    reply = s.gradients(["relu_forward", "relu_backward"], [X], [np.full((2, 2), 2.0)], 1)
    np.testing.assert_array_equal(reply["outputs"][0], np.maximum(X, 0))
    np.testing.assert_array_equal(reply["gradients"][0], 2.0 * (X > 0))
    assert reply["calls"] == 0
    alone = s.gradients(["relu_forward", "relu_backward"], [X], [], 1)
    assert alone["gradients"] == [] and len(alone["outputs"]) == 1


def test_the_gradients_of_a_loss_come_from_one_function(service):
    s = service("def loss(x):\n    return (x ** 2).sum(), 2 * x\n")
    reply = s.gradients(["loss"], [X], [np.ones(())], 1)
    assert reply["outputs"][0] == (X**2).sum()
    np.testing.assert_array_equal(reply["gradients"][0], 2 * X)


def test_calls_of_forward_in_backward_are_counted(service):
    s = service(RELU.replace("dout * (x > 0)", "relu_forward(x)[0] + relu_forward(dout)[0]"))
    assert s.gradients(["relu_forward", "relu_backward"], [X], [X], 1)["calls"] == 2
    with Counter(None) as counter:  # a driver calls forward: there is nothing to count
        pass
    assert counter.count == 0


def test_every_call_starts_with_the_same_random_numbers(service):
    s = service("import random\nimport numpy as np\n\ndef f():\n    return np.random.rand() + random.random()\n")
    a, b = (s.call("f", [], ["out"], [], "ignore") for _ in range(2))
    assert a == b


@pytest.mark.parametrize(
    ("source", "functions", "message"),
    [
        ("def f(x):\n    return x", ["f", "g"], "f must return 2 values: the outputs, then the cache"),
        ("def f(x):\n    x[:] = 0\n    return x, x", ["f", "g"], "f changes one of its arguments"),
        ("def f(x):\n    return x, x\ndef g(d, c):\n    c[:] = 0\n    return d", ["f", "g"], "f changes one of its"),
        ("def f(x):\n    return x, x\ndef g(d, c):\n    return None", ["f", "g"], "g returns None"),
        ("def f(x):\n    return x, x", ["f", "g"], "relu.py has no g"),
        ("def f(x):\n    return 'a', x", ["f"], "f: out must be an array of numbers, got str"),
    ],
)
def test_a_wrong_function_is_refused(service, source, functions, message):
    with pytest.raises(Refused, match=message):
        service(source).gradients(functions, [X.copy()], [np.ones((2, 2))], 1)


def test_a_gradient_that_is_none_is_sent_as_none(service):
    s = service("def f(x, y):\n    return x, y\ndef g(d, c):\n    return d, None\n")
    assert s.gradients(["f", "g"], [X, X], [X], 1)["gradients"][1] is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (", r"Python cannot read line 1: .*\(line 1\)"),
        ("x = 1\0", "Python cannot read"),
    ],
)
def test_a_file_that_is_not_python_is_refused(service, source, message):
    with pytest.raises((Refused, ValueError), match=message if "\0" not in source else None):
        service(source)


def test_requests_are_answered_until_the_pipe_is_closed(service, monkeypatch, tmp_path):
    sent = [("open", {"path": "relu.py", "source": RELU}), ("printed", {}), ("_load", {"name": "x"})]
    frames = b"".join(wire.frame({"number": n, "operation": o, **v}) for n, (o, v) in enumerate(sent))
    (tmp_path / "requests").write_bytes(frames)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    with open(tmp_path / "requests", "rb") as requests, open(tmp_path / "replies", "wb") as replies:
        monkeypatch.setattr(main, "REQUESTS", requests.fileno())
        monkeypatch.setattr(main, "REPLIES", replies.fileno())
        main.answer_requests(FileService(0))
    data, found = io.BytesIO((tmp_path / "replies").read_bytes()), []
    while lengths := data.read(wire.LENGTHS.size):
        header, body = wire.LENGTHS.unpack(lengths)
        found.append(wire.unpack(data.read(header), data.read(body)))
    assert found == [
        {"number": 0, "value": None},
        {"number": 1, "value": ""},
        {"number": 2, "error": "relu.py has no x"},
    ]


def test_a_process_is_killed_with_its_group_and_its_time_is_measured():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    status, used = main.end(process.pid)
    assert os.WTERMSIG(status) == 9 and 0 <= used < 60e6
    process.returncode = -9  # `end` has waited for it


# --- the sandbox --------------------------------------------------------------------------------------------------


def test_only_the_standard_library_and_numpy_are_readable():
    found = sandbox.readable()
    assert any(path.name == "numpy" for path in found) and any(path.name == "json" for path in found)
    assert not any(path.name in ("site-packages", "dist-packages", "test", "nnscratch") for path in found)


def test_without_a_sandbox_every_forbidden_thing_succeeds(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "new_process", lambda: None)
    assert sandbox.missing(str(tmp_path)) == [
        "reading files",
        "writing files",
        "new processes",
        "the network",
        "signals to other processes",
    ]

    def refused(*_):
        raise PermissionError("not here")

    monkeypatch.setattr(sandbox, "new_process", refused)
    monkeypatch.setattr(os, "listdir", refused)
    assert "new processes" not in sandbox.missing("/") and "reading files" not in sandbox.missing("/")


def test_the_filter_of_system_calls_allows_reading_and_denies_the_rest_with_an_error():
    pytest.importorskip("pyseccomp")
    assert sandbox.system_calls() is not None  # not loaded: this would end the tests


@pytest.mark.parametrize("writes", [True, False])
def test_the_limits_of_a_process(monkeypatch, writes):
    found = {}
    monkeypatch.setattr(resource, "setrlimit", lambda what, pair: found.update({what: pair}))
    monkeypatch.setattr(sandbox, "LIBC", types.SimpleNamespace(prctl=lambda *a: found.update(signal=a[1])))
    sandbox.limit(3, 1 << 30, writes)
    assert found[resource.RLIMIT_CPU] == (3, 3) and found[resource.RLIMIT_AS] == (1 << 30, 1 << 30)
    assert found.get(resource.RLIMIT_FSIZE) == (None if writes else (0, 0))
    assert sys.platform != "linux" or found["signal"] == 9  # it ends with its parent


# --- imports ------------------------------------------------------------------------------------------------------


def test_only_python_and_numpy_may_be_imported():
    finder = imports.OnlyAllowed()
    assert finder.find_spec("json.decoder") is None and finder.find_spec("numpy.fft") is None
    assert finder.find_spec("nnscratch") is None
    for name in ("torch", "nnscratch.layers", "scipy.special"):
        with pytest.raises(Refused, match=f"Your file imports {name}. Solve this exercise with Python and NumPy only"):
            finder.find_spec(name)


def test_the_package_is_replaced_by_module_and_parameter(monkeypatch):
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    imports.restrict_imports()
    nn = sys.modules["nnscratch"]
    assert "nnscratch.layers" not in sys.modules and isinstance(sys.meta_path[0], imports.OnlyAllowed)
    assert nn.Parameter([1.0, 2.0]).grad.tolist() == [0, 0] and not hasattr(nn, "__file_of__")
    with pytest.raises(Refused, match="Your file uses nnscratch.Linear"):
        nn.Linear  # noqa: B018

    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    assert Double()(3) == 6
    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        type("Empty", (nn.Module,), {})()(1)


# --- the files of a course ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 3\n", "title must be a string, got 3"),
        ("exercises = 3\n", r"there must be at least one table \[\[exercises\]\]"),
        ("", r"there must be at least one table \[\[exercises\]\]"),
        ('limits = 3\n[[exercises]]\nname = "relu"', "limits must be a table, got 3"),
    ],
)
def test_a_wrong_course_is_named(tmp_path, text, message):
    (tmp_path / "course.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_course(tmp_path)


@pytest.mark.parametrize("memory", [255, 512.5])
def test_a_limit_of_memory_is_an_integer_of_at_least_256(memory):
    with pytest.raises(ValueError, match="limits.memory must be an integer of at least 256"):
        limits_from({"memory": memory})
    assert limits_from({"memory": 256}).memory == 256


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "give either name or file, as a string"),
        ({"name": "relu", "file": "relu.py"}, "give either name or file"),
        ({"name": 3}, "give either name or file"),
        ({"file": "../relu.py"}, r"file must be in the folder of the course, got '\.\./relu.py'"),
    ],
)
def test_a_wrong_table_of_an_exercise_is_named(tmp_path, entry, message):
    with pytest.raises(ValueError, match=r"\[\[exercises\]\] number 2: " + message):
        task_from(entry, 2, tmp_path)


OWN = '''"""Write double: out = 2 x."""


def double(x):
    # solution: compute out
    out = 2 * x
    # end
    return out


# for the instructor
SHAPES = [{"x": "4,3"}, {"x": "2"}, {"x": lambda rng: rng.uniform(size=3)}]
'''


def own(tmp_path, text):
    (tmp_path / "double.py").write_text(text)
    return read_own(tmp_path / "double.py")


def test_an_own_exercise_of_one_function_has_values_only(tmp_path):
    exercise = own(tmp_path, OWN)
    (values,) = exercise.parts
    x = values.cases[2](np.random.default_rng(0))[0]
    assert x.shape == (3,) and exercise.gradient_command == ""
    np.testing.assert_array_equal(values.reference(x), 2 * x)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("# for the instructor", "# for the instructor\nHINTS = ('a', 'b')", "HINTS must be three strings, got 2"),
        ("# for the instructor", "# for the instructor\nFUNCTIONS = ('double',) * 3", "one or two functions, got 3"),
        ('[{"x": "4,3"}', '[["4,3"]', r"each element of SHAPES must be a dictionary, got \['4,3'\]"),
    ],
)
def test_a_fault_in_an_own_exercise_is_named(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        own(tmp_path, OWN.replace(old, new))


def test_a_file_of_an_own_exercise_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="double.py does not exist"):
        read_own(tmp_path / "double.py")


def test_the_readme_of_a_course_names_only_the_commands_that_it_has(tmp_path):
    exercise = own(tmp_path, OWN)
    course = types.SimpleNamespace(title="Term", tasks=[Task(exercise, {"values": 1.5})])
    alone = readme(course, [], [exercise])
    assert "| `double.py` | 1.5 |" in alone and "nnscratch exercises watch" not in alone and "gradcheck" not in alone
    exercise.gradient_command = "nnscratch gradcheck double.py"
    assert "$ nnscratch gradcheck double.py" in readme(course, ["relu"], [exercise])
    assert "nnscratch exercises watch" in readme(course, ["relu"], [exercise])


def test_a_trial_names_each_problem_of_an_exercise(monkeypatch):
    exercise = types.SimpleNamespace(
        student_file="student", solution="out = 1", mistakes=[Mistake("1", "2", "wrong"), Mistake("1", "3", "wrong")]
    )
    trial = object.__new__(Trial)

    def problems(**solved):
        def feedback(_, text):
            return Feedback(solved.get(text, False), f"{text} is bad")

        monkeypatch.setattr(trial, "feedback", feedback, raising=False)
        return list(trial.problems(exercise))

    assert problems(**{"student": True}) == ["the untouched file passes", "the solution does not pass: out = 1 is bad"]
    assert problems(**{"student\n\nedited = True\n": True, "out = 1": True, "out = 2": True}) == [
        "a file with all TODOs unchanged passes",
        "mistake 1 passes: `2`",
        "mistake 2, `3`, gives a different message: out = 3 is bad",
    ]
