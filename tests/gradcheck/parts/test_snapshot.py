"""Test what a snapshot finds and restores, and what a tape records."""

import functools
import math
import weakref
from array import array as number_array
from collections import deque
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from projections import project

import nnscratch as nn
from nnscratch.gradcheck.adapters import make_adapter
from nnscratch.gradcheck.projection import Projection
from nnscratch.gradcheck.snapshot import (
    ClassAttributes,
    Snapshot,
    default_names,
    equal_arrays,
    is_number_sequence,
    same_items,
    slots_of,
)
from nnscratch.gradcheck.tape import (
    CannotTape,
    Tape,
    change_path,
    flat_indices_of_view,
    record_operand,
    replace_factor,
    replace_slope,
    replace_upstream_by_ones,
    traced,
    traced_code,
)
from nnscratch.gradcheck.tape import tape as tape_module
from nnscratch.gradcheck.tape.traced_array import TracedArray, as_plain, running
from nnscratch.gradcheck.tape.traced_number import MATH, TracedNumber, TracedNumberArray, traced_math

NAN = float("nan")
exp = math.exp
GLOBAL = np.ones(2)
RNG = np.random.default_rng(0)


# --- the places of a snapshot ----------------------------------------------------------------------------------------


def places(root):
    return [steps[1:] for steps, _ in Snapshot(root).places]


def test_the_places_of_arrays():
    w = np.ones(2)
    layer = SimpleNamespace(w=w, rate=0.5, count=3, name="a", parts=[np.ones(1), {"b": np.ones(3)}], pair=(1.0, 2.0))
    assert places(layer) == [
        (("attribute", "w"),), (("attribute", "rate"),), (("attribute", "pair"),),
        (("attribute", "parts"), ("item", 0)), (("attribute", "parts"), ("item", 1), ("item", "b"))]  # fmt: skip
    assert places({"w": w, "again": w}) == [(("item", "w"),), (("item", "again"),)]
    assert [s.arrays() for s in [Snapshot({"w": w, "again": w})]] == [[w]]
    assert places([0.5]) == [] and places({"rate": np.float64(0.5)}) == [(("item", "rate"),)]


def test_the_places_in_an_array_of_objects():
    ragged = np.empty(2, dtype=object)
    ragged[0], ragged[1] = np.ones(1), np.ones(2)
    assert places(ragged) == [(("item", 0),), (("item", 1),)]
    table = np.empty((1, 2), dtype=object)
    table[0, 1] = np.ones(1)
    assert places(table) == [(("item", (0, 1)),)]


def test_the_places_in_functions():
    w = np.ones(2)

    def function(x, scale=w, *, shift=w):
        return x * w + GLOBAL + RNG.normal()

    of_arguments = [(("default", "scale"),), (("keyword default", "shift"),)]
    assert places(function) == [(("variable", "w"),), *of_arguments, (("global", "GLOBAL"),)]
    assert Snapshot(function).generators == [RNG]
    assert places(functools.partial(len, w)) == [(("attribute", "args"), ("item", 0))]
    assert default_names(lambda x, scale=2.0, shift=1.0: None) == ("scale", "shift") and default_names(len_of) == ()


def len_of(x):
    return len(x)


class Base:
    table = np.ones(2)
    history: list = []  # noqa: RUF012 - a mutable attribute of a class
    number = 3.0

    def method(self):
        return GLOBAL


class Slotted(Base):
    __slots__ = ("b", "w", "missing")

    def __init__(self):
        self.w = np.ones(2)


def test_the_places_in_classes():
    assert places(Base()) == [(("class attribute", "table"),), (("method", Base.method), ("global", "GLOBAL"))]
    assert (("attribute", "w"),) in places(Slotted())
    assert list(slots_of(Slotted())) == ["b", "w", "missing"] and slots_of(3) == {}
    assert list(slots_of(type("One", (), {"__slots__": "only"})())) == ["only"]
    assert list(slots_of(type("D", (), {"__slots__": ("a", "__dict__", "__weakref__")})())) == ["a"]
    layer = Base()
    layer.w = GLOBAL
    assert places(layer.method)[0] == (("self", None), ("attribute", "w"))


