"""The checker takes code of numba, PyTorch and JAX; each test is skipped where its library is not installed."""

import numpy as np
import pytest

from nnscratch.gradcheck import check_gradients

RNG = np.random.default_rng(5)
X, W = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 2))


@pytest.mark.parametrize("factor", [1.0, 1.5, -1.0])
def test_functions_compiled_by_numba(factor):
    njit = pytest.importorskip("numba").njit

    @njit
    def forward(x, w):
        return np.tanh(x @ w)

    @njit
    def backward(dout, x, w):
        dz = dout * (1 - np.tanh(x @ w) ** 2)
        return dz @ w.T, factor * (x.T @ dz)

    report = check_gradients((forward, backward), X, W)
    assert report["x"].verdict == "right" and report["w"].verdict == ("right" if factor == 1 else "wrong")


def verdict_of(report):
    return report.verdict, report.text()


@pytest.mark.parametrize("factor", [1.0, 1.5, -1.0])
def test_an_autograd_function_of_torch(factor):
    torch = pytest.importorskip("torch")

    class TanhOfProduct(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            y = torch.tanh(x @ w)
            ctx.save_for_backward(x, w, y)
            return y

        @staticmethod
        def backward(ctx, grad_output):
            x, w, y = ctx.saved_tensors
            dz = grad_output * (1 - y**2)
            return dz @ w.T, factor * (x.T @ dz)

    for inputs in ((X, W), (torch.tensor(X, dtype=torch.float32), torch.tensor(W))):
        report = check_gradients(TanhOfProduct, *inputs)
        assert report["x"].verdict == "right" and report["w"].verdict == ("right" if factor == 1 else "wrong"), report
        assert "float32" not in report.text()

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(W, dtype=torch.float32))
            self.drop = torch.nn.Dropout(0.3)

        def forward(self, x):
            return self.drop(TanhOfProduct.apply(x, self.weight))

    layer = Layer()
    report = check_gradients(layer, X)
    assert report["weight"].verdict == ("right" if factor == 1 else "wrong"), report.text()
    assert layer.weight.dtype == torch.float32 and layer.weight.grad is None
    loss = check_gradients(layer, X, loss=torch.nn.CrossEntropyLoss(), targets=np.array([0, 1, 1, 0]))
    assert loss.verdict == report.verdict
    function = check_gradients(lambda x, w: TanhOfProduct.apply(x, w).sum(), torch.tensor(X), torch.tensor(W))
    assert function.verdict == report.verdict


def test_a_torch_module_with_running_statistics_and_integer_inputs():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 4), torch.nn.Tanh())
    assert check_gradients(net, np.array([[0, 3], [3, 1]])).ok
    norm = torch.nn.BatchNorm1d(3)
    assert check_gradients(norm, X.astype(np.float32)).ok and not norm.running_mean.any()
    assert check_gradients(norm.eval(), X).ok


def test_a_forgotten_gradient_of_torch_is_wrong():
    torch = pytest.importorskip("torch")

    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(w)
            return x * w

        @staticmethod
        def backward(ctx, dy):
            (w,) = ctx.saved_tensors
            return dy * w, None

    report = check_gradients(Scale, X, X + 1)
    assert report["x"].verdict == "right" and report["w"].verdict == "wrong"


@pytest.mark.parametrize("factor", [1.0, 1.5, -1.0])
def test_custom_vjp_of_jax(factor):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.custom_vjp
    def tanh_of_product(x, w):
        return jnp.tanh(x @ w)

    def forward(x, w):
        y = tanh_of_product(x, w)
        return y, (x, w, y)

    def backward(saved, dy):
        x, w, y = saved
        dz = dy * (1 - y**2)
        return dz @ w.T, factor * (x.T @ dz)

    tanh_of_product.defvjp(forward, backward)
    want = "right" if factor == 1 else "wrong"
    for inputs in ((X, W), (jnp.asarray(X), jnp.asarray(W))):  # JAX's own default is float32
        report = check_gradients(tanh_of_product, *inputs)
        assert report["x"].verdict == "right" and report["w"].verdict == want, report.text()
        assert check_gradients(jax.jit(tanh_of_product), *inputs).verdict == want
    assert check_gradients(lambda x, w: tanh_of_product(x, w).sum(), jnp.asarray(X), jnp.asarray(W)).verdict == want


@pytest.mark.parametrize("factor", [1.0, 1.5, -1.0])
def test_functions_of_jax_arrays_with_a_written_gradient(factor):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def forward(x, w):
        return jnp.tanh(x @ w), (x, w)

    def backward(dout, cache):
        x, w = cache
        dz = dout * (1 - jnp.tanh(x @ w) ** 2)
        return dz @ w.T, factor * (x.T @ dz)

    def loss(w):
        return jnp.sum(w**3), factor * 3 * w**2

    want = "right" if factor == 1 else "wrong"
    assert check_gradients((forward, backward), jnp.asarray(X), jnp.asarray(W)).verdict == want
    assert check_gradients(loss, jnp.asarray(W)).verdict == want


def test_arrays_of_jax_where_numpy_is_expected_give_a_sentence():
    jax = pytest.importorskip("jax")

    class Layer:
        def forward(self, x):
            self.x = x
            return jax.numpy.tanh(x)

        def backward(self, dy):
            return dy * (1 - jax.numpy.tanh(self.x) ** 2)

    for x in (X, jax.numpy.asarray(X)):
        with pytest.raises(TypeError, match=r"(?s)JAX.*numpy\.asarray"):
            check_gradients(Layer(), x)


@pytest.mark.parametrize("factor", [1.0, 1.5, -1.0])
def test_a_custom_gradient_of_tensorflow(factor):
    tf = pytest.importorskip("tensorflow")

    @tf.custom_gradient
    def tanh_of_product(x, w):
        y = tf.tanh(x @ w)

        def grad(dy):
            dz = dy * (1 - y**2)
            return dz @ tf.transpose(w), factor * (tf.transpose(x) @ dz)

        return y, grad

    want = "right" if factor == 1 else "wrong"
    for inputs in ((X, W), (tf.constant(X, tf.float32), tf.constant(W, tf.float32))):
        report = check_gradients(tanh_of_product, *inputs)
        assert report["x"].verdict == "right" and report["w"].verdict == want, report.text()

    class Layer(tf.keras.layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(shape[-1], 2), name="w")

        def call(self, x):
            return tanh_of_product(x, tf.convert_to_tensor(self.w))

    layer = Layer()
    layer.build(X.shape)
    before = layer.get_weights()[0].copy()
    report = check_gradients(layer, X)
    assert report["w"].verdict == want and report["x"].verdict == "right", report.text()
    assert (layer.get_weights()[0] == before).all() and layer.w.dtype == "float32"


def test_a_network_of_keras():
    tf = pytest.importorskip("tensorflow")
    net = tf.keras.Sequential([tf.keras.layers.Dense(4, activation="tanh"), tf.keras.layers.Dense(2)])
    report = check_gradients(net, X)
    assert report.ok and len(report.entries) == 5, report.text()
