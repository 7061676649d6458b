"""Test the values that the command draws: the shapes of docstrings and of usual names, and what the user gave."""

import numpy as np
import pytest

from nnscratch.gradcheck.command import parse_init
from nnscratch.gradcheck.command.course_names import SIZES, canonical, number_for, size_for
from nnscratch.gradcheck.command.docstring_shapes import (
    Described,
    annotated_axes,
    described_arguments,
    is_integer,
    sizes_of,
)
from nnscratch.gradcheck.command.drawing import (
    MAX_CANDIDATES,
    CannotDraw,
    Drawing,
    Given,
    by_family,
    candidates,
    draw,
    draw_parameters,
    draw_written,
    fits,
    integer_limit,
    is_array_annotation,
    same,
    text_readings,
    wanted,
)


def rng():
    return np.random.default_rng(0)


def argument(name, optional=False, default=None, annotation="", kind="POSITIONAL_OR_KEYWORD", keys=()):
    return {"name": name, "optional": optional, "default": default, "annotation": annotation, "kind": kind,
            "keys": list(keys)}  # fmt: skip


def described(*forward, init=(), doc="", kind="function"):
    return {"forward": [a if isinstance(a, dict) else argument(a) for a in forward],
            "init": [a if isinstance(a, dict) else argument(a) for a in init], "doc": doc, "kind": kind}  # fmt: skip


def first(label, *forward, given=None, **options):
    return candidates(label, described(*forward, **options), given or Given(), 0)[0]


def shapes(candidate):
    return [np.shape(value) for value in candidate["inputs"]]


# --- usual names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "label, names, wanted_shapes",
    [
        ("affine_forward", ["x", "w", "b"], [(3, 4), (4, 5), (5,)]),
        ("conv_forward", ["x", "w", "b"], [(3, 2, 5, 7), (3, 2, 3, 3), (3,)]),
        ("batchnorm_forward", ["x", "gamma", "beta"], [(3, 4), (4,), (4,)]),
        ("spatial_batchnorm_forward", ["x", "gamma", "beta"], [(3, 2, 5, 7), (2,), (2,)]),
        ("rnn_forward", ["x", "h0", "Wx", "Wh", "b"], [(3, 6, 4), (3, 5), (4, 5), (5, 5), (5,)]),
        ("lstm_step_forward", ["x", "prev_h", "prev_c", "Wx", "Wh", "b"],
         [(3, 4), (3, 5), (3, 5), (4, 20), (5, 20), (20,)]),
        ("relu_forward", ["x"], [(3, 4)]),
        ("attention_forward", ["q", "k", "v"], [(3, 6, 4)] * 3),
        ("multiply", ["a", "b"], [(3, 4), (3, 4)]),
        ("exp_forward", ["u"], [(3, 4)]),
        ("relu_forward", ["y"], [(3, 4)]),
        ("RNNLM", ["xs", "ts"], [(3, 6), (3, 6)]),
        ("Decoder", ["xs", "enc_hs"], [(3, 6), (3, 6, 5)]),
        ("AttentionWeight", ["hs", "h"], [(3, 6, 5), (3, 5)]),
        ("WeightedSum", ["hs", "a"], [(3, 6, 5), (3, 6)]),
        ("gate_forward", ["h", "w", "b"], [(3, 4), (4, 5), (5,)]),
        ("SigmoidWithLoss", ["x", "t"], [(3,), (3,)]),
        ("mse_loss", ["label", "out"], [(3, 4), (3, 4)]),
        ("BinaryCrossEntropyLoss", ["y_true", "y_pred"], [(3, 1), (3, 1)]),
        ("max_pool_forward", ["x", "pool_param"], [(3, 2, 5, 7), ()]),
    ],
)  # fmt: skip
def test_the_shapes_of_usual_signatures(label, names, wanted_shapes):
    assert any(shapes(c) == wanted_shapes for c in candidates(label, described(*names), Given(), 0))