class PrivateSlot:
    __slots__ = ("__w", "b")

    def __init__(self):
        self.__w, self.b = np.ones(2), np.zeros(2)

    def set(self, value):
        self.__w = self.b = value

    def get(self):
        return self.__w


class PropertyOverSlot(PrivateSlot):
    __slots__ = ()

    @property
    def b(self):  # pathlib.Path of Python 3.13 has such a property
        return PrivateSlot.b.__get__(self) + 1

    @b.setter
    def b(self, value):
        PrivateSlot.b.__set__(self, value * 1)


def test_private_slots_and_slots_behind_a_property_are_restored():
    layer = PropertyOverSlot()
    w, b = layer.get(), PrivateSlot.b.__get__(layer)
    before = Snapshot(layer)
    assert [steps for steps in places(layer) if steps[0][0] == "attribute"] == [
        (("attribute", "_PrivateSlot__w"),),
        (("attribute", "b"),),
    ]
    layer.set(np.full(2, 5.0))
    before.restore()
    assert layer.get() is w and PrivateSlot.b.__get__(layer) is b


def test_a_path_is_restored():
    layer = SimpleNamespace(path=Path("data"))
    before = Snapshot(layer)
    before.restore()
    assert layer.path == Path("data")


# --- restored --------------------------------------------------------------------------------------------------------


def test_all_containers_are_restored():
    layer = SimpleNamespace(a=np.ones(2), items=[1], d={"k": 1}, s={1}, q=deque([1]), n=number_array("d", [1]))
    objects = np.array([np.ones(1), None], dtype=object)
    first = objects[0]
    slotted, old = Slotted(), layer.a
    slotted_w = slotted.w
    before = Snapshot(layer, objects, slotted)
    layer.a[0], layer.new = 5, 1
    for container in (layer.items, layer.q, layer.n):
        container.append(2)
    layer.d["m"] = 2
    layer.s.add(2)
    objects[0] = 7
    slotted.w = None
    assert any(a is old for a in before.changed()) and len(before.changed()) == 1
    layer.a = None
    before.restore()
    assert layer.a is old and old.tolist() == [1, 1] and not hasattr(layer, "new") and slotted.w is slotted_w
    assert (layer.items, layer.d, layer.s, layer.q, layer.n.tolist()) == ([1], {"k": 1}, {1}, deque([1]), [1])
    assert objects[0] is first and before.changed() == []


def test_the_order_of_a_dictionary_is_restored():
    d = {"a": 1, "b": 2}
    before = Snapshot(d)
    d["a"] = d.pop("a")
    before.restore()
    assert list(d) == ["a", "b"]
    a, b = [1], [1]
    assert same_items({"k": a}, {"k": a}) and not same_items({"k": a}, {"k": b}) and not same_items({}, {"k": a})
    assert not same_items({"k": a}, {"j": a}) and not same_items({"k": a, "j": a}, {"k": a, "j": b})


def test_functions_are_restored():
    w, count = np.ones(2), 0

    def function(x=w, *, y=1):
        nonlocal count
        count += 1
        return w

    before = Snapshot(function)
    function()
    function.__defaults__, function.__kwdefaults__["y"] = (None,), 5
    before.restore()
    assert count == 0 and function.__defaults__[0] is w and function.__kwdefaults__ == {"y": 1}


def test_globals_are_restored():
    global GLOBAL
    held, before = GLOBAL, Snapshot(Base.method)
    GLOBAL = None
    before.restore()
    assert GLOBAL is held


EMPTY = None


def test_globals_that_had_no_value_are_restored():
    def forward(x):
        global EMPTY, CREATED
        EMPTY = CREATED = x
        return x

    before = Snapshot(forward)
    forward(np.ones(2))
    assert EMPTY is CREATED is not None
    before.restore()
    assert EMPTY is None and "CREATED" not in globals()
    Snapshot(forward).restore()
    assert "CREATED" not in globals() and GLOBAL is not None


def test_variables_and_slots_that_had_no_value_are_restored():
    def forward(x):
        nonlocal cache
        cache = x

    def value():
        return cache

    if False:
        cache = None
    slotted = Slotted()
    before = Snapshot(forward, slotted)
    before.restore()
    forward(3)
    slotted.missing = 4
    assert value() == 3
    before.restore()
    assert not hasattr(slotted, "missing")
    with pytest.raises(NameError):
        value()


