"""Test places and names of arrays, the cost of a check, and its sampled elements."""

from types import SimpleNamespace

import numpy as np
import pytest
from wrong_gradients import entry_of

from nnscratch.gradcheck import cost
from nnscratch.gradcheck.gradient_names import (
    array_words,
    closeness,
    gradient_key,
    gradient_of,
    gradient_words,
    keys_of,
    plain,
)
from nnscratch.gradcheck.learned_names import is_learned_name, is_setting_name, is_weight_name, name_of, words_of
from nnscratch.gradcheck.places import follow, holder_types, is_outside, place_name, put_at, short_names, value_at
from nnscratch.gradcheck.report import GradientReport
from nnscratch.gradcheck.sampling import sample_indices
from nnscratch.gradcheck.settings import Settings

GLOBAL = 1.0


def at(*path, root=("item", 0)):
    """Return the steps to ``self.a.b[0]`` from "a", "b", 0."""
    return (("root", 0), root, *(("attribute", p) if isinstance(p, str) else ("item", p[0]) for p in path))


# --- places ----------------------------------------------------------------------------------------------------------


def make():
    variable = 2.0

    def function(x, scale=3.0, shift=4.0, *, rate=5.0):
        return variable + GLOBAL

    return function


class Layer:
    table = 7.0

    def method(self):
        return 8.0


def test_a_step_leads_to_a_member():
    function, layer = make(), Layer()
    layer.w = 6.0
    for holder, kind, key, member in (([9.0], "root", 0, 9), ({"k": 9.0}, "item", "k", 9), (layer, "attribute", "w", 6),
                                      (layer, "class attribute", "table", 7), (function, "variable", "variable", 2),
                                      (function, "global", "GLOBAL", 1), (function, "default", "scale", 3),
                                      (function, "default", "shift", 4), (function, "keyword default", "rate", 5),
                                      (layer.method, "self", None, layer)):  # fmt: skip
        assert follow(holder, kind, key) == member
    assert follow(layer, "method", Layer.method) is Layer.method is follow(layer.method, "function", None)
    with pytest.raises(AttributeError, match="Layer has no attribute v"):
        follow(layer, "attribute", "v")
    with pytest.raises(LookupError, match="member"):
        follow({1}, "member", None)


def test_a_value_is_put_at_a_place():
    global GLOBAL
    function, layer = make(), Layer()
    roots = [[function, layer, {"k": 1.0}]]
    for step in (("variable", "variable"), ("global", "GLOBAL"), ("default", "shift"), ("keyword default", "rate")):
        steps = (("root", 0), ("item", 0), step)
        held = value_at(roots, steps)
        put_at(roots, steps, 50.0)
        assert value_at(roots, steps) == 50
        put_at(roots, steps, held)
    assert function.__defaults__ == (3, 4) and GLOBAL == 1
    put_at(roots, (("root", 0), ("item", 1), ("attribute", "w")), 5.0)
    put_at(roots, (("root", 0), ("item", 2), ("item", "k")), 6.0)
    assert layer.w == 5 and roots[0][2] == {"k": 6}
    with pytest.raises(TypeError, match="self.table cannot be replaced"):
        put_at(roots, (("root", 0), ("item", 1), ("class attribute", "table")), 5.0)


def test_the_names_of_places():
    assert place_name(at("fc1", "W")) == "self.fc1.W" and place_name(at("params", ["W"])) == "self.params['W']"
    assert place_name(at("layers", [0], "W")) == "self.layers[0].W"
    assert place_name((("root", 0), ("item", 0), ("class attribute", "table"))) == "self.table"
    for kind in ("variable", "global", "default", "keyword default"):
        steps = (("root", 0), ("item", 0), (kind, "weights"), ("item", "W1"))
        assert place_name(steps) == "weights['W1']" and is_outside(steps[:3]) and not is_outside(steps)


def test_short_names_are_unique():
    params, other, data = at("params", ["W"]), at("cache", ["W"]), at("fc1", "W", "data")
    assert short_names([params, data], set()) == {params: "W", data: "fc1.W"}
    assert short_names([params, other], set()) == {params: "W", other: "cache['W']"}
    assert short_names([params], {"W"}) == {params: "params['W']"}
    assert short_names([at("W")], {"W"}) == {at("W"): "self.W"} and short_names([at("W")], set()) == {at("W"): "W"}
    assert short_names([at("data")], set()) == {at("data"): "data"}
    assert short_names([at("layers", [0])], set()) == {at("layers", [0]): "layers[0]"}
    deep = at("a", "b", ["W"])
    assert short_names([deep], set()) == {deep: "a.b['W']"}


def test_the_types_of_the_holders():
    layer = Layer()
    layer.w = np.ones(1)
    assert holder_types([[layer]], (("root", 0), ("item", 0), ("attribute", "w"))) == [list, Layer]
    steps = (("root", 0), ("self", None), ("attribute", "w"))
    assert holder_types([layer.method], steps) == [Layer]


# --- names of gradients ----------------------------------------------------------------------------------------------


