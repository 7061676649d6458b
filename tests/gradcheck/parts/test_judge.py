"""Test the judge against workers that answer in this process: an honest one, and one that sends other things."""

import argparse
import copy
import json
import types

import numpy as np
import pytest

from nnscratch.gradcheck.command import run_gradcheck, wire
from nnscratch.gradcheck.command.discover import Item
from nnscratch.gradcheck.command.docstring_shapes import described_arguments, sizes_of
from nnscratch.gradcheck.command.drawing import CannotDraw, Given, candidates
from nnscratch.gradcheck.command.judge import (
    describe_inputs,
    first_reason,
    judge,
    readable_description,
    rebuilt,
    remote_functions,
)
from nnscratch.gradcheck.command.process import WorkerFailed, ending
from nnscratch.gradcheck.command.signatures import arguments
from nnscratch.gradcheck.command.worker import Service
from nnscratch.gradcheck.report import Diagnosis, Entry, GradientReport, Trap


class Scale:
    """Scale x of shape (N, D) by w of shape (D,)."""

    def __init__(self):
        self.w = np.array([1.5, -2.0, 0.5, 3.0])

    def forward(self, x):
        self.x = x
        return x * self.w

    def backward(self, dy):
        self.dw = (dy * self.x).sum(0)
        return dy * self.w


class Mean(Scale):
    def backward(self, dy):
        dx = super().backward(dy)
        self.dw = self.dw / len(dy)
        return dx


class Flipped(Scale):
    def backward(self, dy):
        return -super().backward(dy)


class Zero:
    """Return zeros of the shape of x, (N, D)."""

    def forward(self, x):
        return 0 * x

    def backward(self, dy):
        return 0 * dy


class Relu:
    """Return the positive elements of x, (N, D)."""

    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class NoEffect(Scale):
    """Double x of shape (N, D). The weight w of shape (D,) has no effect."""

    def forward(self, x):
        return 2 * x + 0 * self.w

    def backward(self, dy):
        self.dw = 0 * self.w
        return 2 * dy


class Shifted(Scale):
    """Scale x of shape (N, D) by w of shape (D,), and add b of shape (D,), with a wrong sign in backward."""

    def __init__(self):
        super().__init__()
        self.b = np.array([1.0, 2.0, 3.0, 4.0])

    def forward(self, x):
        return super().forward(x) + self.b

    def backward(self, dy):
        self.db = -dy.sum(0)
        return super().backward(dy)


class Rounded(Scale):
    """Scale x of shape (N, D) by large numbers, and round the gradient of x to integers."""

    def forward(self, x):
        return 1e9 * super().forward(x)

    def backward(self, dy):
        return super().backward(1e9 * dy).astype(int)


class SafeLog(Scale):
    """Take the logarithm of (x w)^2, of shape (N, D), and leave a small constant out of the derivative."""

    def forward(self, x):
        return np.log(super().forward(x) ** 2 + 1e-5)

    def backward(self, dy):
        return super().backward(2 * dy / (self.x * self.w))


class SafeLogOff(SafeLog):
    def backward(self, dy):
        return super().backward(dy) * (1 + 1e-5)


class LocalWorker:
    """A worker in this process. Each value of `changes` changes the reply to the request of this name."""

    failed = False

    def __init__(self, **changes):
        held = Scale, Mean, Flipped, Zero, Relu, NoEffect, Shifted, Rounded, SafeLog, SafeLogOff
        self.service = Service("hw.py", types.SimpleNamespace(**{layer.__name__: layer for layer in held}))
        self.changes, self.requests = changes, []

    def request(self, operation, **values):
        values = wire.unpack(*wire.pack(values))
        self.requests.append((operation, values))
        try:
            reply = getattr(self.service, operation)(**values)
        except Exception as error:
            raise WorkerFailed(f"{type(error).__name__}: {error}") from None
        change = self.changes.get(operation)
        return wire.unpack(*wire.pack(copy.deepcopy(reply) if change is None else change(reply)))


def judged(name, worker=None, given=None, seed=0):
    return judge(worker or LocalWorker(), Item(name, [name]), given or Given(), seed)


# --- the verdict --------------------------------------------------------------------------------------------------


def test_right_code_is_confirmed_and_its_inputs_are_named():
    found = judged("Scale")
    assert (found.verdict, found.why) == ("right", "")
    assert found.inputs == ["x 3x4"]
    assert set(found.report.entries) == {"x", "w"}


def test_gradients_that_are_zero_in_part_are_right():
    for name in ("Relu", "NoEffect"):
        found = judged(name)
        assert (found.verdict, found.why) == ("right", "")
        assert not any("convention" in note for note in found.report.notes)  # the option is for wrong code


