"""Test what the command finds in a file: pairs, losses and classes, and the reasons why code cannot be checked."""

import ast

import pytest

from nnscratch.gradcheck.command.discover import (
    arguments_of,
    discover,
    find,
    has_other_bases,
    is_abstract,
    methods_of,
    returns_several,
)


def found(source):
    return [(item.label, item.names, item.reason) for item in discover(source)]


def functions(*signatures):
    return "\n".join(f"def {s}: ..." for s in signatures)


def node_of(source):
    return ast.parse(source).body[0]


# --- pairs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forward, backward",
    [("relu_forward", "relu_backward"), ("forward_relu", "backward_relu"), ("relu", "relu_backward"),
     ("relu", "backward_relu"), ("conv_forward_naive", "conv_backward_naive"), ("conv_forward_naive", "conv_backward"),
     ("batchnorm_forward", "batchnorm_backward_alt"), ("forward", "backward")],
)  # fmt: skip
def test_the_names_of_a_pair(forward, backward):
    assert found(functions(f"{forward}(x)", f"{backward}(dy, cache)")) == [(forward, [forward, backward], "")]
    assert found(functions(f"{backward}(dy, cache)", f"{forward}(x)")) == [(forward, [forward, backward], "")]


@pytest.mark.parametrize(
    "derivative", ["f_prime", "f_derivative", "f_grad", "f_d", "df", "d_f", "grad_f", "derivative_f", "fPrime"]
)
def test_the_names_of_a_derivative(derivative):
    source = "def f(x): return x\ndef {}({}): return {}"
    assert found(source.format(derivative, "x", "x")) == [("f", ["f", derivative], "")]
    assert found(source.format(derivative, "x, y", "x")) == []  # two arguments
    assert found(source.format(derivative, "x", "x, x")) == found(source.format(derivative, "x", "None")) == []


def test_words_with_capitals_and_functions_that_do_both():
    assert found(functions("linearForward(x)", "linearBackward(dy, c)")) == [
        ("linearForward", ["linearForward", "linearBackward"], "")
    ]
    assert found(functions("linearForward(x)")) == [("linearForward", ["linearForward"], "there is no linearBackward")]
    assert found(functions("forward_and_backward(x)", "_tanhForward(x)", "_tanhBackward(x)")) == []


def test_a_second_backward_has_its_own_name():
    source = functions("bn_forward(x)", "bn_backward(dy, c)", "bn_backward_alt(dy, c)")
    assert found(source) == [("bn_forward", ["bn_forward", "bn_backward"], ""),
                             ("bn_backward_alt", ["bn_forward", "bn_backward_alt"], "")]  # fmt: skip


def test_functions_without_a_partner_have_a_reason():
    assert found(functions("relu_forward(x)")) == [("relu_forward", ["relu_forward"], "there is no relu_backward")]
    assert found(functions("relu_backward(dy)")) == [
        ("relu_backward", ["relu_backward"], "there is no forward function for it")
    ]
    assert found(functions("backward(dy)", "x_forward(x)")) == [
        ("backward", ["backward"], "there is no forward function for it"),
        ("x_forward", ["x_forward"], "there is no x_backward"),
    ]


def test_private_functions_and_other_functions_are_left_out():
    assert found(functions("_relu_forward(x)", "_relu_backward(dy)", "helper(x)")) == []


def test_items_are_in_the_order_of_the_file():
    source = functions("b_forward(x)", "a_forward(x)", "a_backward(dy, c)", "mse_loss(x, y)", "b_backward(dy, c)")
    source += "\nclass Relu:\n    def forward(self, x): ...\n    def backward(self, dy): ...\n"
    source = source.replace("mse_loss(x, y): ...", "mse_loss(x, y): return 1, 2")
    assert [label for label, _, _ in found(source)] == ["a_forward", "mse_loss", "b_forward", "Relu"]


# --- a pair with a cost ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cost, backward, used",
    [("compute_cost(AL, Y)", "L_model_backward(AL, Y, caches)", True),
     ("compute_cost(AL, Y)", "L_model_backward(dAL, caches)", False),  # backward takes no labels
     ("compute_cost(AL, Y, reg)", "L_model_backward(AL, Y, caches)", False),
     ("compute_cost(AL, Y, reg=0)", "L_model_backward(AL, Y, caches)", True),
     ("compute_cost(AL, W)", "L_model_backward(AL, Y, caches)", False),
     ("compute(AL, Y)", "L_model_backward(AL, Y, caches)", False)],
)  # fmt: skip
def test_a_backward_that_takes_labels_belongs_to_a_cost(cost, backward, used):
    names = ["L_model_forward", "L_model_backward"] + ["compute_cost"] * used
    assert found(functions("L_model_forward(X, parameters)", cost, backward)) == [("L_model_forward", names, "")]


