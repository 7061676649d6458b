"""einsum for every product, minus infinity as the mask, and a cache that is an object."""

import numpy as np


class Saved:
    pass


def attention_forward(Q, K, V, mask):
    saved = Saved()
    saved.Q, saved.K, saved.V = Q, K, V
    s = np.einsum("ntd,nsd->nts", Q, K) / np.sqrt(Q.shape[2])
    s[:, ~mask] = -np.inf
    e = np.exp(s - s.max(axis=2, keepdims=True))
    saved.A = e / np.einsum("nts->nt", e)[:, :, None]
    return np.einsum("nts,nse->nte", saved.A, V), saved


def attention_backward(dout, saved):
    dA = np.einsum("nte,nse->nts", dout, saved.V)
    ds = saved.A * dA - saved.A * np.einsum("nts,nts->nt", saved.A, dA)[:, :, None]
    ds /= np.sqrt(saved.Q.shape[2])
    return (
        np.einsum("nts,nsd->ntd", ds, saved.K),
        np.einsum("nts,ntd->nsd", ds, saved.Q),
        np.einsum("nts,nte->nse", saved.A, dout),
    )
