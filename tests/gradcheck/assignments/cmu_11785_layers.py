"""The layers of CMU 11-785's homework 1 to 3 (mytorch), solved. Names, arguments and shapes are the course's."""

import numpy as np

# === homework 1: activations, linear layer, losses, batch normalization, MLP =========================================


class Identity:
    def forward(self, Z):
        self.A = Z
        return self.A

    def backward(self, dLdA):
        dAdZ = np.ones(self.A.shape, dtype="f")
        dLdZ = dLdA * dAdZ
        return dLdZ


class Sigmoid:
    def forward(self, Z):
        self.A = 1 / (1 + np.exp(-Z))
        return self.A

    def backward(self, dLdA):
        dLdZ = dLdA * (self.A - self.A * self.A)
        return dLdZ


class Tanh:
    def forward(self, Z):
        self.A = np.tanh(Z)
        return self.A

    def backward(self, dLdA):
        dLdZ = dLdA * (1 - self.A * self.A)
        return dLdZ


class ReLU:
    def forward(self, Z):
        self.A = np.maximum(0, Z)
        return self.A

    def backward(self, dLdA):
        dLdZ = np.where(self.A > 0, dLdA, 0)
        return dLdZ


def erf(z):
    """The error function, from its series: the course uses scipy.special.erf."""
    total, term = np.zeros_like(z), z
    for n in range(60):
        total = total + term / (2 * n + 1)
        term = -term * z * z / (n + 1)
    return 2 / np.sqrt(np.pi) * total


class GELU:
    def forward(self, Z):
        self.Z = Z
        self.A = 0.5 * Z * (1 + erf(Z / np.sqrt(2)))
        return self.A

    def backward(self, dLdA):
        cdf = 0.5 * (1 + erf(self.Z / np.sqrt(2)))
        pdf = np.exp(-0.5 * self.Z**2) / np.sqrt(2 * np.pi)
        dLdZ = dLdA * (cdf + self.Z * pdf)
        return dLdZ


class Softmax:
    """Softmax over the classes, the columns of Z."""

    def forward(self, Z):
        """Z: (batch size N, number of classes C)"""
        e = np.exp(Z - np.max(Z, axis=1, keepdims=True))
        self.A = e / np.sum(e, axis=1, keepdims=True)
        return self.A

    def backward(self, dLdA):
        N, C = dLdA.shape
        dLdZ = np.zeros((N, C))
        for i in range(N):
            J = np.zeros((C, C))
            for m in range(C):
                for n in range(C):
                    if m == n:
                        J[m, n] = self.A[i, m] * (1 - self.A[i, m])
                    else:
                        J[m, n] = -self.A[i, m] * self.A[i, n]
            dLdZ[i, :] = dLdA[i, :] @ J
        return dLdZ


class Linear:
    def __init__(self, in_features, out_features, debug=False):
        self.W = np.zeros((out_features, in_features))
        self.b = np.zeros((out_features, 1))
        self.debug = debug

    def forward(self, A):
        """A: (batch size N, in_features)"""
        self.A = A
        self.N = A.shape[0]
        self.Ones = np.ones((self.N, 1))
        Z = A @ self.W.T + self.Ones @ self.b.T
        return Z

    def backward(self, dLdZ):
        dLdA = dLdZ @ self.W
        self.dLdW = dLdZ.T @ self.A
        self.dLdb = dLdZ.T @ self.Ones
        if self.debug:
            self.dLdA = dLdA
        return dLdA


class MSELoss:
    def forward(self, A, Y):
        self.A, self.Y = A, Y
        self.N, self.C = A.shape
        se = (A - Y) * (A - Y)
        mse = np.sum(se) / (self.N * self.C)
        return mse

    def backward(self):
        dLdA = 2 * (self.A - self.Y) / (self.N * self.C)
        return dLdA


class CrossEntropyLoss:
    def forward(self, A, Y):
        """A: logits, (N, C). Y: one-hot labels, (N, C)."""
        self.A, self.Y = A, Y
        N, C = A.shape
        e = np.exp(A - A.max(axis=1, keepdims=True))
        self.softmax = e / (e @ np.ones((C, 1)))
        crossentropy = (-Y * np.log(self.softmax)) @ np.ones((C, 1))
        L = np.ones((1, N)) @ crossentropy / N
        return L.item()

    def backward(self):
        dLdA = (self.softmax - self.Y) / self.A.shape[0]
        return dLdA