def test_the_judge_leaves_out_small_constants_as_the_checker_does():
    away_from_zero = Given(inputs=[np.array([[0.3, -0.5, 0.8, 0.4], [-0.6, 0.2, 0.5, -0.9]])])
    found = judged("SafeLog", given=away_from_zero)
    assert (found.verdict, found.why) == ("right", "")
    assert any("right if small constants are left out" in note for note in found.report.notes)
    assert judged("SafeLogOff", given=away_from_zero).verdict == "wrong"
    assert judged("SafeLogOff", LocalWorker(check=claim_right), away_from_zero).verdict == "wrong"


def test_a_seed_decides_the_numbers_of_the_judge():
    def sent(seed):
        worker = LocalWorker()
        judged("Scale", worker, Given(inputs=[np.ones((3, 4))]), seed)
        return np.concatenate([values["dys"][0] for operation, values in worker.requests if operation == "gradients"])

    np.testing.assert_array_equal(sent(1), sent(1))
    assert not (sent(1) == sent(2)).any()


def test_small_arrays_are_measured_at_each_element_and_large_ones_with_few_requests():
    def shifted(gradients):
        gradients["x"][1, 2] += 1
        return gradients

    found = judged("Scale", LocalWorker(gradients=shifted))
    assert found.verdict == "wrong" and found.report.entries["x"].worst_index == (1, 2)
    worker = LocalWorker()
    found = judged("Scale", worker, Given(inputs=[np.random.default_rng(0).normal(size=(50, 4))]))
    assert found.verdict == "right" and sum(operation == "outputs" for operation, _ in worker.requests) < 200


def test_wrong_code_has_its_first_diagnosis_as_the_reason():
    found = judged("Flipped")
    assert found.verdict == "wrong" and found.why.startswith("sign flipped")


def test_code_that_divides_by_the_batch_is_right_as_a_mean():
    found = judged("Mean")
    assert found.verdict == "wrong" and found.why.endswith("right with --convention mean")
    assert "--convention Mean=mean" in found.report.notes[-1]
    assert judged("Mean", given=Given(conventions={"Mean": "mean"})).verdict == "right"


def test_gradients_that_are_all_zero_are_not_right():
    assert judged("Zero").verdict == "cannot tell"


def test_an_item_with_a_reason_is_not_checked():
    found = judge(LocalWorker(), Item("a", ["a"], "it has no backward"), Given(), 0)
    assert (found.verdict, found.why, found.report) == ("could not check", "it has no backward", None)


def test_an_error_of_the_file_is_the_reason():
    found = judged("Missing")
    assert (found.verdict, found.why) == ("could not check", "Refused: hw.py has no Missing")


# --- workers that do not send what they should -----------------------------------------------------------------------


def forged(**changes):
    return lambda reply: {**reply, "report": {**reply["report"], **changes}}


def claim_right(reply):
    entries = [e | {"verdict": "right", "diagnoses": []} for e in reply["report"]["entries"]]
    return forged(entries=entries, traps=[])(reply)


def test_a_forged_right_is_measured_and_found_wrong():
    found = judged("Flipped", LocalWorker(check=claim_right))
    assert found.verdict == "wrong"
    assert found.report.entries["x"].reason and found.report.entries["w"].verdict == "right"


def test_the_reason_for_a_forged_right_is_the_forgery_with_the_name_of_the_array():
    found = judged("Shifted", LocalWorker(check=claim_right))
    why = 'the process that ran the file reported the verdict "right", but the arrays that it returned are wrong'
    assert (found.verdict, found.why) == ("wrong", f"b: {why}")
    assert {name: (e.name, e.verdict) for name, e in found.report.entries.items()} == {
        "w": ("w", "right"), "b": ("b", "wrong"), "x": ("x", "right")}  # fmt: skip


def test_a_forged_report_without_traps_gets_the_trap_that_the_judge_finds():
    worker = LocalWorker(check=claim_right, gradients=lambda g: {**g, "w": g["w"].astype(np.float32)})
    found = judged("Rounded", worker)
    assert (found.verdict, found.why) == (
        "wrong",
        "wrong dtype: the gradient of x is int64, which cannot hold fractions",
    )
    rng = np.random.default_rng(0)
    found = judged("Scale", LocalWorker(outputs=lambda ys: tuple(y + rng.normal() for y in ys)))
    assert found.verdict == "cannot tell" and found.why.startswith("not deterministic")


