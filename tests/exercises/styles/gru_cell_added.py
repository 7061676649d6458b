"""Gradients that are added to zeros, as the package does, and arrays with an axis for the batch."""

import numpy as np

NAMES = ("r", "z", "n")


class GRUCell:
    def __init__(self, input_size, hidden_size):
        for name in NAMES:
            for source, size in (("x", input_size), ("h", hidden_size)):
                setattr(self, f"W{name}{source}", np.random.default_rng().normal(size=(hidden_size, size)))
                setattr(self, f"b{name}{source}", np.random.default_rng().normal(size=hidden_size))
                setattr(self, f"dW{name}{source}", np.zeros((hidden_size, size)))
                setattr(self, f"db{name}{source}", np.zeros(hidden_size))

    def forward(self, x, h_prev_t):
        self.x, self.hidden = x, h_prev_t
        self.r = 1 / (1 + np.exp(-(self.Wrx @ x + self.brx + self.Wrh @ h_prev_t + self.brh)))
        self.z = 1 / (1 + np.exp(-(self.Wzx @ x + self.bzx + self.Wzh @ h_prev_t + self.bzh)))
        self.n = np.tanh(self.Wnx @ x + self.bnx + self.r * (self.Wnh @ h_prev_t + self.bnh))
        return self.n + self.z * (h_prev_t - self.n)

    def backward(self, delta):
        x, h = self.x.reshape(1, -1), self.hidden.reshape(1, -1)
        dn = delta * (1 - self.z) * (1 - self.n**2)
        dr = dn * (self.Wnh @ self.hidden + self.bnh) * self.r * (1 - self.r)
        dz = delta * (self.hidden - self.n) * self.z * (1 - self.z)
        dx, dh = np.zeros(x.size), delta * self.z
        for name, from_x, from_h in (("r", dr, dr), ("z", dz, dz), ("n", dn, dn * self.r)):
            for source, d, value in (("x", from_x, x), ("h", from_h, h)):
                weight, bias = getattr(self, f"dW{name}{source}"), getattr(self, f"db{name}{source}")
                weight += d[:, None] * value
                bias += d
            dx = dx + from_x @ getattr(self, f"W{name}x")
            dh = dh + from_h @ getattr(self, f"W{name}h")
        return dx, dh