class BatchNorm1d:
    def __init__(self, num_features, alpha=0.9):
        self.alpha = alpha
        self.eps = 1e-8
        self.BW, self.Bb = np.ones((1, num_features)), np.zeros((1, num_features))
        self.dLdBW, self.dLdBb = np.zeros((1, num_features)), np.zeros((1, num_features))
        self.running_M, self.running_V = np.zeros((1, num_features)), np.ones((1, num_features))

    def forward(self, Z, eval=False):
        self.Z = Z
        self.N = Z.shape[0]
        self.M = np.mean(Z, axis=0, keepdims=True)
        self.V = np.var(Z, axis=0, keepdims=True)
        if not eval:
            self.NZ = (Z - self.M) / np.sqrt(self.V + self.eps)
            self.running_M = self.alpha * self.running_M + (1 - self.alpha) * self.M
            self.running_V = self.alpha * self.running_V + (1 - self.alpha) * self.V
        else:
            self.NZ = (Z - self.running_M) / np.sqrt(self.running_V + self.eps)
        self.BZ = self.BW * self.NZ + self.Bb
        return self.BZ

    def backward(self, dLdBZ):
        self.dLdBW = np.sum(dLdBZ * self.NZ, axis=0, keepdims=True)
        self.dLdBb = np.sum(dLdBZ, axis=0, keepdims=True)
        dLdNZ = dLdBZ * self.BW
        s = np.sqrt(self.V + self.eps)
        dLdV = np.sum(dLdNZ * (self.Z - self.M), axis=0, keepdims=True) * (-0.5) / s**3
        dLdM = -np.sum(dLdNZ, axis=0, keepdims=True) / s - 2 / self.N * dLdV * np.sum(self.Z - self.M, axis=0)
        dLdZ = dLdNZ / s + dLdV * 2 * (self.Z - self.M) / self.N + dLdM / self.N
        return dLdZ


class MLP0:
    """A linear layer and a ReLU."""

    def __init__(self, debug=False):
        self.layers = [Linear(2, 3), ReLU()]
        self.debug = debug

    def forward(self, A0):
        Z0 = self.layers[0].forward(A0)
        A1 = self.layers[1].forward(Z0)
        return A1

    def backward(self, dLdA1):
        dLdZ0 = self.layers[1].backward(dLdA1)
        dLdA0 = self.layers[0].backward(dLdZ0)
        return dLdA0


class MLP1:
    """Two linear layers, with a ReLU after each."""

    def __init__(self, debug=False):
        self.layers = [Linear(2, 3), ReLU(), Linear(3, 2), ReLU()]

    def forward(self, A0):
        A = A0
        for layer in self.layers[0:]:
            A = layer.forward(A)
        return A

    def backward(self, dLdA2):
        d = dLdA2
        for layer in self.layers[::-1]:
            d = layer.backward(d)
        return d


class MLP4:
    """Five linear layers, with a ReLU after each."""

    def __init__(self, debug=False):
        sizes = [2, 4, 8, 8, 4, 2]
        self.layers = []
        for i in range(5):
            self.layers += [Linear(sizes[i], sizes[i + 1]), ReLU()]

    def forward(self, A):
        for i in range(len(self.layers)):
            A = self.layers[i].forward(A)
        return A

    def backward(self, dLdA):
        for i in reversed(range(len(self.layers))):
            dLdA = self.layers[i].backward(dLdA)
        return dLdA


# === homework 2: resampling, convolutions, pooling ===================================================================


class Upsample1d:
    def __init__(self, upsampling_factor):
        self.upsampling_factor = upsampling_factor

    def forward(self, A):
        """A: (batch_size, in_channels, input_width)"""
        N, C, W = A.shape
        k = self.upsampling_factor
        Z = np.zeros((N, C, k * (W - 1) + 1))
        Z[:, :, ::k] = A
        return Z

    def backward(self, dLdZ):
        dLdA = dLdZ[:, :, :: self.upsampling_factor]
        return dLdA


class Downsample1d:
    def __init__(self, downsampling_factor):
        self.downsampling_factor = downsampling_factor

    def forward(self, A):
        self.input_width = A.shape[2]
        Z = A[:, :, :: self.downsampling_factor].copy()
        return Z

    def backward(self, dLdZ):
        dLdA = np.zeros((dLdZ.shape[0], dLdZ.shape[1], self.input_width))
        dLdA[:, :, :: self.downsampling_factor] = dLdZ
        return dLdA