class Counter(Base):
    calls, last = 0, None

    def forward(self, x):
        type(self).calls += 1
        Counter.last = Counter.created = x
        Base.table = x
        return x


def test_the_attributes_of_classes_are_restored():
    counter, table = Counter(), Base.table
    before = Snapshot(counter.forward)
    counter.forward(np.zeros(2))
    assert Counter.calls == 1 and Base.table is not table
    before.restore()
    assert (Counter.calls, Counter.last) == (0, None) and not hasattr(Counter, "created") and Base.table is table
    assert "table" not in vars(Counter) and Counter.forward(counter, 3) == 3
    before.restore()


def test_the_attributes_of_a_class_are_recorded_once():
    recorded = [c.cls for c, _ in Snapshot([Counter() for _ in range(3)]).containers if isinstance(c, ClassAttributes)]
    assert recorded == [Counter, Base]


def helper():
    return GLOBAL


class State:
    def __init__(self):
        self.calls = 0


STATE = State()


class Counted:
    state = State()

    def forward(self):
        self.state.calls += 1
        STATE.calls += 1
        return helper()


def test_objects_in_globals_and_classes_are_restored():
    layer = Counted()
    before = Snapshot(layer)
    layer.forward()
    assert STATE.calls == Counted.state.calls == 1
    before.restore()
    assert STATE.calls == Counted.state.calls == 0


def test_functions_of_the_same_file_are_followed():
    def forward():
        return helper()

    assert places(forward) == [(("global", "helper"), ("global", "GLOBAL"))]
    assert places(lambda: SimpleNamespace(w=1.0)) == [] and places(lambda: np.stack(0.5)) == []


def test_modules_and_compiled_objects_are_not_restored():
    module, compiled = ModuleType("module"), type("Tensor", (), {"__module__": "torch.nn"})()
    module.calls = compiled.calls = 0
    before = Snapshot({"module": module, "compiled": compiled})
    module.calls = compiled.calls = 1
    before.restore()
    assert module.calls == compiled.calls == 1


def test_the_functions_of_the_package_are_not_followed():
    assert {steps[1][0] for steps, _ in Snapshot(nn.Linear(2, 2)).places} == {"attribute"}


def test_an_array_with_one_object():
    held, w = np.empty((), dtype=object), np.ones(2)
    held[()] = w
    before = Snapshot({"held": held})
    held[()] = 5
    before.restore()
    assert held[()] is w


def test_an_object_lives_as_long_as_its_snapshot():
    state = State()
    seen, before = weakref.ref(state), Snapshot(state)
    del state
    assert seen() is not None and before.changed() == []


def test_the_recorded_values_of_numbers():
    numbers, objects, w = [1.0, 2], np.array([1.0, 2], dtype=object), np.ones(2)
    before = Snapshot({"numbers": numbers, "objects": objects, "w": w})
    numbers[0], w[0] = 7.0, 7.0
    for value in (numbers, objects):
        assert before.values_of(value).dtype == np.float64 and before.values_of(value).tolist() == [1, 2]
    assert before.values_of(w).tolist() == [1, 1] and before.values_of(np.ones(2)) is None


def test_kept_and_read_only_arrays_are_not_restored():
    a, b, c = np.ones(1), np.ones(1), np.ones(1)
    c.flags.writeable = False
    before = Snapshot([a, b, c])
    a[0] = b[0] = 5
    assert before.values_of(a).tolist() == [1] and before.values_of(np.ones(1)) is None
    before.restore(keep={id(a)})
    assert (a[0], b[0]) == (5, 1)


def test_generators_are_restored():
    rng = np.random.default_rng(0)
    before = Snapshot([rng])
    first = rng.normal()
    before.restore()
    assert rng.normal() == first


def test_sequences_of_numbers():
    assert all(is_number_sequence(v) for v in ([0.5], (1, 2.0), [[1.0, 2], [3, 4]], number_array("f", [1])))
    assert is_number_sequence(np.array([0.5, 1], dtype=object)) and not is_number_sequence(np.array([], dtype=object))
    for v in ([], [1, 2], [1.0, "a"], [1.0, True], [[1.0], [2.0, 3.0]], [1.0, [2.0]], number_array("i", [1]),
              number_array("d"), {1.0}, 1.0, np.ones(2), [np.ones(2)]):  # fmt: skip
        assert not is_number_sequence(v)