def test_labels_of_a_loss_are_integers_below_the_number_of_classes():
    x, y = first("softmax_loss", "x", "y")["inputs"]
    assert x.shape == (3, 6) and y.shape == (3,) and y.dtype.kind == "i" and 0 <= y.min() and y.max() < 6


def test_predictions_of_a_binary_loss_are_probabilities_of_the_shape_of_the_labels():
    p, y = first("BCELoss", "y_pred", "y_true")["inputs"]
    assert p.shape == y.shape and 0 < p.min() and p.max() < 1 and set(y.ravel()) <= {0, 1}


def test_values_of_a_dictionary_are_tried_in_their_order():
    found = candidates("conv_forward", described("x", "w", "b", "conv_param"), Given(), 0)
    strides = [c["inputs"][3]["stride"] for c in found if c["reading"] == "conv"]
    assert strides[:2] == [2, 1]


def test_the_same_seed_draws_the_same_values():
    a, b = (first("relu_forward", "x")["inputs"][0] for _ in range(2))
    other = candidates("relu_forward", described("x"), Given(), 1)[0]["inputs"][0]
    assert (a == b).all() and not (a == other).any()


def test_positive_inputs_come_last():
    found = candidates("log_forward", described("x"), Given(), 0)
    positive = [c["inputs"][0].min() >= 0.1 and c["inputs"][0].max() <= 0.9 for c in found]
    assert not positive[0] and positive[-1] and positive[-2]


def test_a_class_that_sets_its_sizes_itself_gets_several_widths():
    found = candidates("Net", described("x", kind="class"), Given(), 0)
    widths = {np.shape(c["inputs"][0]) for c in found}
    assert {(3, 784), (3, 64), (3, 1), (3, 24, 4, 6), (3, 1, 14)} <= widths and len(found) <= MAX_CANDIDATES
    assert not any(784 in shape for c in candidates("net", described("x"), Given(), 0) for shape in shapes(c))


def test_settings_and_sizes_are_tried_one_by_one_and_positive_inputs_last():
    init = [argument("hidden_dim", True, 100)]
    found = candidates("PoolNet", described("x", "pool_param", init=init, kind="class"), Given(), 0)
    tried = []
    for candidate in found:
        x, settings = candidate["inputs"]
        one = (settings["pool_height"], candidate["init_named"], bool((x > 0).all()))
        tried += [one] if candidate["reading"] == "pool" else []
    small = {"hidden_dim": 5}
    # the first settings; the next settings; the sizes of the class; inputs between 0 and 1
    assert tried == [(3, small, False), (2, small, False), (3, {}, False), (3, small, True)]


def test_equal_candidates_are_listed_once():
    found = candidates("relu_forward", described("x"), Given(inputs=[np.ones(2)]), 0)
    assert len(found) == 1 and found[0]["inputs"][0].tolist() == [1, 1]


def test_names_with_the_same_meaning():
    assert canonical("X") == ["x"] and canonical("prev_h") == ["h"] and canonical("A_prev") == ["x", "a"]
    assert canonical("y_true") == ["y"] and canonical("xylophone") == [] and canonical("bias") == ["b"]


@pytest.mark.parametrize(
    "name, default, size",
    [("pad", 0, 1), ("padding", 0, 1), ("pad", 2, None), ("pad", False, None), ("stride", 1, 2), ("stride", 3, 2),
     ("stride", 2, None), ("input_dim", (3, 32, 32), (2, 4, 6)), ("input_dim", (3, 32), None),
     ("shape", (3, 32, 32), None), ("hidden_dim", 100, 5), ("hidden_dim", 4, None), ("hidden_dim", 100.0, None),
     ("hidden_dim", None, None), ("p", 0.5, None), ("zzz", 100, None), ("num_classes", 10, 6)],
)  # fmt: skip
def test_defaults_that_are_replaced(name, default, size):
    assert size_for(name, default) == size