class Upsample2d:
    def __init__(self, upsampling_factor):
        self.upsampling_factor = upsampling_factor

    def forward(self, A):
        """A: (batch_size, in_channels, input_height, input_width)"""
        N, C, H, W = A.shape
        k = self.upsampling_factor
        Z = np.zeros((N, C, k * (H - 1) + 1, k * (W - 1) + 1))
        Z[:, :, ::k, ::k] = A
        return Z

    def backward(self, dLdZ):
        k = self.upsampling_factor
        dLdA = dLdZ[:, :, ::k, ::k]
        return dLdA


class Downsample2d:
    def __init__(self, downsampling_factor):
        self.downsampling_factor = downsampling_factor

    def forward(self, A):
        self.shape = A.shape
        k = self.downsampling_factor
        return A[:, :, ::k, ::k].copy()

    def backward(self, dLdZ):
        k = self.downsampling_factor
        dLdA = np.zeros(self.shape)
        dLdA[:, :, ::k, ::k] = dLdZ
        return dLdA


class Conv1d_stride1:
    def __init__(self, in_channels, out_channels, kernel_size, weight_init_fn=None, bias_init_fn=None):
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        if weight_init_fn is None:
            self.W = np.random.normal(0, 1.0, (out_channels, in_channels, kernel_size))
        else:
            self.W = weight_init_fn(out_channels, in_channels, kernel_size)
        if bias_init_fn is None:
            self.b = np.zeros(out_channels)
        else:
            self.b = bias_init_fn(out_channels)
        self.dLdW = np.zeros(self.W.shape)
        self.dLdb = np.zeros(self.b.shape)

    def forward(self, A):
        """A: (batch_size, in_channels, input_size)"""
        self.A = A
        width = A.shape[2] - self.kernel_size + 1
        Z = np.zeros((A.shape[0], self.out_channels, width))
        for i in range(width):
            window = A[:, :, i : i + self.kernel_size]
            Z[:, :, i] = np.tensordot(window, self.W, axes=([1, 2], [1, 2])) + self.b
        return Z

    def backward(self, dLdZ):
        width = dLdZ.shape[2]
        for i in range(self.kernel_size):
            self.dLdW[:, :, i] = np.tensordot(dLdZ, self.A[:, :, i : i + width], axes=([0, 2], [0, 2]))
        self.dLdb = np.sum(dLdZ, axis=(0, 2))
        padded = np.pad(dLdZ, ((0, 0), (0, 0), (self.kernel_size - 1, self.kernel_size - 1)))
        flipped = self.W[:, :, ::-1]
        dLdA = np.zeros(self.A.shape)
        for i in range(self.A.shape[2]):
            window = padded[:, :, i : i + self.kernel_size]
            dLdA[:, :, i] = np.tensordot(window, flipped, axes=([1, 2], [0, 2]))
        return dLdA


class Conv1d:
    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding=0, weight_init_fn=None, bias_init_fn=None
    ):
        self.stride, self.pad = stride, padding
        self.conv1d_stride1 = Conv1d_stride1(in_channels, out_channels, kernel_size, weight_init_fn, bias_init_fn)
        self.downsample1d = Downsample1d(stride)

    def forward(self, A):
        padded = np.pad(A, ((0, 0), (0, 0), (self.pad, self.pad)), mode="constant")
        Z = self.conv1d_stride1.forward(padded)
        return self.downsample1d.forward(Z)

    def backward(self, dLdZ):
        d = self.conv1d_stride1.backward(self.downsample1d.backward(dLdZ))
        dLdA = d[:, :, self.pad : d.shape[2] - self.pad]
        return dLdA