def test_labels_that_forward_takes_too_need_no_cost():
    source = functions("net_forward(X, Y)", "compute_cost(AL, Y)", "net_backward(AL, Y, caches)")
    assert found(source) == [("net_forward", ["net_forward", "net_backward"], "")]


def test_a_cost_that_returns_several_values_is_a_loss():
    source = functions("net_forward(X)", "net_backward(AL, Y, caches)")
    source += "\ndef compute_cost(AL, Y):\n    return 1, 2\n"
    assert found(source) == [
        ("net_forward", ["net_forward", "net_backward"], ""),
        ("compute_cost", ["compute_cost"], ""),
    ]


def test_required_arguments():
    def taken(signature):
        return arguments_of(node_of(f"def f({signature}): ..."))

    assert taken("a, /, b, c=1, *d, e, **f") == ["a", "b"] and taken("a=1, b=2") == [] and taken("") == []
    assert taken("a, b=1, /, c=2") == ["a"]


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, is_loss",
    [("softmax_loss", True), ("loss_softmax", True), ("compute_cost", True), ("propagate", True), ("svm_loss2", True),
     ("loss", True), ("svm_loss_vectorized", True), ("lossy", False), ("glossary", False), ("_loss", False),
     ("loss_forward", False), ("softmax", False), ("SoftmaxLoss", True), ("softmaxCostAndGradient", True),
     ("softmax_with_cross_entropy", True), ("l2_regularization", True), ("Lossless", False)],
)  # fmt: skip
def test_the_names_of_losses(name, is_loss):
    labels = [label for label, _, reason in found(f"def {name}(x, y):\n    return 1, 2\n") if not reason]
    assert labels == [name] * is_loss


def test_a_loss_returns_several_values():
    assert returns_several(node_of("def f(x):\n    if x:\n        return 1, 2\n    return 3"))
    assert not returns_several(node_of("def f(x):\n    return (1,)")) and not returns_several(
        node_of("def f(x): return")
    )
    inside = "def f(x):\n    def g():\n        return 1, 2\n    h = lambda: (1, 2)\n    return g"
    assert not returns_several(node_of(inside))


# --- classes ---------------------------------------------------------------------------------------------------------


def a_class(name, *methods, bases=""):
    return f"class {name}({bases}):\n" + "".join(f"    def {m}(self): return 1\n" for m in methods or ("other",))


@pytest.mark.parametrize("forward", ["forward", "predict", "__call__", "feedforward", "fprop", "forward_pass"])
@pytest.mark.parametrize("backward", ["backward", "backprop", "bprop", "backward_pass"])
def test_a_class_has_a_forward_and_a_backward(forward, backward):
    assert found(a_class("Layer", forward, backward)) == [("Layer", ["Layer"], "")]
    assert found(a_class("Layer", backward)) == [] == found(a_class("_Layer", forward, backward))


@pytest.mark.parametrize("gradient", ["gradient", "grad", "derivative"])
def test_a_class_may_have_a_gradient_instead_of_a_backward(gradient):
    def method(name):
        return f"    def {name}(self, x, y): return x\n"

    item = [("Mse", ["Mse"], "")]
    assert found("class Mse:\n" + method("loss") + method(gradient)) == item
    assert found("class Mse:\n" + method("__call__") + method(gradient)) == item
    assert found("class Mse:\n" + method("__call__")) == found("class Mse:\n" + method(gradient)) == []
    assert found("class A:\n    def predict(self, X): return X\n" + method(gradient)) == []  # other arguments
    base = "class Loss:\n    def loss(self): raise NotImplementedError\n    def grad(self): raise NotImplementedError\n"
    assert found(base + "class Mse(Loss):\n" + method("loss") + method("grad")) == item


@pytest.mark.parametrize("name", ["forward", "compute_loss_and_gradients"])
def test_a_method_may_keep_the_gradients(name):
    def item(statement, end="return 1"):
        return found(f"class Net(Base):\n    def {name}(self, X, y):\n        {statement}\n        {end}\n")

    assert item('self.gradients["W"] = X') == item("self.W.grad += X") == [("Net", ["Net"], "")]
    assert item("self.cache = X") == item("grad = X") == item("self.grad = X", "pass") == []


def test_a_class_without_a_backward_has_a_reason():
    assert found(a_class("Layer", "forward")) == [("Layer", ["Layer"], "it has no backward")]
    assert found(a_class("Layer", "predict")) == []
    assert found(a_class("Layer", "forward", bases="nn.Module")) == []  # the class may inherit a backward
    assert found(a_class("Layer", "forward", bases="object")) == [("Layer", ["Layer"], "it has no backward")]