@pytest.mark.parametrize(
    "name, value",
    [("in_channels", 2), ("out_channels", 3), ("in_features", 4), ("vocab_size", 7), ("hidden_size", 5), ("n_out", 5),
     ("num_classes", 6), ("layer_dims", [4, 5, 6]), ("num_heads", 2), ("kernel_size", 3), ("Stride", 2), ("padding", 1),
     ("dropout", 0.5), ("reg", 0.1), ("eps", 1e-5), ("momentum", 0.9), ("learning_rate", 0.0), ("seed", 0),
     ("train", True), ("mode", "train"), ("activation", "relu"), ("zzz", None), ("strides", None)],
)  # fmt: skip
def test_numbers_by_name(name, value):
    assert number_for(name) == value


# --- arguments -------------------------------------------------------------------------------------------------------


def test_arguments_up_to_the_last_one_that_is_required_or_given():
    a, b, c = argument("a"), argument("b", True, 1), argument("c", True, 2)
    assert wanted([a, b, c], Given()) == [a] and wanted([b, c], Given()) == [] and wanted([], Given()) == []
    assert wanted([a, b, c], Given(shapes={"b": "3"})) == [a, b]
    assert wanted([a, b, c], Given(values={"c": 3})) == [a, b, c]
    assert wanted([b, a, c], Given()) == [b, a]
    y = argument("y", True, None)
    assert wanted([a, y], Given()) == [a, y] and wanted([a, argument("y", True, 3)], Given()) == [a]
    assert wanted([a, argument("w0", True, None)], Given()) == [a]


def test_a_value_or_a_shape_that_the_user_gave():
    found = first("f_forward", "x", "foo", given=Given(values={"foo": 7}))
    assert found["inputs"][1] == 7
    found = first("f_forward", "foo", "bar", given=Given(shapes={"foo": "2,3", "bar": "ids:4:9"}))
    foo, bar = found["inputs"]
    assert foo.shape == (2, 3) and bar.shape == (4,) and bar.dtype.kind == "i" and bar.max() < 9
    with pytest.raises(ValueError, match="--shape foo= must look like"):
        candidates("f", described("foo"), Given(shapes={"foo": "2;3"}), 0)


def test_an_argument_without_a_value_is_an_error_that_names_it():
    with pytest.raises(CannotDraw, match="what is foo[?] Give --shape foo=4,5"):
        candidates("f", described("foo"), Given(), 0)
    with pytest.raises(CannotDraw, match="what is foo[?] Give --init with the arguments of Net"):
        candidates("Net", described("x", init=["foo"], kind="class"), Given(), 0)


def test_numbers_and_flags_have_the_type_of_their_annotation():
    def value(**options):
        drawing = Drawing("f", {}, Given(), 0, False, rng())
        return drawing.value(argument(**options), "--shape")

    assert value(name="foo", annotation="int") == 4 and value(name="foo", annotation="float") == 0.5
    assert value(name="foo", annotation="bool") is True and value(name="foo", optional=True, default="d") == "d"
    assert value(name="eps") == 1e-5 and value(name="eps", optional=True, default=3) == 1e-5
    with pytest.raises(CannotDraw):
        value(name="eps", annotation="np.ndarray")
    with pytest.raises(CannotDraw):
        value(name="y", optional=True, default=None)
    assert value(name="y", optional=True, default=5) == 5 and value(name="foo", optional=True, default=None) is None


def test_constructors():
    init = [argument("in_features"), argument("bias", True, True), argument("seed", kind="KEYWORD_ONLY"),
            argument("eps", True, 1e-3, kind="KEYWORD_ONLY"), argument("args", kind="VAR_POSITIONAL")]  # fmt: skip
    found = first("Net", "x", init=init, kind="class")
    assert found["init"][0] == 4 and found["init_named"]["seed"] == 0 and "eps" not in found["init_named"]
    found = first("Net", "x", init=init, kind="class", given=Given(init=[9], init_named={"bias": False}))
    assert found["init"] == [9] and found["init_named"] == {"bias": False}
    found = candidates(
        "Net", described("x", init=["n_in", argument("hidden_dim", True, 100)], kind="class"), Given(), 0
    )
    assert found[0]["init_named"] == {"hidden_dim": 5} and any(c["init_named"] == {} for c in found)