def test_equal_arrays_have_equal_shapes_and_elements():
    a = np.array([1.0, NAN])
    assert equal_arrays(a, a.copy()) and not equal_arrays(a, np.array([1.0, 2.0])) and not equal_arrays(a, a[None])
    assert not equal_arrays(a, np.array([2.0, NAN])) and not equal_arrays(np.array([1.0, 2.0]), a)


# --- the tape --------------------------------------------------------------------------------------------------------

X, W = np.array([[1.0, -2.0]]), np.array([[0.5, 1.0], [3.0, -1.0]])


def layer(x, w):
    z = x @ w
    return np.tanh(z) * z[:, :1]


def taped(forward, *inputs, weights=None):
    return Tape(project(forward, lambda dy, *inputs: inputs, *(a.copy() for a in inputs), weights=weights))


def test_a_tape_records_operations():
    with taped(layer, X, W) as tape:
        assert [node.name for node in tape.nodes] == ["matmul", "tanh", "multiply"]
        matmul, tanh, multiply = tape.nodes
        assert [node.number for node in tape.nodes] == [0, 1, 2] and matmul.variables == ["x", "w"]
        assert matmul.whole == [True, True] and matmul.view_indices == [None, None]
        assert matmul.active == [True, True] and tanh.active == [True] and tanh.variables == [None]
        assert (matmul.elementwise, tanh.elementwise, multiply.elementwise) == (False, True, True)
        assert matmul.result.tolist() == (X @ W).tolist() and tanh.operands[0].tolist() == (X @ W).tolist()
        assert matmul.place.endswith(": x @ w") and matmul.operand_names == ["x", "w"] and matmul.result_name == "z"
        assert tape.value() == pytest.approx(tape.projection()) and tape.runs == 3
        assert matmul.active == [True, True]  # also after a run in which nothing moves
        assert tanh.views[0].tolist() == (X @ W).tolist() and matmul.views == [None, None]
        assert tape.cost == 3 * 200 + (2 + 2 + 4) + (2 + 2) + (2 + 2 + 1)


def test_an_operand_is_active_if_one_of_its_elements_moves():
    held = np.ones((1, 2))

    def forward(x, w):
        return np.concatenate([x, held]) * 2 * w

    with taped(forward, X, W) as tape:
        doubled = next(node for node in tape.nodes if node.place.endswith(" * 2"))
        assert doubled.active == [True, False]


def test_arrays_that_the_code_holds_are_traced_too():
    held, ids, small, seen = np.array([[2.0, 3.0]]), np.array([0, 0]), np.ones(2, dtype="f"), {}

    def forward(x, w):
        seen.update(held=type(held), ids=type(ids), small=type(small))
        return held.dot(w)[ids] * small

    tape = taped(forward, X, W)
    with tape:
        assert [node.name for node in tape.nodes] == ["dot", "lookup", "multiply"]
        assert seen == {"held": TracedArray, "ids": np.ndarray, "small": np.ndarray}
    tape.projection.forward()
    assert set(seen.values()) == {np.ndarray}


def test_functions_of_math_are_recorded_for_numbers():
    projection = project(lambda s: math.exp(s) * 2, lambda dy, s: s, 1.5, weights=3.0)
    with Tape(projection) as tape:
        assert [node.name for node in tape.nodes] == ["exp", "multiply"]
        assert tape.value() == pytest.approx(3 * 2 * math.exp(1.5)) and math.exp is exp
    with taped(lambda x, w: x @ w + math.exp(1), X, W) as tape:
        assert [node.name for node in tape.nodes] == ["matmul", "add"]