def test_the_array_of_a_gradient():
    for name, array in (("dW", "W"), ("dLdW", "W"), ("nabla_b", "b"), ("grad_W1", "W1"), ("gamma_grad", "gamma"),
                        ("dE_dW", "W"), ("gb", "b"), ("W_bar", "W"), ("delta_w", "w"), ("dbeta", "beta")):  # fmt: skip
        assert array in gradient_of(name)
    assert gradient_of("W") == gradient_of("d") == gradient_of("weights") == []
    assert "ata" in gradient_of("data")
    assert gradient_of("dout_dense") == gradient_of("d_out_dense") == ["ense", "out_dense"]


def test_the_key_of_a_gradient():
    assert gradient_key("W1", ["db1", "dW1", "dW2"]) == "dW1" and gradient_key("x", ["x", "dx"]) == "x"
    assert gradient_key("y", ["dx"]) is None and gradient_key("x", [3, "", "dx"]) == "dx"


def test_the_words_of_a_place():
    assert keys_of(at("_params", ["W"])) == ["params", "W"] and keys_of(at("layers", [2], "_")) == ["layers", 2, "_"]
    assert keys_of((("returned", None), ("item", "dW"))) == ["dW"]
    assert keys_of((("root", 0), ("item", 0), ("self", None), ("attribute", "w"))) == ["w"]
    assert keys_of((("root", 0), ("item", 0), ("method", Layer.method), ("global", "w"))) == ["w"]
    assert array_words(at("params", ["W"])) == ("W",) and array_words(at("fc1", "W", "data")) == ("fc1", "W")
    assert plain(("Weights", 2, "bias", "V")) == ("w", 2, "b", "v")


def test_the_possible_arrays_of_a_gradient():
    assert gradient_words(at("fc1", "dW")) == {("fc1", "W")} and gradient_words(at("grads", ["W"])) == {("W",)}
    assert gradient_words(at("fc1", "W")) == set() and gradient_words(at("dlayers", [0])) >= {(0,)}
    assert gradient_words((("returned", None), ("item", "W"))) == {("W",)}
    assert ("W",) in gradient_words(at("params", "dW"))
    assert gradient_words(at("params", ["W"])) == gradient_words(at("layers", [2])) == set()  # not marked as gradients
    assert gradient_words(at("grads", [2])) == {(2,)} and gradient_words(at("grads", [""])) == {("",)}


def test_how_well_two_names_fit():
    assert closeness(at("W"), at("dW")) == 3 and closeness(at("params", ["W"]), at("grads", ["dW"])) == 3
    assert closeness(at("weights"), at("dW")) == 2 and closeness(at("weights"), at("dw")) == 2
    assert closeness(at("fc1", "W"), at("grads", ["W"])) == 1 and closeness(at("W"), at("fc1", "dW")) == 1
    assert closeness(at("fc1", "W"), at("grads", ["dW"])) == 1  # the gradient of W, or that of dW
    assert closeness(at("net", "fc1", "W"), at("grads", ["W"])) == 1 == closeness(at("W"), at("net", "fc1", "dW"))
    assert closeness(at("W"), at("db")) == 0 and closeness(at("W"), at("V")) == 0
    assert closeness(at("params"), at("d")) == 0


# --- learned names ---------------------------------------------------------------------------------------------------


def test_the_last_name_of_a_place():
    assert name_of(at("masks", [3])) == "masks" and name_of(at("W", "data")) == "W" and name_of(at("data")) == "data"
    assert name_of(at([3])) == "" and name_of(at("params", ["W"])) == "W" and name_of(at("W", "grad")) == "grad"


def test_the_kinds_of_names():
    assert words_of("posEncoding2_EPS") == ["pos", "encoding", "eps"] and words_of("12") == []
    assert all(map(is_learned_name, ("W1", "bias", "embedding")))
    assert not any(map(is_learned_name, ("x", "class_weights", "")))
    assert all(map(is_weight_name, ("W1", "b", "W_b"))) and not any(map(is_weight_name, ("W_x", "gamma", "", "1")))
    assert all(map(is_setting_name, ("eps", "running_mean", "class_weights")))
    assert not any(map(is_setting_name, ("W", "mean_weight", "A", "class", "")))


# --- the cost of a check ---------------------------------------------------------------------------------------------


def choice(mode, sizes, durations, monkeypatch):
    """Choose the mode. The forward passes take `durations`."""
    left, now = list(durations), [5.0]

    def projection():
        now[0] += left.pop(0)

    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    report = GradientReport("code", mode="full")
    settings = cost.choose_mode(Settings(mode=mode), SimpleNamespace(projection=projection), sizes, report)
    return settings.mode, report


def test_the_mode_depends_on_the_time_of_a_forward(monkeypatch):
    # 5 * (3 + 1) = 20 passes; the faster forward counts
    for seconds, expected in ((1.0, "full"), (1.125, "directional")):
        mode, report = choice("auto", [3, 1], [7, seconds], monkeypatch)
        assert mode == report.mode == expected and report.estimate == pytest.approx(20 * seconds)
        assert len(report.notes) == (expected != "full")
    assert "about 20 forward passes of 1.1e+03 ms, 22 seconds in all" in report.notes[0]
    mode, report = choice("sampled", [300], [1, 1], monkeypatch)
    assert mode == "sampled" and report.mode == "full" and report.notes == [] and report.estimate == 1500


