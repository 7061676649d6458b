"""Exercise 32: a cell of a GRU

One step for one example, so x and h are vectors. The names are those of CMU 11-785: r is the reset gate, z is the
update gate, and n is the new state. In the equations, h is the argument h_prev_t.

    forward     r   = sigmoid(Wrx x + brx + Wrh h + brh)
                z   = sigmoid(Wzx x + bzx + Wzh h + bzh)
                n   = tanh(Wnx x + bnx + r * (Wnh h + bnh))
                h_t = (1 - z) * n + z * h

    backward    gets delta, the gradient of the loss with respect to h_t. It returns dx and dh_prev_t, and stores the
                gradients of the twelve parameters in dWrx, dWrh, dbrx, dbrh, and so on.

h reaches h_t on four paths: through r, z and n, and directly. dh_prev_t is the sum of the four gradients.

Shapes: x and dx (D,); h, h_t, delta and dh_prev_t (H,); Wrx, Wzx and Wnx (H, D); Wrh, Wzh and Wnh (H, H); the six
biases (H,). Each gradient has the shape of its parameter.

What is checked: h_t, to 6 digits; then the fourteen gradients of backward.
Tolerances: 1e-6 of the largest value (float32: 1e-3); for gradients, a relative error of 1e-6 (float32: 1e-2).
Also part of: CMU 11-785, homework 3 (GRUCell).

Check it:    nnscratch exercises check gru_cell
Stuck?       nnscratch exercises hint gru_cell
"""

import numpy as np


def sigmoid(x):
    """Return the sigmoid of x."""
    return np.tanh(x / 2) / 2 + 0.5


class GRUCell:
    """One step of a GRU."""

    def __init__(self, input_size, hidden_size):
        D, H = input_size, hidden_size
        rng = np.random.default_rng()
        self.Wrx, self.Wzx, self.Wnx = rng.normal(size=(3, H, D))
        self.Wrh, self.Wzh, self.Wnh = rng.normal(size=(3, H, H))
        self.brx, self.bzx, self.bnx = rng.normal(size=(3, H))
        self.brh, self.bzh, self.bnh = rng.normal(size=(3, H))

        self.dWrx, self.dWzx, self.dWnx = np.zeros((3, H, D))
        self.dWrh, self.dWzh, self.dWnh = np.zeros((3, H, H))
        self.dbrx, self.dbzx, self.dbnx = np.zeros((3, H))
        self.dbrh, self.dbzh, self.dbnh = np.zeros((3, H))

    def forward(self, x, h_prev_t):
        """Return h_t."""
        # solution: Compute h_t. Save in self what backward needs.
        r = sigmoid(self.Wrx @ x + self.brx + self.Wrh @ h_prev_t + self.brh)
        z = sigmoid(self.Wzx @ x + self.bzx + self.Wzh @ h_prev_t + self.bzh)
        from_h = self.Wnh @ h_prev_t + self.bnh
        n = np.tanh(self.Wnx @ x + self.bnx + r * from_h)
        h_t = (1 - z) * n + z * h_prev_t
        self.saved = x, h_prev_t, r, z, from_h, n
        return h_t
        # end

    def backward(self, delta):
        """Store the gradients of the parameters, and return dx and dh_prev_t."""
        # solution: Compute the fourteen gradients. Return dx and dh_prev_t.
        x, h, r, z, from_h, n = self.saved
        dn = delta * (1 - z) * (1 - n**2)  # before the tanh
        dz = delta * (h - n) * z * (1 - z)  # before the sigmoid
        dr = dn * from_h * r * (1 - r)  # before the sigmoid
        dfrom_h = dn * r
        self.dWrx, self.dWzx, self.dWnx = np.outer(dr, x), np.outer(dz, x), np.outer(dn, x)
        self.dWrh, self.dWzh, self.dWnh = np.outer(dr, h), np.outer(dz, h), np.outer(dfrom_h, h)
        self.dbrx, self.dbzx, self.dbnx = dr, dz, dn
        self.dbrh, self.dbzh, self.dbnh = dr, dz, dfrom_h
        dx = self.Wrx.T @ dr + self.Wzx.T @ dz + self.Wnx.T @ dn
        dh_prev_t = self.Wrh.T @ dr + self.Wzh.T @ dz + self.Wnh.T @ dfrom_h + delta * z
        return dx, dh_prev_t
        # end