def test_a_forward_that_keeps_state_is_recorded():
    count, cache, held = np.zeros(1), {}, np.array([[2.0, 3.0]])

    def counts(x, w):
        count[0] += 1
        return (x @ w + held.dot(w)) * count[0]

    def caches(x, w):
        if not cache:
            cache["z"] = x @ w
        return cache["z"] * 2.0

    for forward, replayed in ((counts, "state"), (caches, "")):
        cache.clear()
        tape = taped(forward, X, W)
        cache.clear()
        assert tape.projection.replayed == replayed
        expected = tape.projection()
        cache.clear()
        with tape:
            assert "matmul" in {node.name for node in tape.nodes}
            assert (forward is counts) == ("dot" in {node.name for node in tape.nodes})
            before = tape.value()
            assert before == pytest.approx(expected)
            assert tape.value() == before  # each run starts in the same state
            for name in "xw":
                tape.projection.variables[name] += 1
                assert tape.value() != before
                tape.projection.variables[name] -= 1
            assert tape.value() == pytest.approx(before)
        assert tape.projection.replayed == replayed


def test_a_run_leaves_nothing_saved():
    tape, calls = taped(layer, X, W), []
    tape.adapter.clear_saved = lambda: calls.append(1)
    with tape:
        calls.clear()
        tape.value()
        assert calls == [1]


def test_rounds_of_a_loop_and_operands_that_do_not_move():
    def forward(x, w):
        total = 0 * x[:, 0]
        for k in range(2):
            total = total + x[:, k] * 2.0
        return total

    with taped(forward, X, W) as tape:
        rounds = [node.round for node in tape.nodes if node.name == "multiply" and node.place.endswith("* 2.0")]
        assert rounds == [0, 1]
        column = next(node for node in tape.nodes if node.place.endswith("* 2.0"))
        assert column.whole == [False, True] and column.view_indices[0].tolist() == [0]
        assert column.active == [True, False]
        assert column.whole_indices[1] is None and column.views == [None, None]


def test_the_flat_indices_of_a_view():
    a = np.zeros((3, 4))
    flat = np.arange(12).reshape(3, 4)
    for view, expected in ((a, flat), (a[1:, ::2], flat[1:, ::2]), (a.T, flat.T), (a[::-1], flat[::-1])):
        assert flat_indices_of_view(view, a).tolist() == expected.tolist()
    assert flat_indices_of_view(a[2, 1:2], a).tolist() == [9]
    for array, own in ((a.T, flat.T), (a[:, 1:3], flat[:, 1:3]), (a[::2, ::-1], flat[::2, ::-1])):
        found = flat_indices_of_view(array[1:, ::2], array)
        assert own.ravel()[found].tolist() == own[1:, ::2].tolist()
        assert found.tolist() == np.arange(own.size).reshape(own.shape)[1:, ::2].tolist()
    assert flat_indices_of_view(a, a[:, 1:3]) is None and flat_indices_of_view(a[:, :1], a[:, 1:3]) is None
    assert flat_indices_of_view(a, a.T).tolist() == np.arange(12).reshape(4, 3).T.tolist()


def test_two_parameters_in_the_columns_of_one_array():
    class TwoBlocks:
        def __init__(self):
            both = np.arange(12.0).reshape(3, 4)
            self.params, self.grads = {"w": both[:, :2], "v": both[:, 2:]}, {"w": 0, "v": 0}

        def forward(self, x):
            return (x @ self.params["w"]) * (x @ self.params["v"])

        def backward(self, dy):
            return dy

    projection = Projection(make_adapter(TwoBlocks(), (np.ones((2, 3)),)), np.random.default_rng(0))
    with Tape(projection) as tape:
        assert [node.variables for node in tape.nodes] == [["x", "w"], ["x", "v"], [None, None]]


def test_a_tape_restores_the_code():
    tape = taped(layer, X, W)
    inputs = tape.adapter.inputs
    with tape:
        assert type(tape.adapter.inputs[0]) is TracedArray
    assert tape.adapter.inputs is inputs and running == []
    assert all((v == a).all() for v, a in zip(tape.projection.variables.values(), (X, W), strict=True))


