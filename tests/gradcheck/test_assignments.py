"""The layers of CS231n, CMU 11-785 and deeplearning.ai: one command finds each right, and each planted mistake."""

import argparse
import json
from pathlib import Path

import pytest

from nnscratch.cli import main
from nnscratch.gradcheck.command import add_arguments, check_items, given_values
from nnscratch.gradcheck.command.discover import discover

FOLDER = Path(__file__).parent / "assignments"
OPTIONS = {
    "cs231n_layers.py": ["--seconds", "300"],
    "cmu_11785_layers.py": [
        "--seconds",
        "300",
        "--convention",
        "RNNCell=mean",
    ],  # its gradients of weights are means over the batch
    "deeplearning_ai_layers.py": [
        "--seconds",
        "300",
        "--convention",
        "linear_forward=mean",
        "--convention",
        "linear_activation_forward=mean",
    ],
}
# layer: (a line of the file, which occurs after the layer's name; the line with a mistake)
CS231N = {
    "svm_loss_naive": ("dW[:, y[i]] -= X[i]", "pass"),
    "svm_loss_vectorized": ("counts[np.arange(N), y] = -counts.sum(axis=1)", "counts[np.arange(N), y] = -1"),
    "softmax_loss_naive": ("(p[j] - (j == y[i])) * X[i]", "p[j] * X[i]"),
    "softmax_loss_vectorized": ("X.T.dot(p) / N", "X.T.dot(p)"),
    "affine_forward": ("dw = x.reshape(x.shape[0], -1).T.dot(dout)", "dw = x.reshape(x.shape[0], -1).T.dot(dout) / 3"),
    "relu_forward": ("dx = dout * (x > 0)", "dx = dout"),
    "affine_relu_forward": ("da = relu_backward(dout, relu_cache)", "da = dout"),
    "svm_loss": ("return loss, dx / N", "return loss, dx"),
    "softmax_loss": ("dx[np.arange(N), y] -= 1", "dx[np.arange(N), y] -= 2"),
    "TwoLayerNet": ('affine_relu_backward(dhidden, cache1)', 'affine_backward(dhidden, cache1[0])'),
    "FullyConnectedNet": ("dout = relu_backward(dout, act)", "dout = dout * 1.0"),
    "batchnorm_forward": ("dx = dcentred - np.sum(dcentred, axis=0) / N", "dx = dcentred"),
    "batchnorm_backward_alt": ("- x_hat * (d * x_hat).mean(axis=0)", "+ x_hat * (d * x_hat).mean(axis=0)"),
    "layernorm_forward": ("dh = dout * gamma", "dh = dout"),
    "dropout_forward": ("dx = dout * mask", "dx = dout * (mask > 0)"),
    "conv_forward_naive": ("dpadded[n, :, rows, columns] +=", "dpadded[n, :, rows, columns] ="),
    "max_pool_forward_naive": ("dx[n, c, i * s + r, j * s + q] +=", "dx[n, c, i * s + r, j * s + q] ="),
    "spatial_batchnorm_forward": ("dx, dgamma, dbeta = batch", "dx, dbeta, dgamma = batch"),
    "spatial_groupnorm_forward": ("np.sum(dout * x_hat, axis=", "np.sum(dout, axis="),
    "ThreeLayerConvNet": ("pool_cache), relu_cache)", "pool_cache) * 2, relu_cache)"),
    "rnn_step_forward": ("da = dnext_h * (1 - next_h**2)", "da = dnext_h * (1 - next_h)"),
    "rnn_forward": ("rnn_step_backward(dh[:, t] + dprev, cache[t])", "rnn_step_backward(dh[:, t], cache[t])"),
    "word_embedding_forward": ("np.add.at(dW, x, dout)", "dW[x] += dout"),
    "lstm_step_forward": ("di, df, dg = dc * g, dc * prev_c, dc * i", "di, df, dg = dc * g, dc * next_c, dc * i"),
    "lstm_forward": ("dprev_h, dprev_c, cache[t])", "dprev_h, 0 * dprev_c, cache[t])"),
    "temporal_affine_forward": ("db = dout.sum(axis=(0, 1))", "db = dout.sum(axis=1).mean(axis=0)"),
    "temporal_softmax_loss": ("dflat *= weights[:, None]", "pass"),
}  # fmt: skip
CMU = {
    "Identity": ("dLdZ = dLdA * dAdZ", "dLdZ = -dLdA * dAdZ"),
    "Sigmoid": ("dLdA * (self.A - self.A * self.A)", "dLdA * (1 - self.A * self.A)"),
    "Tanh": ("dLdA * (1 - self.A * self.A)", "dLdA * (1 - self.A)"),
    "ReLU": ("np.where(self.A > 0, dLdA, 0)", "np.where(self.A > 0, 1, 0)"),
    "GELU": ("(cdf + self.Z * pdf)", "(cdf + pdf)"),
    "Softmax": ("J[m, n] = -self.A[i, m] * self.A[i, n]", "J[m, n] = 0"),
    "Linear": ("self.dLdb = dLdZ.T @ self.Ones", "self.dLdb = dLdZ.T @ self.Ones / self.N"),
    "MSELoss": ("2 * (self.A - self.Y) / (self.N * self.C)", "2 * (self.A - self.Y) / self.N"),
    "CrossEntropyLoss": ("(self.softmax - self.Y) / self.A.shape[0]", "(self.softmax - self.Y)"),
    "BatchNorm1d": ("2 * (self.Z - self.M) / self.N + dLdM / self.N", "2 * (self.Z - self.M) / self.N"),
    "MLP0": ("dLdZ0 = self.layers[1].backward(dLdA1)", "dLdZ0 = dLdA1"),
    "MLP1": ("d = layer.backward(d)", "d = layer.backward(d) * (1 if isinstance(layer, ReLU) else -1)"),
    "MLP4": ("reversed(range(len(self.layers)))", "reversed(range(1, len(self.layers)))"),
    "Upsample1d": ("dLdZ[:, :, :: self.upsampling_factor]", "dLdZ[:, :, :: self.upsampling_factor] / 2"),
    "Downsample1d": ("dLdA[:, :, :: self.downsampling_factor] = dLdZ", "dLdA[:, :, : dLdZ.shape[2]] = dLdZ"),
    "Upsample2d": ("dLdA = dLdZ[:, :, ::k, ::k]", "dLdA = dLdZ[:, :, ::k, ::k] * k"),
    "Downsample2d": ("dLdA[:, :, ::k, ::k] = dLdZ", "dLdA[:, :, : dLdZ.shape[2], : dLdZ.shape[3]] = dLdZ"),
    "Conv1d_stride1": ("flipped = self.W[:, :, ::-1]", "flipped = self.W"),
    "Conv1d": ("dLdA = d[:, :, self.pad : d.shape[2] - self.pad]", "dLdA = d[:, :, : d.shape[2] - 2 * self.pad]"),
    "Conv2d_stride1": ("self.dLdb = dLdZ.sum(axis=(0, 2, 3))", "self.dLdb = dLdZ.mean(axis=(0, 2, 3))"),
    "Conv2d": ("self.pad : -self.pad, self.pad : -self.pad]", ": -2 * self.pad, : -2 * self.pad]"),
    "ConvTranspose1d": ("return self.upsample1d.backward(d)", "return -self.upsample1d.backward(d)"),
    "ConvTranspose2d": ("(dLdA_upsampled)", "(dLdA_upsampled) * 4"),
    "Flatten": ("dLdA = dLdZ.reshape(self.in_shape)", "dLdA = dLdZ.reshape(self.in_shape[::-1]).T"),
    "MaxPool2d_stride1": ("dLdA[n, c, i + row, j + column] +=", "dLdA[n, c, i + row, j + column] ="),
    "MeanPool2d_stride1": ("/ k**2", "/ k"),
    "MaxPool2d": ("return self.maxpool2d_stride1.backward(d)", "return self.maxpool2d_stride1.backward(d) * 0.5"),
    "MeanPool2d": ("return self.meanpool2d_stride1.backward(self", "return -self.meanpool2d_stride1.backward(self"),
    "Dropout": ("dx = delta * self.mask", "dx = delta * (self.mask > 0)"),
    "BatchNorm2d": ("(d - inner / self.count)", "d"),
    "CNN_SimpleScanningMLP": ("self.layers[::-1]", "self.layers[:0:-1]"),
    "RNNCell": ("dz = delta * (1 - h_t * h_t)", "dz = delta"),
    "GRUCell": (" + dr_in @ self.Wrx", ""),
    "CTCLoss": ("dY[t, b, symbol] -=", "dY[t, b, symbol] ="),
}  # fmt: skip
DEEPLEARNING_AI = {
    "sigmoid": ("return dA * s * (1 - s)", "return dA * s"),
    "relu": ("dZ[cache <= 0] = 0", "pass"),
    "propagate": ("dw = np.dot(X, (A - Y).T) / m", "dw = np.dot(X, (A - Y).T)"),
    "forward_propagation": ("(1 - np.power(A1, 2))", "(1 - A1)"),
    "linear_forward": ("dA_prev = np.dot(W.T, dZ)", "dA_prev = np.dot(W.T, dZ) / m"),
    "linear_activation_forward": ("dZ = relu_backward(dA, activation_cache)", "dZ = dA"),
    "L_model_forward": ('caches[layer], "relu")', 'caches[layer], "sigmoid")'),
    "rnn_cell_forward": ("dz = (1 - a_next**2) * da_next", "dz = (1 - a_next) * da_next"),
    "rnn_forward": ("da[:, :, t] + da_prev", "da[:, :, t]"),
}
MISTAKES = {"cs231n_layers.py": CS231N, "cmu_11785_layers.py": CMU, "deeplearning_ai_layers.py": DEEPLEARNING_AI}
EACH = [(file, layer) for file, layers in MISTAKES.items() for layer in layers]
MADE_OF_OTHERS = [  # mistakes are planted in one of these groups at a time, and in all layers that are in no group
    {"affine_relu_forward", "spatial_batchnorm_forward", "rnn_forward", "lstm_forward", "linear_activation_forward"},
    {"TwoLayerNet", "FullyConnectedNet"},
    {"MLP0", "MLP1", "MLP4", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "MaxPool2d", "MeanPool2d"},
    {"ThreeLayerConvNet", "CNN_SimpleScanningMLP", "L_model_forward"},
]
SMALL = {"ThreeLayerConvNet": ["--shape", "X=3,2,2,2", "--init", "(2, 2, 2), 2, 3, 3, 7, 0.1"]}  # else half a minute