# --- families --------------------------------------------------------------------------------------------------------


def test_a_family_with_labels_needs_all_its_arguments():
    assert fits(["x", "labels"], {"x": "NK", "y": "int K:N"}) and not fits(["x"], {"x": "NK", "y": "int K:N"})
    assert fits(["x"], {"x": "ND", "w": "DM"}) and not fits(["x"], {"a": "DN", "w": "MD"})
    assert fits(["x", "y"], {"x": "", "y": "", "mask": ""}) and not fits(["x"], {"x": "DN", "parameters": "dict"})


def test_each_shape_of_a_family_is_used_once():
    assert by_family(["inputs", "x", "w"], {"x": "ND", "w": "DM"}) == {"inputs": "ND", "w": "DM"}
    assert by_family(["A_prev", "foo"], {"a": "DN"}) == {"A_prev": "DN"}
    assert by_family(["h", "w"], {"x": "NTD", "w": "DM"}) == {"h": "NTD", "w": "DM"}
    assert by_family(["h", "x"], {"x": "ND", "w": "DM"}) == {"x": "ND"}


# --- draws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, size, low, high, kind",
    [("ND", (3, 4), -9, 9, "f"), ("int V:NT", (3, 6), 0, 7, "i"), ("int 1-V:NS", (3, 2), 1, 7, "i"),
     ("bool NT", (3, 6), 0, 2, "b"), ("prob NK", (3, 6), 0.1, 0.9, "f"), ("binary ND", (3, 4), 0, 2, "f"),
     ((2, 3), (2, 3), -9, 9, "f"), (("int", 0, 7, (3, 4)), (3, 4), 0, 7, "i"), (("bool", (2, 5)), (2, 5), 0, 2, "b"),
     (("int", 5, 6, (2,)), (2,), 5, 6, "i")],
)  # fmt: skip
def test_arrays_of_a_description(shape, size, low, high, kind):
    found = draw(shape, rng())
    assert found.shape == size and found.dtype.kind == kind and (found >= low).all() and (found < high).all()


def test_single_numbers_one_hot_rows_and_equal_lengths():
    assert isinstance(draw("number", rng()), float) and draw("full T:N", rng()).tolist() == [6, 6, 6]
    hot = draw("onehot NK", rng())
    assert hot.shape == (3, 6) and (hot.sum(1) == 1).all() and set(hot.ravel()) == {0, 1}
    assert set(draw("binary ND", rng()).ravel()) == {0, 1} and 0 < draw("bool NT", rng()).sum() < 18


def test_dictionaries_of_parameters():
    def drawn(*keys):
        return {key: value.shape for key, value in draw_parameters(list(keys), rng()).items()}

    assert drawn("W1", "b1") == {"W1": (1, 4), "b1": (1, 1)}
    assert drawn("W1", "b1", "W2") == {"W1": (5, 4), "b1": (5, 1), "W2": (1, 5), "b2": (1, 1)}
    assert drawn("W", "b") == {"W1": (5, 4), "b1": (5, 1), "W2": (6, 5), "b2": (6, 1), "W3": (1, 6), "b3": (1, 1)}
    many = drawn("W1", "b1", "W5", "b5")  # each layer has as many columns as the layer before has rows
    assert [many[f"W{k}"] for k in range(1, 6)] == [(5, 4), (6, 5), (5, 6), (6, 5), (1, 6)] and many["b5"] == (1, 1)
    assert drawn("Waa", "Wax", "Wya", "ba", "by") == {"Waa": (5, 5), "Wax": (5, 4), "Wya": (5, 5), "ba": (5, 1),
                                                      "by": (5, 1)}  # fmt: skip
    assert drawn("Wf", "bf") == {"Wf": (5, 9), "bf": (5, 1)}
    with pytest.raises(CannotDraw, match="the shapes of foo are not known"):
        drawn("Waa", "foo")
    with pytest.raises(CannotDraw, match="found no keys"):
        drawn()