def test_forwards_that_cannot_be_recorded(monkeypatch):
    monkeypatch.setattr(tape_module, "MAX_NODES", 3)
    with taped(layer, X, W) as tape:
        assert len(tape.nodes) == 3
    monkeypatch.setattr(tape_module, "MAX_NODES", 2)
    with pytest.raises(CannotTape, match="more than 2 operations"):
        taped(layer, X, W).__enter__()
    monkeypatch.setattr(tape_module, "MAX_NODES", 3000)
    for limit, fits in ((617, True), (616, False)):
        monkeypatch.setattr(tape_module, "MAX_ELEMENTS", limit)
        tape = taped(layer, X, W)
        if fits:
            tape.__enter__()
            tape.__exit__()
        else:
            with pytest.raises(CannotTape, match="too large"):
                tape.__enter__()
    for inputs in ([X.astype("f"), W], [X, W.astype("f")]):
        with pytest.raises(CannotTape, match="only NumPy arrays in float64"):
            taped(lambda x, w: x @ w, *inputs).__enter__()


def test_the_code_is_put_back_if_it_cannot_be_recorded(monkeypatch):
    monkeypatch.setattr(tape_module, "MAX_NODES", 2)
    tape = taped(layer, X, W)
    inputs = tape.adapter.inputs
    with pytest.raises(CannotTape):
        tape.__enter__()
    assert tape.adapter.inputs is inputs and type(inputs[0]) is np.ndarray and running == []


def moved(tape, changes, x=0.0, w=0.0):
    """Return the change of f if x and w move, with these changes of operations."""
    variables = tape.projection.variables
    tape.changes = {}
    start = tape.value()
    tape.changes = changes
    assert tape.value() == pytest.approx(start)  # nothing moves
    for name, step in (("x", x), ("w", w)):
        variables[name] += step
    value = tape.value()
    for name, step in (("x", x), ("w", w)):
        variables[name] -= step
    return value - start


def test_changes_of_a_product():
    with taped(lambda x, w: x * w, np.array([2.0, 3.0]), np.array([5.0, 7.0]), weights=[1, 1]) as tape:
        assert moved(tape, {}, x=1.0) == pytest.approx(12)
        assert moved(tape, {0: change_path(0, lambda m: 0 * m)}, x=1.0) == pytest.approx(0)
        assert moved(tape, {0: change_path(0, lambda m: -m)}, x=1.0) == pytest.approx(-12)
        assert moved(tape, {0: change_path(0, lambda m: 0 * m)}, w=1.0) == pytest.approx(5)
        assert moved(tape, {0: change_path(-1, lambda m: 3 * m)}, x=1.0) == pytest.approx(36)
        assert moved(tape, {0: replace_factor(0, 1, np.array([10.0, 20.0]))}, x=1.0) == pytest.approx(30)
        assert moved(tape, {0: replace_factor(0, 1, np.array([10.0, 20.0]))}, w=1.0) == pytest.approx(5)
        assert moved(tape, {0: replace_upstream_by_ones(tape)}, x=1.0) == pytest.approx(12)
        assert moved(tape, {0: replace_slope(tape, (0, 1), lambda m: 100 * m)}, w=1.0) == pytest.approx(200)
    with taped(lambda x, w: np.tanh(x * w), np.array([2.0, 3.0]), np.array([5.0, 7.0]), weights=[1, 2]) as tape:
        changes = {0: record_operand(tape, 0), 1: replace_slope(tape, (0, 0), lambda m: m)}
        assert moved(tape, changes, x=1.0) == pytest.approx(3)
        assert moved(tape, {1: replace_upstream_by_ones(tape)}, x=0.0) == 0


def test_a_square_moves_both_operands():
    with taped(lambda x, w: x * x + w, np.array([2.0]), np.array([1.0]), weights=[1]) as tape:
        assert moved(tape, {0: change_path(0, lambda m: 0 * m)}, x=1.0) == pytest.approx(0)
        assert moved(tape, {0: change_path(0, lambda m: 2 * m)}, x=1.0) == pytest.approx(4**2 - 2**2)


def test_skipped_and_stored_results():
    with taped(layer, X, W) as tape:
        tape.results = {}
        tape.value()
        assert {k: r.tolist() for k, r in tape.results.items()} == {n.number: n.result.tolist() for n in tape.nodes}
        tape.results, tape.skipped = None, {2}
        before, runs = tape.value(), tape.runs
        tape.projection.variables["x"] += 1
        assert tape.value() == before and tape.runs == runs + 1