class Conv2d_stride1:
    def __init__(self, in_channels, out_channels, kernel_size, weight_init_fn=None, bias_init_fn=None):
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.W = np.random.normal(0, 1.0, shape) if weight_init_fn is None else weight_init_fn(*shape)
        self.b = np.zeros(out_channels) if bias_init_fn is None else bias_init_fn(out_channels)
        self.dLdW = np.zeros(self.W.shape)
        self.dLdb = np.zeros(self.b.shape)

    def forward(self, A):
        """A: (batch_size, in_channels, input_height, input_width)"""
        self.A = A
        k = self.kernel_size
        height, width = A.shape[2] - k + 1, A.shape[3] - k + 1
        Z = np.zeros((A.shape[0], self.out_channels, height, width))
        for i in range(height):
            for j in range(width):
                Z[:, :, i, j] = np.tensordot(A[:, :, i : i + k, j : j + k], self.W, axes=([1, 2, 3], [1, 2, 3]))
        Z += self.b[None, :, None, None]
        return Z

    def backward(self, dLdZ):
        k = self.kernel_size
        height, width = dLdZ.shape[2:]
        for i in range(k):
            for j in range(k):
                window = self.A[:, :, i : i + height, j : j + width]
                self.dLdW[:, :, i, j] = np.tensordot(dLdZ, window, axes=([0, 2, 3], [0, 2, 3]))
        self.dLdb = dLdZ.sum(axis=(0, 2, 3))
        padded = np.pad(dLdZ, ((0, 0), (0, 0), (k - 1, k - 1), (k - 1, k - 1)))
        flipped = np.flip(self.W, axis=(2, 3))
        dLdA = np.zeros(self.A.shape)
        for i in range(dLdA.shape[2]):
            for j in range(dLdA.shape[3]):
                window = padded[:, :, i : i + k, j : j + k]
                dLdA[:, :, i, j] = np.tensordot(window, flipped, axes=([1, 2, 3], [0, 2, 3]))
        return dLdA


class Conv2d:
    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding=0, weight_init_fn=None, bias_init_fn=None
    ):
        self.stride, self.pad = stride, padding
        self.conv2d_stride1 = Conv2d_stride1(in_channels, out_channels, kernel_size, weight_init_fn, bias_init_fn)
        self.downsample2d = Downsample2d(stride)

    def forward(self, A):
        p = self.pad
        padded = np.pad(A, ((0, 0), (0, 0), (p, p), (p, p)), mode="constant")
        return self.downsample2d.forward(self.conv2d_stride1.forward(padded))

    def backward(self, dLdZ):
        d = self.conv2d_stride1.backward(self.downsample2d.backward(dLdZ))
        if self.pad:
            d = d[:, :, self.pad : -self.pad, self.pad : -self.pad]
        return d


class ConvTranspose1d:
    def __init__(
        self, in_channels, out_channels, kernel_size, upsampling_factor, weight_init_fn=None, bias_init_fn=None
    ):
        self.upsample1d = Upsample1d(upsampling_factor)
        self.conv1d_stride1 = Conv1d_stride1(in_channels, out_channels, kernel_size, weight_init_fn, bias_init_fn)

    def forward(self, A):
        A_upsampled = self.upsample1d.forward(A)
        return self.conv1d_stride1.forward(A_upsampled)

    def backward(self, dLdZ):
        d = self.conv1d_stride1.backward(dLdZ)
        return self.upsample1d.backward(d)


class ConvTranspose2d:
    def __init__(
        self, in_channels, out_channels, kernel_size, upsampling_factor, weight_init_fn=None, bias_init_fn=None
    ):
        self.upsample2d = Upsample2d(upsampling_factor)
        self.conv2d_stride1 = Conv2d_stride1(in_channels, out_channels, kernel_size, weight_init_fn, bias_init_fn)

    def forward(self, A):
        return self.conv2d_stride1.forward(self.upsample2d.forward(A))

    def backward(self, dLdZ):
        dLdA_upsampled = self.conv2d_stride1.backward(dLdZ)
        return self.upsample2d.backward(dLdA_upsampled)


class Flatten:
    def forward(self, A):
        """A: (batch_size, in_channels, in_width)"""
        self.in_shape = A.shape
        return A.reshape(A.shape[0], -1)

    def backward(self, dLdZ):
        dLdA = dLdZ.reshape(self.in_shape)
        return dLdA