def test_methods_are_inherited_in_the_same_file():
    source = a_class("Base", "backward") + a_class("Layer", "forward", bases="Base")
    assert found(source) == [("Layer", ["Layer"], "")]
    tree = ast.parse("class A(B):\n def f(self): 1\nclass B(A):\n def f(self): 2\n def g(self): 3\n")
    classes = {c.name: c for c in tree.body}
    methods = methods_of(classes["A"], classes)
    assert set(methods) == {"f", "g"} and methods["f"] is classes["A"].body[0]
    two = ast.parse("class A:\n def f(self): 1\nclass B:\n def f(self): 2\nclass C(A, B): pass\n")
    classes = {c.name: c for c in two.body}
    assert methods_of(classes["C"], classes)["f"] is classes["A"].body[0]  # the first base


def test_an_abstract_base_is_left_out():
    body = "class Base:\n    def forward(self, x):\n        {}\n    def backward(self, dy): ...\n"
    child = "class Relu(Base):\n    def forward(self, x): return x\n"
    for abstract in ("pass", "...", "raise NotImplementedError", "'''Return y.'''"):
        assert [label for label, _, _ in found(body.format(abstract) + child)] == ["Relu"]
    assert [label for label, _, _ in found(body.format("return x") + child)] == ["Base", "Relu"]
    assert [label for label, _, _ in found(body.format("pass"))] == ["Base"]  # no class inherits from it
    only = "class Base:\n    def forward(self, x): pass\n"
    assert found(only + "class Relu(Base):\n    def forward(self, x): return x\n") == [
        ("Relu", ["Relu"], "it has no backward")
    ]


def test_a_network_with_a_loss():
    several = "class Net:\n    def loss(self, x, y): return 1, {}\n"
    assert found(several) == [("Net", ["Net"], "")]
    assert found("class Net:\n    def loss(self, x, y): return 1\n") == []
    assert found(a_class("Net", "loss", "gradient")) == [("Net", ["Net"], "")]


def test_other_bases():
    def other(bases):
        return has_other_bases(node_of(f"class A({bases}): ..."), {"B": None})

    assert not other("") and not other("object") and not other("ABC, B")
    assert other("nn.Module") and other("Layer") and other("B, Layer")


def test_abstract_methods():
    assert is_abstract(node_of("def f(self):\n    '''Do it.'''\n    raise NotImplementedError"))
    assert not is_abstract(node_of("def f(self):\n    print(1)")) and not is_abstract(node_of("def f(self): return 1"))
    assert is_abstract(node_of("def f(self):\n    pass\n    ..."))


# --- the file --------------------------------------------------------------------------------------------------------


def test_definitions_inside_if_try_and_with_are_found():
    source = ("if fast:\n    def a_forward(x): ...\nelse:\n    def a_backward(dy, c): ...\n"
              "try:\n    def b_forward(x): ...\nexcept E:\n    def b_backward(dy, c): ...\n"
              "else:\n    def c_forward(x): ...\n"
              "with w:\n    def c_backward(dy, c): ...\n")  # fmt: skip
    assert [label for label, _, _ in found(source)] == ["a_forward", "b_forward", "c_forward"]
    assert found("def f():\n    def a_forward(x): ...\n") == []
    assert found("async def a_forward(x): ...\nasync def a_backward(dy, c): ...\n")[0][0] == "a_forward"


def test_an_item_is_found_by_its_label_or_by_its_forward():
    source = functions("bn_forward(x)", "bn_backward(dy, c)", "bn_backward_alt(dy, c)")
    assert find(source, "bn_backward_alt").names == ["bn_forward", "bn_backward_alt"]
    assert find(source, "bn_forward").names == ["bn_forward", "bn_backward"]
    assert find(source, "bn_backward") is None and find(source, "other") is None


def test_a_source_that_is_not_python_is_an_error():
    with pytest.raises(SyntaxError):
        discover("def f(:")


def test_a_definition_in_an_except_block_alone_is_found():
    source = (
        "try:\n    import fast\nexcept ImportError:\n    def relu_forward(x): ...\n    def relu_backward(dy, c): ...\n"
    )
    assert found(source) == [("relu_forward", ["relu_forward", "relu_backward"], "")]


def test_a_base_whose_forward_computes_is_listed_without_a_backward_too():
    source = "class Base:\n    def forward(self, x): return x\nclass Relu(Base):\n    def backward(self, dy): ...\n"
    assert [label for label, _, _ in found(source)] == ["Base", "Relu"]
    assert not is_abstract(node_of("def f(self):\n    '''Return y.'''\n    return 1"))