def test_a_forward_with_other_operations_cannot_be_replayed():
    def forward(x, w):
        return np.tanh(x * w) if x[0] < 2.5 else x * w

    def longer(x, w):
        return x * w if x[0] < 2.5 else np.tanh(x * w)

    for function in (forward, longer):
        with taped(function, np.array([2.0]), np.array([5.0])) as tape:
            tape.projection.variables["x"] += 1
            with pytest.raises(CannotTape, match="did not run the same operations"):
                tape.value()


# --- traced arrays ---------------------------------------------------------------------------------------------------


class Watcher:
    def __init__(self):
        self.names = []

    def operation(self, name, compute, operands, kwargs):
        self.names.append(name)
        assert not any(isinstance(x, TracedArray) for x in operands)
        return compute(*operands)


def traced_names(function, *inputs):
    """Return the operations of a function of traced arrays, and its result."""
    watcher = Watcher()
    running.append(watcher)
    try:
        result = function(*(np.array(x, dtype=float).view(TracedArray) for x in inputs))
    finally:
        running.pop()
    return watcher.names, result


@pytest.mark.parametrize(
    "function, expected",
    [
        (lambda x: x + 1, ["add"]),
        (lambda x: x.sum(axis=0), ["add.reduce"]),
        (lambda x: np.add(x, 1, out=x), ["add"]),
        (lambda x: np.modf(x)[0], []),
        (lambda x: np.add.accumulate(x), []),
        (lambda x: np.add(x, 1, where=x > 0, out=np.zeros((2, 2))), ["greater"]),
        (lambda x: np.where(x > 0, x, 0), ["greater", "where"]),
        (lambda x: np.where(x > 0)[0], ["greater"]),
        (lambda x: np.concatenate([x, x]), ["concatenate"]),
        (lambda x: np.stack((x, x), axis=1), ["concatenate"]),
        (lambda x: np.dot(x, x), ["dot"]),
        (lambda x: x.dot(x), ["dot"]),
        (lambda x: np.dot(x, x, out=np.zeros((2, 2))), []),
        (lambda x: x.cumsum(axis=1), ["cumsum"]),
        (lambda x: x[[0, 1]], ["lookup"]),
        (lambda x: x[:, np.array([0])], ["lookup"]),
        (lambda x: x[0], []),
        (lambda x: x[0, 1], []),
        (lambda x: np.flip(x), []),
    ],
)
def test_operations_are_reported(function, expected):
    x = np.array([[1.0, -2.0], [3.0, 4.0]])
    names, result = traced_names(function, x)
    assert [n for n in names] == expected
    np.testing.assert_array_equal(as_plain(result), function(x.copy()))
    assert isinstance(result, TracedArray) or not expected or expected == ["greater"]


def test_the_arguments_of_an_operation_are_kept():
    x = np.array([[1.0, -2.0], [3.0, 4.0]])
    for function in (lambda x: np.stack((x, x), 1), lambda x: np.roll(x, 1, axis=1), lambda x: np.take(x, 0, axis=1)):
        np.testing.assert_array_equal(as_plain(traced_names(function, x)[1]), function(x))
    ids = np.zeros((2, 2), dtype=int)
    names, _ = traced_names(lambda x: np.add(x, 1.5, out=ids, casting="unsafe"), x)
    assert names == ["add"] and ids.tolist() == [[2, 0], [4, 5]]


def test_other_functions_return_traced_floats_and_plain_integers():
    names, result = traced_names(lambda x: np.bincount([0, 0, 1], weights=x), [1.0, 2.0, 4.0])
    assert names == [] and isinstance(result, TracedArray) and result.tolist() == [3, 4]
    _, result = traced_names(lambda x: np.searchsorted(x, [1.5, 9.0]), [1.0, 2.0, 4.0])
    assert type(result) is np.ndarray and result.tolist() == [1, 3]


def test_one_element_of_a_traced_array_is_traced():
    _, element = traced_names(lambda x: x[0, 1], X)
    assert isinstance(element, TracedArray) and element.shape == () and element == -2
    assert np.ones(2).view(TracedArray)[0].shape == ()  # also if nothing runs