def test_a_dictionary_of_parameters_is_drawn_for_its_family():
    x, parameters = first("L_model_forward", "X", argument("parameters", keys=["W1", "b1"]))["inputs"]
    assert x.shape == (4, 3) and set(parameters) == {"W1", "b1"}


@pytest.mark.parametrize("text, size", [("4,5", (4, 5)), ("4", (4,)), ("4,", (4,)), ("", ()), ("ids:2,3:7", (2, 3))])
def test_inputs_as_the_user_writes_them(text, size):
    found = draw_written(text, rng())
    assert found.shape == size and found.dtype.kind == ("i" if "ids" in text else "f")


@pytest.mark.parametrize("text", ["a", "4;5", "-1", "ids:3", "ids:3:0", "ids:3:4:5", "1.5"])
def test_other_inputs_are_refused(text):
    with pytest.raises(ValueError, match="--input must look like 4,5 or ids:4,5:10"):
        draw_written(text, rng())


def test_the_arguments_of_a_constructor_as_the_user_writes_them():
    assert parse_init("3, (2, 2), bias=False") == ([3, (2, 2)], {"bias": False}) and parse_init("") == ([], {})
    for text in ("3)(", "3) + f(4", "x", "**{}", "*[1]"):
        with pytest.raises(ValueError, match="--init must look like"):
            parse_init(text)


def test_equal_candidates():
    a = {"reading": "one", "inputs": [np.ones(2), 3], "init": []}
    assert same(a, {"reading": "two", "inputs": [np.ones(2), 3], "init": []})
    for other in ([np.ones(2), 4], [np.ones(3), 3], [np.ones(2, "f"), 3], [np.array([1.0, 2]), 3], [np.ones(2)],
                  [np.ones(2), 3.0], (np.ones(2), 3), [1.0, 3]):  # fmt: skip
        assert not same(a, {**a, "inputs": other})
    assert not same(a, {"reading": "one", "inputs": a["inputs"]}) and not same({"x": 1}, {"x": True})


# --- docstrings ------------------------------------------------------------------------------------------------------


def axes_of(docstring, *names):
    return {name: d.axes for name, d in described_arguments(docstring, list(names)).items()}


@pytest.mark.parametrize(
    "docstring",
    ["- x: input of shape (N, D)", "x: (N, D)", "x -- data, shape: (N, D)", "`x`: of shape (N, D)", "* x: shape (N, D)",
     "x: array of shape (N, D,)", "Inputs. x: shape (N, D)"],
)  # fmt: skip
def test_the_shape_of_an_argument(docstring):
    assert axes_of(docstring, "x") == {"x": ["N", "D"]}


def test_docstrings_without_a_shape():
    for docstring in ("", "x: an array", "x: shape ()", "max: shape (N, D)", "x: shape (N, -)"):
        assert axes_of(docstring, "x") == {}
    assert axes_of("x: shape (N, D)") == {}


def test_a_shape_belongs_to_the_argument_before_it():
    text = "- x: data\n- w: weights of shape (D, M)\n- b: biases\n\nof shape (M,)"
    assert axes_of(text, "x", "w", "b") == {"w": ["D", "M"]}
    assert axes_of("- x: shape (N, D)\n- x: shape (N, T)", "x") == {"x": ["N", "D"]}  # the first


