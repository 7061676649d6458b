"""Every public function with wrong arguments: it works, or raises an error that its page names. Nothing else happens.

The tests go through the lists of public names, so that none is forgotten. The long ones run with make test-thorough;
``make fuzz`` draws many more examples.
"""

import contextlib
import copy
import os
import warnings

import numpy as np
import pytest
from cases import LAYERS, LOSSES
from good_calls import arguments_of, call, calls
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnscratch as nn

EXAMPLES = int(os.environ.get("NNSCRATCH_FUZZ") or 400)
ERRORS = (ValueError, TypeError, OSError, FloatingPointError)
HUGE = [1e308, 2**70, -(2**70), 10**400]
WRONG = [
    None, True, False, -1, 0, 1.5, float("nan"), float("inf"), -float("inf"), *HUGE, 1j, "x", "", b"x", "\0",
    -0.0, 5e-324, [], {}, (), [1], (1, 2), {"a": 1}, [[]], set(), range(3), object(), int, nn.ReLU,
    nn.Linear(2, 2, rng=0), np.array(3.0), np.zeros(0, np.float32), np.zeros((0, 3), np.float32),
    np.full((4, 3), np.nan, np.float32),
    np.zeros((2, 2), complex), np.array(["a"]), np.array([None, 1]), np.ones((1, 2, 3, 4, 5)), np.arange(3),
    np.bool_(True), np.float32(0.5), np.int64(3), np.ma.array([1.0, 2.0]),
]  # fmt: skip
LOOPS = {"max_tokens", "n", "steps", "num_layers", "max_length", "digits", "count", "beam_size", "threads"}
"""Arguments that say how often something is done: a huge number is no error there."""
ARRAYS = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint64, np.int64, bool, complex]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Run in an empty folder: some functions write a file, whose name may be any text."""
    monkeypatch.chdir(tmp_path)


@contextlib.contextmanager
def only_documented_errors():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with contextlib.suppress(*ERRORS):
            yield


def wrong_for(key):
    return [w for w in WRONG if not (key in LOOPS and isinstance(w, (int, float)) and w > 1000)]


def test_every_public_name_has_good_arguments():
    lacking = {name for name, function in calls().items() if arguments_of(name, function) is None}
    assert not lacking, "give tests/shared/good_calls.py good arguments for these, or a reason in NOT_CALLED"
    for name, function in calls().items():
        call(function, arguments_of(name, function))


@pytest.mark.thorough
@pytest.mark.parametrize("name", calls())
def test_one_wrong_argument(name):
    function = calls()[name]
    for key in arguments_of(name, function):
        for wrong in wrong_for(key):
            arguments = arguments_of(name, function)
            with only_documented_errors():
                call(function, arguments | {key: wrong})


@pytest.mark.thorough
@settings(max_examples=EXAMPLES, derandomize=EXAMPLES == 400, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_several_wrong_arguments(data):
    name = data.draw(st.sampled_from(sorted(calls())))
    arguments = arguments_of(name, calls()[name])
    keys = data.draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=3)) if arguments else []
    for key in keys:
        numbers = st.floats() | st.integers(-9, 9)
        arguments[key] = data.draw(st.sampled_from(wrong_for(key)) | ARRAYS | st.text() | numbers)
    with only_documented_errors():
        call(calls()[name], arguments)


def state_of(module):
    return {name: array.copy() for name, array in module.state_dict().items()}


@pytest.mark.thorough
@settings(max_examples=EXAMPLES, derandomize=EXAMPLES == 400, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_refused_forward_or_backward_leaves_the_module_as_it_was(data):
    cases = [case for group in (*LAYERS.values(), *LOSSES.values()) for case in group]
    case = data.draw(st.sampled_from(cases))
    module = case.build()
    module.to(dtype=np.float64)
    twin = copy.deepcopy(module)
    inputs = case.inputs(np.random.default_rng(0))
    wrong = data.draw(st.sampled_from(WRONG) | ARRAYS)
    position = data.draw(st.integers(0, len(inputs) - 1))
    before, refused = state_of(module), False
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            module(*inputs[:position], wrong, *inputs[position + 1 :])
        except ERRORS:
            refused = True
    if not refused:  # a value that the layer can use
        return
    for name, array in state_of(module).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    results = []
    for one in (module, twin):
        y = one(*inputs)
        gradient = [] if isinstance(y, float) else [np.ones_like(a) for a in (y if isinstance(y, tuple) else (y,))]
        if len(gradient) == 1:
            with contextlib.suppress(*ERRORS):
                one.backward(wrong)  # a wrong dy does not use up the forward
        if len(gradient) < 2:
            one.backward(*gradient)
        results.append([p.grad.copy() for p in one.parameters()])
    for got, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)