def test_a_mask_of_a_traced_array_is_an_operation():
    def masked(x):
        x[x < 0] = 0
        return x

    names, result = traced_names(masked, X)
    assert names == ["less", "where"] and result.tolist() == [[1, 0]]

    def elements(x):
        x[0, 0] = 7
        x[np.array([0])] = 5
        x[x > 9] = np.ones(0)
        return x

    names, result = traced_names(elements, X)
    assert names == ["greater"] and result.tolist() == [[5, 5]]


def test_traced_numbers_report_operations():
    watcher = Watcher()
    running.append(watcher)
    try:
        a = TracedNumber(2.0)
        with traced_math():
            results = [a + 1, 1 + a, a - 1, 1 - a, a * 3, 3 * a, a / 4, 4 / a, a**3, 3**a, -a, abs(-a), math.exp(a),
                       math.pow(a, 2), math.pow(2, a), math.atan(a), math.fabs(a), math.log(a)]  # fmt: skip
            plain = [math.exp(1.0), math.log(a, 2)]
    finally:
        running.pop()
    assert [float(r) for r in results] == pytest.approx(
        [3, 3, 1, -1, 6, 6, 0.5, 2, 8, 9, -2, 2, math.exp(2), 4, 4, math.atan(2), 2, math.log(2)])  # fmt: skip
    assert all(isinstance(r, TracedNumber) for r in results) and plain == pytest.approx([math.e, 1])
    assert len(watcher.names) == len(results) + 1 and not any(isinstance(p, TracedNumber) for p in plain)
    assert type(a + 1) is float and a.__add__("b") is NotImplemented and math.exp(1.0) == pytest.approx(math.e)


def test_the_functions_of_math_are_put_back():
    held = {name: getattr(math, name) for name in MATH}
    with traced_math():
        assert all(getattr(math, name) is not function for name, function in held.items())
    assert all(getattr(math, name) is function for name, function in held.items())


def test_a_traced_list_of_numbers():
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    numbers = array.view(TracedNumberArray)
    plain = numbers.tolist()
    assert plain == [[1, 2], [3, 4]] and type(plain[0][0]) is float
    running.append(Watcher())
    try:
        traced_list, one = numbers.tolist(), array[0, 0, ...].view(TracedNumberArray).tolist()
    finally:
        running.pop()
    assert traced_list == plain and type(traced_list[1][0]) is TracedNumber is type(one)
    array[1, 0] = 7
    assert traced_list[1][0].array == 7  # the number stands for this element


def test_traced_code_is_put_back():
    held, ids, small = np.ones(3), np.arange(3), np.ones(3, dtype="f")

    def forward(x):
        seen.update(held=type(held), ids=type(ids), small=type(small), x=type(x))
        return x * held * small + held[ids]

    seen = {}
    projection = project(forward, lambda dy, x: dy * held, np.ones(3))
    adapter = projection.adapter
    inputs, adapter.gradients = adapter.inputs, lambda dys: {"x": 5 * dys[0]}
    own = adapter.gradients
    with traced_code(projection, Watcher(), backward=True):
        assert adapter.gradients is not own and adapter.inputs is not inputs
        projection.forward()
        assert seen == {"held": TracedArray, "ids": np.ndarray, "small": np.ndarray, "x": TracedArray}
    assert adapter.gradients is own and "run" not in vars(adapter) and adapter.inputs is inputs
    projection.forward()
    assert set(seen.values()) == {np.ndarray}


def test_traced_code_runs_on_traced_arrays():
    seen = []

    def forward(x):
        seen.append(type(x))
        return np.tanh(x)

    projection = project(forward, lambda dy, x: dy * (1 - np.tanh(x) ** 2), X.copy())
    watcher = Watcher()
    with traced(projection, watcher, backward=False) as inner:
        assert inner.weights is projection.weights
        watcher.names.clear()
        inner()
        assert watcher.names == ["tanh"] and isinstance(inner.variables["x"], TracedArray)
        watcher.names.clear()
        inner.analytic()
        assert watcher.names == ["tanh"]
    with traced(projection, watcher, backward=True) as inner:
        watcher.names.clear()
        inner.analytic()
        assert watcher.names[:2] == ["tanh", "tanh"] and len(watcher.names) > 3
    watcher.names.clear()
    projection.analytic()
    assert watcher.names == [] and "run" not in vars(projection.adapter)