def test_a_duration_in_words():
    assert [cost.words_for(s) for s in (45.2, 119, 120, 300)] == ["45 seconds", "119 seconds", "2 minutes", "5 minutes"]


def test_a_progress_bar_only_for_a_long_check_that_is_watched(monkeypatch):
    bars = []
    monkeypatch.setattr(cost.progress, "bar", lambda **options: bars.append(options) or "bar")
    for watched, seconds, expected in ((True, 3.0, "bar"), (True, 2.9, None), (False, 9.0, None)):
        monkeypatch.setattr(cost.progress, "someone_watches", lambda watched=watched: watched)
        assert cost.progress_bar(40, seconds) == expected
    assert bars == [{"total": 40, "desc": "gradient check", "unit": "element", "leave": False}]


def test_the_errors_that_a_check_can_miss():
    full, sampled, along = (entry_of(np.ones((20, 20)), np.ones((20, 20)), name) for name in "abc")
    full.checked, sampled.checked, along.checked, along.along_directions = 400, 40, 2, True
    along.numeric = along.low = along.high = np.array([3.0, 1.0])
    along.uncertainty = np.array([0.0, 0.0])
    report = GradientReport("code", {"a": full})
    assert cost.sight_note(report, 0.5) == ""
    report.entries["b"] = sampled
    assert "40 of 400 elements of b were compared (10 %)" in cost.sight_note(report, 0.5)
    report.entries["c"] = along
    note = cost.sight_note(report, 0.5)
    assert "of b were compared (10 %)" in note and "; 2 directions were compared" in note
    assert "one of the 400 elements of c" in note and note.endswith("about 1")
    assert cost.smallest_visible(along, 0.5) == pytest.approx(0.5 * 1 * 20 / 10)
    along.uncertainty, along.high = np.array([0.1, 0.2]), np.array([3.0, 3.0])
    assert cost.smallest_visible(along, 0.5) == pytest.approx((0.5 * 3 + 0.3) * 2)
    small = entry_of([1], [4], uncertainty=np.array([0.0]))
    assert cost.smallest_visible(small, 0.5) == 2
    along.verdict = sampled.verdict = "wrong"
    assert cost.sight_note(report, 0.5) == ""


def along_directions(name, derivative):
    entry = entry_of(np.ones(100), np.ones(100), name, uncertainty=np.zeros(1))
    entry.numeric = entry.low = entry.high = np.array([derivative])
    entry.checked, entry.along_directions = 1, True
    return entry


def test_the_array_with_the_largest_hidden_error_is_named():
    entries = {name: along_directions(name, d) for name, d in (("a", 1.0), ("b", 4.0), ("c", 2.0))}
    note = cost.sight_note(GradientReport("code", entries), 0.5)
    assert note.startswith("1 directions") and "100 elements of b is wrong" in note and note.endswith("about 2")


def test_no_error_is_hidden_if_the_derivative_along_a_direction_is_exactly_zero():
    assert cost.sight_note(GradientReport("code", {"a": along_directions("a", 0.0)}), 0.5) == ""


def test_one_compared_element_is_a_sample():
    entry = entry_of(np.ones(100), np.ones(100), "a")
    entry.checked = 1
    assert cost.sight_note(GradientReport("code", {"a": entry}), 0.5).startswith("1 of 100 elements of a")
    entry.checked = 0
    assert cost.sight_note(GradientReport("code", {"a": entry}), 0.5) == ""


# --- samples ---------------------------------------------------------------------------------------------------------


def sampled(values, gradient, count):
    return sample_indices(values, gradient, count, np.random.default_rng(0))


def test_the_sampled_elements_include_the_extremes():
    values, gradient = np.linspace(1, 2, 40).reshape(5, 8), np.ones((5, 8))
    values[1, 1], values[1, 2], values[1, 3] = 9, -9, 0
    gradient[2, 1], gradient[2, 2], gradient[2, 3] = 7, -8, 0
    extremes = {(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (0, 0), (4, 7)}
    for g in (gradient, -gradient):
        assert set(sampled(values, g, 8)) == extremes
        assert sampled(values, g, 3)[0] == (2, 2)  # the largest gradient comes first
        found = sampled(values, g, 12)
        assert len(found) == 12 and extremes < set(found)


def test_no_element_is_sampled_twice():
    values = np.arange(40.0).reshape(5, 8)
    assert len(set(sampled(values, values, 38))) == 38
    assert len(sampled(values, values, 3)) == 3 and set(sampled(values, values, 2)) == {(4, 7), (0, 0)}
    assert sampled(np.ones((1, 2)), np.ones((1, 2)), 2) == [(0, 0), (0, 1)]
    assert sampled(np.ones(1), np.ones(1), 5) == [(0,)]
    assert sampled(values, values, 40) == list(np.ndindex(5, 8))
