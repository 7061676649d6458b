"""Exercise 27: word embedding, with ids that occur several times."""

from ..exercise import Exercise, Gradients, Mistake, Slip, Values


def case(N, T, V, D):
    return lambda rng: (rng.integers(0, V, (N, T)), rng.normal(size=(V, D)))


CASES = [case(3, 4, 5, 2), case(2, 5, 3, 4), case(4, 3, 6, 3)]

EXERCISE = Exercise(
    number=27,
    name="word_embedding",
    title="look up a vector for every word, also for repeated words",
    parts=[
        Values(
            "word_embedding_forward",
            lambda x, W: W[x],
            CASES,
            ("out", "cache"),
            slips=[
                Slip(lambda x, W: W[x].mean(axis=1), "this averages the words of a sentence. Keep a vector for each.")
            ],
        ),
        Gradients(("word_embedding_forward", "word_embedding_backward"), CASES),
    ],
    hints=(
        "W[x] with an array x of integers gives an array of the shape of x, with one more axis.",
        "If an id occurs several times, dW[x] += dout adds only one of its gradients. np.add.at(dW, x, dout) adds all "
        "of them. You can also write a loop over all words.",
        "The lookup equals a product with one-hot vectors, out = onehot @ W, and dW = onehot.T @ dout. The lookup is "
        "faster, because most factors in such a product are zero.",
    ),
    reading="nnscratch/layers/embedding.py; the derivation: docs/derivations/embedding.md",
    mistakes=[
        Mistake("np.add.at(dW, x, dout)", "dW[x] += dout", "rows met twice counted once"),
        Mistake("np.add.at(dW, x, dout)", "dW[x] = dout", "rows met twice counted once"),
        Mistake("np.add.at(dW, x, dout)", "np.add.at(dW, x, dout / len(x))", "scaled by a constant"),
        Mistake("np.add.at(dW, x, dout)", "np.subtract.at(dW, x, dout)", "sign flipped"),
    ],
)