def check(path, file, layers=None):
    """Return the result of each layer by name."""
    top = argparse.ArgumentParser()
    add_arguments(top)
    options = OPTIONS[file] + (SMALL.get(layers[0], []) if layers is not None and len(layers) == 1 else [])
    arguments = top.parse_args([str(path), *options])
    items = [item for item in discover(path.read_text(encoding="utf-8")) if layers is None or item.label in layers]
    return {r.label: r for r in check_items(str(path), items, given_values(arguments), arguments)}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Provide the results of the layers, each with its mistake, while the layers it is made of are right."""
    found = {}
    for file, mistakes in MISTAKES.items():
        simple = mistakes.keys() - set().union(*MADE_OF_OTHERS)
        for group in (simple, *MADE_OF_OTHERS):
            layers = [layer for layer in mistakes if layer in group]
            source = (FOLDER / file).read_text(encoding="utf-8")
            for layer in layers:
                right, wrong = mistakes[layer]
                start = source.index(f"class {layer}:" if f"class {layer}:" in source else f"def {layer}(")
                at = source.index(right, start)
                source = source[:at] + wrong + source[at + len(right) :]
            if layers:
                path = tmp_path_factory.mktemp("planted") / file
                path.write_text(source, encoding="utf-8")
                found |= {(file, label): result for label, result in check(path, file, layers).items()}
    return found


LARGE = pytest.mark.thorough  # ten seconds for each of the other two files
FILES = [pytest.param(file, marks=() if "deeplearning" in file else LARGE) for file in MISTAKES]


@pytest.mark.parametrize("file", FILES)
def test_a_solved_assignment_is_right_line_by_line(file, capfd):
    code = main(["gradcheck", str(FOLDER / file), "--json", *OPTIONS[file]])
    verdicts = {layer["name"]: layer["verdict"] for layer in json.loads(capfd.readouterr().out)["layers"]}
    assert verdicts == dict.fromkeys(MISTAKES[file], "right")
    assert code == 0


@pytest.mark.thorough
@pytest.mark.parametrize(("file", "layer"), EACH)
def test_a_mistake_in_the_layer_is_found(planted, file, layer):
    result = planted[file, layer]
    assert result.verdict == "wrong" and result.why