class MaxPool2d_stride1:
    def __init__(self, kernel):
        self.kernel = kernel

    def forward(self, A):
        self.A = A
        k = self.kernel
        N, C, H, W = A.shape
        Z = np.zeros((N, C, H - k + 1, W - k + 1))
        self.where = np.zeros(Z.shape, dtype=int)
        for i in range(Z.shape[2]):
            for j in range(Z.shape[3]):
                window = A[:, :, i : i + k, j : j + k].reshape(N, C, -1)
                self.where[:, :, i, j] = window.argmax(axis=2)
                Z[:, :, i, j] = window.max(axis=2)
        return Z

    def backward(self, dLdZ):
        k = self.kernel
        dLdA = np.zeros(self.A.shape)
        for n, c, i, j in np.ndindex(*dLdZ.shape):
            row, column = divmod(self.where[n, c, i, j], k)
            dLdA[n, c, i + row, j + column] += dLdZ[n, c, i, j]
        return dLdA


class MeanPool2d_stride1:
    def __init__(self, kernel):
        self.kernel = kernel

    def forward(self, A):
        self.shape = A.shape
        k = self.kernel
        Z = np.zeros((A.shape[0], A.shape[1], A.shape[2] - k + 1, A.shape[3] - k + 1))
        for i in range(Z.shape[2]):
            for j in range(Z.shape[3]):
                Z[:, :, i, j] = np.mean(A[:, :, i : i + k, j : j + k], axis=(2, 3))
        return Z

    def backward(self, dLdZ):
        k = self.kernel
        dLdA = np.zeros(self.shape)
        for i in range(dLdZ.shape[2]):
            for j in range(dLdZ.shape[3]):
                dLdA[:, :, i : i + k, j : j + k] += dLdZ[:, :, i, j][:, :, None, None] / k**2
        return dLdA


class MaxPool2d:
    def __init__(self, kernel, stride):
        self.maxpool2d_stride1 = MaxPool2d_stride1(kernel)
        self.downsample2d = Downsample2d(stride)

    def forward(self, A):
        return self.downsample2d.forward(self.maxpool2d_stride1.forward(A))

    def backward(self, dLdZ):
        d = self.downsample2d.backward(dLdZ)
        return self.maxpool2d_stride1.backward(d)


class MeanPool2d:
    def __init__(self, kernel, stride):
        self.meanpool2d_stride1 = MeanPool2d_stride1(kernel)
        self.downsample2d = Downsample2d(stride)

    def forward(self, A):
        return self.downsample2d.forward(self.meanpool2d_stride1.forward(A))

    def backward(self, dLdZ):
        return self.meanpool2d_stride1.backward(self.downsample2d.backward(dLdZ))


class Dropout:
    def __init__(self, p=0.5):
        self.p = p

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x, train=True):
        if train:
            self.mask = np.random.binomial(1, 1 - self.p, x.shape) / (1 - self.p)
            return x * self.mask
        return x

    def backward(self, delta):
        dx = delta * self.mask
        return dx


class BatchNorm2d:
    def __init__(self, num_features, alpha=0.9):
        self.alpha, self.eps = alpha, 1e-8
        self.BW, self.Bb = np.ones((1, num_features, 1, 1)), np.zeros((1, num_features, 1, 1))
        self.dLdBW, self.dLdBb = np.zeros(self.BW.shape), np.zeros(self.Bb.shape)
        self.running_M, self.running_V = np.zeros(self.BW.shape), np.ones(self.BW.shape)

    def forward(self, Z, eval=False):
        if eval:
            return self.BW * (Z - self.running_M) / np.sqrt(self.running_V + self.eps) + self.Bb
        self.Z, self.count = Z, Z.shape[0] * Z.shape[2] * Z.shape[3]
        self.M = Z.mean(axis=(0, 2, 3), keepdims=True)
        self.V = Z.var(axis=(0, 2, 3), keepdims=True)
        self.NZ = (Z - self.M) / np.sqrt(self.V + self.eps)
        self.running_M = self.alpha * self.running_M + (1 - self.alpha) * self.M
        self.running_V = self.alpha * self.running_V + (1 - self.alpha) * self.V
        return self.BW * self.NZ + self.Bb

    def backward(self, dLdBZ):
        axes = (0, 2, 3)
        self.dLdBW = (dLdBZ * self.NZ).sum(axis=axes, keepdims=True)
        self.dLdBb = dLdBZ.sum(axis=axes, keepdims=True)
        d = dLdBZ * self.BW
        inner = d.sum(axis=axes, keepdims=True) + self.NZ * (d * self.NZ).sum(axis=axes, keepdims=True)
        dLdZ = (d - inner / self.count) / np.sqrt(self.V + self.eps)
        return dLdZ