def test_integers_and_flags_in_a_docstring():
    found = described_arguments("- x: scores of shape (N, C)\n- y: labels of shape (N,)\n- m: boolean, shape (N,)\n"
                                "- ids: integers of shape (N, T)", ["x", "y", "m", "ids"])  # fmt: skip
    assert [d.integer for d in found.values()] == [False, True, False, True]
    assert [d.boolean for d in found.values()] == [False, False, True, False]
    assert is_integer("x", "int indices") and not is_integer("y", "one-hot labels") and not is_integer("x", "labels")
    assert (
        is_integer("y", "the class of each sample") and not is_integer("y", "targets") and not is_integer("x", "point")
    )


def test_sizes_of_symbols():
    def sizes(*axes):
        return list(sizes_of({str(k): Described(list(a)) for k, a in enumerate(axes)}).values())

    assert sizes("ND", "DM", "M") == [(3, 4), (4, 5), (5,)]
    assert sizes(["N", "C", "H", "W"], ["F", "C", "HH", "WW"]) == [(3, 2, 5, 7), (3, 2, 3, 3)]
    assert sizes(["H", "W"], ["C", "HH", "WW"]) == [(5, 7), (2, 3, 3)]  # C counts channels beside an image
    assert sizes(["N", "C"]) == [(3, 6)] and sizes(["4H", "2*D", "D * M", "7"]) == [(20, 8, 20, 7)]
    assert sizes(["N", "d_1", "...", "d_k"], ["D", "M"]) == [(3, 2, 2), (4, 5)]
    assert sizes(["N", "..."]) == [(3, 2, 2)]
    ((a, b, c),) = sizes(["foo", "bar", "foo"])
    assert a == c != b


def test_axes_in_an_annotation():
    assert annotated_axes("Float[np.ndarray, 'N D']") == ["N", "D"] == annotated_axes('Float[Array, "N, D"]')
    for text in ("np.ndarray", "", "Float[", "Float[Array, '...']", "Float[Array, 'N ...']", "Literal['']"):
        assert annotated_axes(text) == []
    assert is_array_annotation("np.ndarray") and is_array_annotation("Int[...]") and is_array_annotation("Tensor")
    assert not is_array_annotation("int") and not is_array_annotation("list[str]")


def test_a_docstring_comes_before_usual_names():
    found = first("f_forward", "x", "w", doc="x: shape (N, M)\nw: shape (M, K)")
    assert found["reading"] == "the docstring" and shapes(found) == [(3, 5), (5, 6)]
    found = first("f_forward", argument("x", annotation="Float[Array, 'T D']"))
    assert shapes(found) == [(6, 4)]


def test_the_values_that_a_docstring_describes():
    text = {"x": Described(["N", "D"]), "y": Described(["N"], integer=True), "m": Described(["N"], boolean=True)}
    assert text_readings(text, "") == {"x": (3, 4), "y": ("int", 0, 4, (3,)), "m": ("bool", (3,))}


def test_the_targets_of_cross_entropy_are_one_hot():
    doc = "Args:\n  outputs: shape (batch_size, output_dim)\n  targets: shape (batch_size, output_dim)"
    for label, sums in (("CrossEntropySoftmaxError", True), ("SquareError", False), ("BinaryCrossEntropy", False)):
        targets = first(label, "outputs", "targets", doc=doc)["inputs"][1]
        assert (targets.sum(axis=1) == 1).all() == sums


def test_the_second_of_two_shapes_in_a_docstring():
    doc = (
        "predictions, np array, shape is either (N) or (batch_size, N)\ntarget_index: int, shape is (1) or (batch_size)"
    )
    predictions, labels = first("softmax_loss", "predictions", "target_index", doc=doc)["inputs"]
    assert predictions.shape == (3, 6) and labels.shape == (3,) and labels.dtype.kind == "i"


def test_a_constructor_gets_no_data():
    with pytest.raises(CannotDraw, match="what is activations[?] Give --init"):
        candidates("Net", described("x", init=["n_in", "activations"], kind="class"), Given(), 0)