def test_a_right_without_arrays_is_not_believed():
    found = judged("Scale", LocalWorker(check=forged(entries=[], traps=[])))
    assert found.verdict == "cannot tell"
    assert "the report contains no array" in found.why


def test_a_right_for_an_array_that_the_judge_cannot_measure_is_not_believed():
    found = judged("Scale", LocalWorker(variables=lambda v: {"x": v["x"]}))
    assert found.verdict == "cannot tell" and "the judge cannot measure w" in found.why


def test_a_right_with_zero_gradients_that_match_zero_derivatives_is_not_believed():
    found = judged("Zero", LocalWorker(check=claim_right))
    assert found.verdict == "cannot tell" and "every gradient is zero" in found.why


def test_a_worker_that_ends_during_the_check_of_the_judge():
    class Ends(LocalWorker):
        def request(self, operation, **values):
            if operation in ("outputs", "gradients"):
                self.failed = True
                raise WorkerFailed("its process ended")
            return super().request(operation, **values)

    found = judged("Scale", Ends())
    assert found.verdict == "could not check" and "its process ended" in found.why


@pytest.mark.parametrize("operation", ["outputs", "gradients"])
def test_a_worker_that_ends_at_any_request_gives_no_verdict(operation):
    class Ends(LocalWorker):
        def request(self, asked, **values):
            if self.failed or asked == operation and len([o for o, _ in self.requests if o == operation]) == self.last:
                self.failed = True
                raise WorkerFailed("its process ended")
            return super().request(asked, **values)

    complete = LocalWorker()
    assert judged("Relu", complete, SMALL).verdict == "right"
    for count in range([o for o, _ in complete.requests].count(operation)):
        worker = Ends()
        worker.last = count
        found = judged("Relu", worker, SMALL)
        assert found.verdict == "could not check" and "its process ended" in found.why


SMALL = Given(inputs=[np.array([[0.5]])])


@pytest.mark.parametrize(
    "change",
    [
        forged(entries=[{"diagnoses": []}]),  # without a name
        lambda reply: {"candidate": 0},
        lambda reply: {**reply, "candidate": 999},
        lambda reply: None,
        lambda reply: forged(entries=[e | {"verdict": "perfect"} for e in reply["report"]["entries"]])(reply),
        forged(traps=[{"kind": "a", "message": "b", "severity": "excellent"}]),
        forged(notes=3),
        lambda reply: forged(entries=[e | {"error": "none"} for e in reply["report"]["entries"]])(reply),
        lambda reply: forged(entries=[e | {"worst_index": (9, 9)} for e in reply["report"]["entries"]])(reply),
    ],
)
def test_a_report_that_cannot_be_read_is_not_a_verdict(change):
    found = judged("Scale", LocalWorker(check=change))
    assert found.verdict == "could not check"
    assert found.why.startswith("its process sent a report that cannot be read")


@pytest.mark.parametrize(
    "change",
    [{"kind": "module"}, {"doc": None}, {"init": [{"name": 3, "annotation": ""}]}, {"forward": [{"name": "x"}]}],
)
def test_a_description_of_another_form_is_refused(change):
    described = LocalWorker().request("describe", names=["Scale"])
    with pytest.raises((TypeError, KeyError)):
        readable_description(described | change)
    assert len(readable_description(described | {"doc": "a" * 30_000})["doc"]) == 20_000
    found = judged("Scale", LocalWorker(describe=lambda d: d | change))
    assert found.verdict == "could not check" and found.why.startswith("its process sent a report")


def test_the_worker_gets_real_arrays_and_must_send_a_tuple():
    worker = LocalWorker(outputs=list)
    worker.request("check", names=["Scale"], candidates=[scale_candidate()], seed=0, options={})
    arrays = worker.request("variables")
    forward, backward = remote_functions(worker, list(arrays))
    with pytest.raises(TypeError, match="complex arrays are not sent"):
        forward(*[1j * a for a in arrays.values()])
    with pytest.raises(TypeError, match="complex arrays are not sent"):
        forward(1j * arrays["w"], arrays["x"])
    with pytest.raises(WorkerFailed, match="its process sent no outputs"):
        forward(*arrays.values())
    worker.changes.clear()
    y, saved = forward(*arrays.values())
    dy = np.ones((3, 4))
    np.testing.assert_allclose(y, arrays["x"] * arrays["w"])
    found = dict(zip(arrays, backward(dy, saved), strict=True))
    np.testing.assert_allclose(found["x"], np.broadcast_to(arrays["w"], (3, 4)))
    np.testing.assert_allclose(found["w"], arrays["x"].sum(0))


def scale_candidate():
    return {"init": [], "init_named": {}, "inputs": (np.arange(12.0).reshape(3, 4),)}