class CNN_SimpleScanningMLP:
    """An MLP that scans a sequence, as three convolutions: the first has the width and the stride of the scan."""

    def __init__(self):
        self.conv1 = Conv1d(3, 4, kernel_size=4, stride=2)
        self.conv2 = Conv1d(4, 3, kernel_size=1, stride=1)
        self.conv3 = Conv1d(3, 2, kernel_size=1, stride=1)
        self.layers = [self.conv1, ReLU(), self.conv2, ReLU(), self.conv3, Flatten()]

    def forward(self, A):
        """A: (batch size, in channel = 3, in width)"""
        Z = A
        for layer in self.layers:
            Z = layer.forward(Z)
        return Z

    def backward(self, dLdZ):
        dLdA = dLdZ
        for layer in self.layers[::-1]:
            dLdA = layer.backward(dLdA)
        return dLdA


# === homework 3: RNN, GRU, CTC =======================================================================================


class RNNCell:
    """h_t = tanh(W_ih x + b_ih + W_hh h_prev_t + b_hh). The gradients of the weights are means over the batch."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_ih = np.random.randn(hidden_size, input_size)
        self.W_hh = np.random.randn(hidden_size, hidden_size)
        self.b_ih = np.random.randn(hidden_size)
        self.b_hh = np.random.randn(hidden_size)
        self.zero_grad()

    def zero_grad(self):
        d, h = self.input_size, self.hidden_size
        self.dW_ih, self.dW_hh = np.zeros((h, d)), np.zeros((h, h))
        self.db_ih, self.db_hh = np.zeros(h), np.zeros(h)

    def __call__(self, x, h_prev_t):
        return self.forward(x, h_prev_t)

    def forward(self, x, h_prev_t):
        """x: (batch_size, input_size). h_prev_t: (batch_size, hidden_size)."""
        h_t = np.tanh(x @ self.W_ih.T + self.b_ih + h_prev_t @ self.W_hh.T + self.b_hh)
        return h_t

    def backward(self, delta, h_t, h_prev_l, h_prev_t):
        batch_size = delta.shape[0]
        dz = delta * (1 - h_t * h_t)
        self.dW_ih += dz.T @ h_prev_l / batch_size
        self.dW_hh += dz.T @ h_prev_t / batch_size
        self.db_ih += np.sum(dz, axis=0) / batch_size
        self.db_hh += np.sum(dz, axis=0) / batch_size
        dx = dz @ self.W_ih
        dh_prev_t = dz @ self.W_hh
        return dx, dh_prev_t


class GRUCell:
    """r = s(Wrx x + brx + Wrh h + brh), z alike; n = tanh(Wnx x + bnx + r (Wnh h + bnh)); h_t = (1 - z) n + z h."""

    def __init__(self, input_size, hidden_size):
        self.d, self.h = d, h = input_size, hidden_size
        self.Wrx, self.Wzx, self.Wnx = (np.random.randn(h, d) for _ in range(3))
        self.Wrh, self.Wzh, self.Wnh = (np.random.randn(h, h) for _ in range(3))
        self.brx, self.bzx, self.bnx = (np.random.randn(h) for _ in range(3))
        self.brh, self.bzh, self.bnh = (np.random.randn(h) for _ in range(3))
        self.dWrx, self.dWzx, self.dWnx = (np.zeros((h, d)) for _ in range(3))
        self.dWrh, self.dWzh, self.dWnh = (np.zeros((h, h)) for _ in range(3))
        self.dbrx, self.dbzx, self.dbnx = (np.zeros(h) for _ in range(3))
        self.dbrh, self.dbzh, self.dbnh = (np.zeros(h) for _ in range(3))

    def forward(self, x, h_prev_t):
        """x: (input_size). h_prev_t: (hidden_size)."""
        self.x, self.hidden = x, h_prev_t
        self.r = 1 / (1 + np.exp(-(self.Wrx @ x + self.brx + self.Wrh @ h_prev_t + self.brh)))
        self.z = 1 / (1 + np.exp(-(self.Wzx @ x + self.bzx + self.Wzh @ h_prev_t + self.bzh)))
        self.n_state = self.Wnh @ h_prev_t + self.bnh
        self.n = np.tanh(self.Wnx @ x + self.bnx + self.r * self.n_state)
        h_t = (1 - self.z) * self.n + self.z * h_prev_t
        return h_t

    def backward(self, delta):
        dz = delta * (self.hidden - self.n)
        dn = delta * (1 - self.z)
        dn_in = dn * (1 - self.n**2)
        dr_in = dn_in * self.n_state * self.r * (1 - self.r)
        dz_in = dz * self.z * (1 - self.z)
        self.dWnx += np.outer(dn_in, self.x)
        self.dbnx += dn_in
        self.dWnh += np.outer(dn_in * self.r, self.hidden)
        self.dbnh += dn_in * self.r
        self.dWrx += np.outer(dr_in, self.x)
        self.dbrx += dr_in
        self.dWrh += np.outer(dr_in, self.hidden)
        self.dbrh += dr_in
        self.dWzx += np.outer(dz_in, self.x)
        self.dbzx += dz_in
        self.dWzh += np.outer(dz_in, self.hidden)
        self.dbzh += dz_in
        dx = dn_in @ self.Wnx + dr_in @ self.Wrx + dz_in @ self.Wzx
        dh_prev_t = delta * self.z + (dn_in * self.r) @ self.Wnh + dr_in @ self.Wrh + dz_in @ self.Wzh
        return dx, dh_prev_t


class CTC:
    """The forward and backward probabilities of CTC for one sequence."""

    def __init__(self, BLANK=0):
        self.BLANK = BLANK

    def extend_target_with_blank(self, target):
        extended = [self.BLANK]
        for symbol in target:
            extended += [symbol, self.BLANK]
        skip = [0] * len(extended)
        for s in range(3, len(extended), 2):
            skip[s] = int(extended[s] != extended[s - 2])
        return np.array(extended), np.array(skip)

    def get_forward_probs(self, logits, extended, skip):
        S, T = len(extended), len(logits)
        alpha = np.zeros((T, S))
        alpha[0, 0], alpha[0, 1] = logits[0, extended[0]], logits[0, extended[1]]
        for t in range(1, T):
            for s in range(S):
                alpha[t, s] = alpha[t - 1, s] + (alpha[t - 1, s - 1] if s else 0)
                alpha[t, s] += alpha[t - 1, s - 2] if skip[s] else 0
                alpha[t, s] *= logits[t, extended[s]]
        return alpha

    def get_backward_probs(self, logits, extended, skip):
        S, T = len(extended), len(logits)
        beta = np.zeros((T, S))
        beta[T - 1, S - 1] = beta[T - 1, S - 2] = 1
        for t in range(T - 2, -1, -1):
            following = beta[t + 1] * logits[t + 1, extended]
            for s in range(S):
                beta[t, s] = following[s] + (following[s + 1] if s + 1 < S else 0)
                beta[t, s] += following[s + 2] if s + 2 < S and skip[s + 2] else 0
        return beta


class CTCLoss:
    """The mean over the batch of -log p(target | logits); logits are probabilities here, as in the course's tests."""

    def __init__(self, BLANK=0):
        self.BLANK = BLANK
        self.ctc = CTC(BLANK)

    def __call__(self, logits, target, input_lengths, target_lengths):
        return self.forward(logits, target, input_lengths, target_lengths)

    def forward(self, logits, target, input_lengths, target_lengths):
        """logits: (seq_length, batch_size, len(Symbols)). target: (batch_size, paddedtargetlen)."""
        self.logits = logits
        self.lengths = input_lengths
        B = target.shape[0]
        self.extended, self.gammas = [], []
        total = np.zeros(B)
        for b in range(B):
            probs = logits[: input_lengths[b], b]
            extended, skip = self.ctc.extend_target_with_blank(target[b, : target_lengths[b]])
            alpha = self.ctc.get_forward_probs(probs, extended, skip)
            beta = self.ctc.get_backward_probs(probs, extended, skip)
            likelihood = np.sum(alpha[-1] * beta[-1])
            total[b] = -np.log(likelihood)
            self.extended.append(extended)
            self.gammas.append(alpha * beta / likelihood)
        return np.sum(total) / B

    def backward(self):
        T, B, C = self.logits.shape
        dY = np.zeros((T, B, C))
        for b in range(B):
            for t in range(self.lengths[b]):
                for s, symbol in enumerate(self.extended[b]):
                    dY[t, b, symbol] -= self.gammas[b][t, s] / self.logits[t, b, symbol] / B
        return dY