def test_the_message_is_about_the_argument_that_no_reading_knows():
    with pytest.raises(CannotDraw, match="what is foo[?]"):
        candidates("bn_forward", described("X", "gamma", "beta", "foo"), Given(), 0)


def test_integers_are_below_the_classes_or_the_rows_of_a_table():
    y = Described(["N"], integer=True)
    assert integer_limit("y", {"x": Described(["N", "C"]), "y": y}, {"x": (3, 6)}) == 6
    y_t = Described(["N", "T"], integer=True)  # (N, T, V) scores of the words in a text: V is the last axis
    assert integer_limit("y", {"x": Described(["N", "T", "V"]), "y": y_t}, {"x": (3, 6, 7)}) == 7
    assert integer_limit("y", {"table": Described(["V", "D"]), "y": y}, {"table": (7, 4)}) == 7
    for other in (Described(["C"]), Described(["N", "C"], integer=True), Described(["N", "C"], boolean=True),
                  Described(["N", "N"])):  # fmt: skip
        assert integer_limit("y", {"x": other, "y": y}, {"x": (3, 6)}) == SIZES["V"]


# --- readings --------------------------------------------------------------------------------------------------------


def test_variable_arguments_and_options_of_a_constructor_get_no_values():
    found = first("relu_forward", "x", argument("args", kind="VAR_POSITIONAL"), argument("k", kind="KEYWORD_ONLY"))
    assert shapes(found) == [(3, 4)]
    found = first("Net", "x", init=[argument("n_in"), argument("seed", kind="KEYWORD_ONLY")], kind="class")
    assert found["init"] == [4] and found["init_named"] == {"seed": 0}


def test_arrays_of_one_shape_have_the_names_of_operands():
    def read(*names):
        return any(c["reading"] == "arrays of one shape" for c in candidates("f", described(*names), Given(), 0))

    assert read("a", "b") and read("u") and not read("a", "w")


def test_the_labels_of_a_class_that_sets_its_sizes_itself():
    x, y = next(c for c in candidates("Net", described("x", "y", kind="class"), Given(), 0) if "784" in c["reading"])[
        "inputs"
    ]
    assert x.shape == (3, 784) and y.shape == (3,) and y.dtype.kind == "i"
    for candidate in candidates("Net", described("x", argument("eps", False), kind="class"), Given(), 0):
        assert not isinstance(candidate["inputs"][1], np.ndarray)


def test_integers_and_flags_of_an_annotation():
    ids, mask = argument("ids", annotation="Int[Array, 'N T']"), argument("mask", annotation="Bool[Array, 'N T']")
    found = first("f", argument("x", annotation="Float[Array, 'N T']"), ids, mask)
    assert [np.asarray(v).dtype.kind for v in found["inputs"]] == ["f", "i", "b"]


def test_all_values_of_a_range_are_drawn():
    many = [draw(("int", 0, 3, (50,)), rng()), draw_written("ids:50:3", rng())]
    assert all(set(found.tolist()) == {0, 1, 2} for found in many)
    drawn = np.concatenate([draw("int V:NT", np.random.default_rng(k)).ravel() for k in range(9)])
    assert set(drawn.tolist()) == set(range(7))
    hot = np.concatenate([draw("onehot NK", np.random.default_rng(k)) for k in range(30)])
    words = np.stack([draw("onehot NTV", np.random.default_rng(k)) for k in range(9)])
    assert words.shape == (9, 3, 6, 7) and (words.sum(3) == 1).all()
    assert (hot.sum(0) > 0).all() and (words.sum((0, 1, 2)) > 0).all()
    assert draw_written("ids:2,:5", rng()).shape == (2,)
    several = candidates("max_pool_forward", described("x", "hparameters"), Given(), 0)
    assert all(c["inputs"][1] == {"stride": 2, "pad": 1, "f": 3} for c in several)