# --- texts --------------------------------------------------------------------------------------------------------


def entry(**changes):
    zeros = np.zeros(2)
    return Entry("w", (2,), zeros, zeros, zeros, zeros, zeros, **{"worst_index": (0,), **changes})


def test_the_reason_is_a_wrong_trap_then_a_diagnosis_then_an_entry_then_another_trap():
    report = GradientReport("f")
    report.traps = [Trap("small", "all are small", "note"), Trap("zero gradient", "all are zero", "cannot tell")]
    assert first_reason(report) == "zero gradient: all are zero"
    report.entries = {"w": entry(verdict="wrong")}
    assert first_reason(report) == "w: no known mistake explains this gradient"
    report.entries["w"].reason = "it has another shape"
    assert first_reason(report) == "w: it has another shape"
    report.entries["w"].diagnoses = [Diagnosis("sign flipped", "given = -true", "w")]
    assert first_reason(report) == "sign flipped [w]"
    report.entries["w"].diagnoses[0].place = ""
    assert first_reason(report) == "sign flipped"
    report.traps.append(Trap("input changed", "forward changes x"))
    assert first_reason(report) == "input changed: forward changes x"


def test_a_report_is_rebuilt_from_plain_values_without_control_characters():
    parts = {
        "title": "f\x1b[31m",
        "entries": [{**vars(entry(verdict="wrong")), "shape": [2], "unknown": 3}],
        "traps": [{"kind": "a\x00", "message": "b", "severity": "note"}],
        "notes": ["one\ntwo"],
    }
    report = rebuilt(parts)
    assert report.entries["w"].shape == (2,) and report.traps[0].kind == "a"
    assert report.title == "f [31m" and report.notes == ["one\n      two"]


def test_inputs_without_a_name_are_numbered():
    described = {"init": arguments(lambda sizes, rate: 0), "forward": arguments(lambda x: 0)}
    candidate = {"init": [[4, 5], 0.1], "inputs": [np.ones((2, 3)), 0.5]}
    assert describe_inputs(described, candidate) == ["sizes [4, 5]", "x 2x3", "input 1 0.5"]


def test_the_end_of_a_process_is_named_by_its_signal_or_its_code():
    assert ending(3) == "exit code 3" and ending(-9) == "SIGKILL"
    assert ending(-999) == "exit code -999"  # a number that no signal has


# --- messages -----------------------------------------------------------------------------------------------------


def test_plain_values_arrays_and_scalars_keep_their_types():
    import enum

    class Mode(str, enum.Enum):  # noqa: UP042  as students write it; str() of a member is its name
        SAME = "same"

    class Size(enum.IntEnum):
        BIG = 7

    class Rate(float):
        pass

    settings = Mode.SAME, Size.BIG, Rate(0.5)
    sent = {"x": (np.arange(3), 1.5, None, [True, "a"]), 2: np.float32(0.5), "settings": settings}
    got = wire.unpack(*wire.pack(sent))
    np.testing.assert_array_equal(got["x"][0], np.arange(3))
    assert got["x"][1:] == (1.5, None, [True, "a"])
    assert got[2] == 0.5 and got[2].dtype == np.float32
    # subclasses are sent as the plain values that they are
    assert got["settings"] == ("same", 7, 0.5) and [type(v) for v in got["settings"]] == [str, int, float]


@pytest.mark.parametrize("value", [object(), np.array(["a"]), {1, 2}, 1j])
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match="cannot be sent to the judge"):
        wire.pack([value])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"[1]", "a bare list"),
        (b'{"set": [1]}', "an unknown kind 'set'"),
        (b'{"array": ["<f8", [2], 0]}', "an array without its elements"),
        (b'{"array": ["|O8", [1], 0]}', r"an array of dtype \|O8"),
        (b'{"array": ["<f8", [-1], 0]}', "an array of dtype <f8"),
        (b'{"array": ["<f8", [true], 0]}', "an array of dtype <f8"),
        (b'{"array": 3}', "not a message: TypeError"),
        (b"{", "not a message: JSONDecodeError"),
        (b"{}", "not a message: ValueError"),
    ],
)
def test_a_message_in_another_format_is_refused(header, message):
    with pytest.raises(wire.BadMessage, match=message):
        wire.unpack(header, b"12345678")


def test_arrays_without_axes_stay_arrays_and_numbers_of_numpy_stay_numbers():
    array, number = wire.unpack(*wire.pack((np.array(0.5), np.float64(0.5))))
    assert isinstance(array, np.ndarray) and isinstance(number, np.float64)


def test_an_array_has_at_most_32_axes():
    array = np.ones((1,) * 32)
    assert wire.unpack(*wire.pack(array)).shape == array.shape
    with pytest.raises(wire.BadMessage, match="an array of dtype <f8"):
        wire.unpack(b'{"array": ["<f8", [%s], 0]}' % b",".join([b"1"] * 33), b"12345678")


def test_a_frame_that_is_too_large_is_refused():
    wire.check_lengths(wire.MAX_HEADER, 100, longest=100)
    for header, body in ((wire.MAX_HEADER + 1, 100), (wire.MAX_HEADER, 101)):
        with pytest.raises(wire.BadMessage, match="is too large"):
            wire.check_lengths(header, body, longest=100)
    with pytest.raises(wire.BadMessage, match="4,194,306 bytes is too large"):
        wire.frame("a" * wire.MAX_HEADER)


# --- inputs -------------------------------------------------------------------------------------------------------


def described(function, kind="function", doc=""):
    return {"kind": kind, "init": [], "forward": arguments(function), "doc": doc}


def test_a_number_has_the_type_of_its_annotation_and_a_default_is_kept():
    def f(x, zig: int, zag: float, zog: bool, zug: float = 0.25, last=None, *, k=0): ...

    (first, *_) = candidates("f", described(f), Given(shapes={"x": "2,3"}, values={"last": "a"}), 0)
    x, zig, *others = first["inputs"]
    assert x.shape == (2, 3) and type(zig) is int and others == [0.5, True, 0.25, "a"]


def test_an_argument_without_a_value_is_named_with_the_option_that_sets_it():
    def f(zig, zag): ...

    with pytest.raises(CannotDraw, match="what is zag.*Give --shape zag=4,5"):
        candidates("f", described(f), Given(shapes={"zig": "2"}), 0)


def test_indices_are_below_the_size_of_the_table_or_the_number_of_classes():
    def f(x, w, t): ...

    doc = "- x: integers, of shape (N, T)\n- w: of shape (V, D)\n- t: boolean, of shape (N, T)"
    (first, *_) = candidates("f", described(f, doc=doc), Given(), 0)
    x, w, t = first["inputs"]
    assert x.dtype.kind == "i" and x.max() < len(w) and t.dtype == bool and t.shape == x.shape

    def g(s, y): ...

    doc = "- s: of shape (N, C)\n- y: integers, of shape (N,)"
    s, y = candidates("g", described(g, doc=doc), Given(), 0)[0]["inputs"]
    assert y.shape == (len(s),) and y.max() < s.shape[1]
    # without an argument of floats with more axes, nothing says how many there are
    x, w, t = candidates("f", described(f, doc="- x: integers, of shape (N,)"), Given(shapes={"w": "2", "t": "2"}), 0)[
        0
    ]["inputs"]
    assert x.dtype.kind == "i"


def test_a_size_may_be_a_number_a_multiple_or_a_product():
    doc = "- x: of shape (2, H)\n- y: one-hot labels of shape (N, C,)\n- w: of shape (4*H, N*T)\n- v: of shape (3H,)"
    found = described_arguments(doc, ["x", "y", "w", "v"])
    assert not found["y"].integer
    sizes = sizes_of(found)
    two, h = sizes["x"]
    assert two == 2 and sizes["v"] == (3 * h,) and sizes["w"][0] == 4 * h and sizes["w"][1] % sizes["y"][0] == 0


# --- the command --------------------------------------------------------------------------------------------------


def options(subject, **changes):
    values = dict(input=[], shape=[], arg=[], init=None, convention=[], seconds=60.0, seed=0, json=False)
    return argparse.Namespace(subject=subject, **{**values, **changes})


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_limit_must_be_above_zero(seconds):
    with pytest.raises(ValueError, match="seconds must be a finite number above 0"):
        run_gradcheck(options("a.py", seconds=seconds))


def test_what_cannot_be_checked_is_reported_on_stderr_or_as_json(tmp_path, capsys):
    path = tmp_path / "empty.py"
    path.write_text("x = 1\n")
    assert run_gradcheck(options(str(path))) == 2
    assert "has nothing to check" in capsys.readouterr().err
    assert run_gradcheck(options(str(path), json=True)) == 2
    assert json.loads(capsys.readouterr().out)["verdict"] == "could not check"
    assert run_gradcheck(options(str(path), convention=["most"])) == 2
    assert "--convention must look like mean or NAME=mean, got 'most'" in capsys.readouterr().err
    deep = tmp_path / "deep.py"
    deep.write_text("x = " + "(" * 500 + ")" * 500)
    assert run_gradcheck(options(str(deep))) == 2
