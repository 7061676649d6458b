"""Which of two novels is a sentence from? A bidirectional LSTM reads sentences of different lengths."""

import re

import numpy as np

import nnscratch as nn

NOVELS, MAX_WORDS, EPOCHS = ("pride_and_prejudice", "persuasion"), 40, 3


def sentences_of(novel):
    text = " ".join(nn.data.load_austen(novel).split())
    found = re.split(r"(?<=[.!?]) ", text)
    return [s for s in found if 5 <= len(s.split()) <= MAX_WORDS]


def load_sentences(rng=0):
    """Return a tokenizer, and ((tokens, lengths), labels) for training and for the test."""
    pairs = [(s, label) for label, novel in enumerate(NOVELS) for s in sentences_of(novel)]
    order = np.random.default_rng(rng).permutation(len(pairs))
    train, test = np.split(order, [int(0.9 * len(pairs))])
    tokenizer = nn.data.WordTokenizer.from_text(" ".join(pairs[k][0] for k in train), min_count=3)

    def encoded(rows):
        tokens, lengths = nn.data.pad_sequences([tokenizer.encode(pairs[k][0])[:MAX_WORDS] for k in rows])
        return (tokens, lengths), np.array([[pairs[k][1]] for k in rows], dtype=np.float32)

    return tokenizer, encoded(train), encoded(test)


def trim(inputs, rng):
    """Cut the padding behind the longest sentence of a batch."""
    tokens, lengths = inputs
    return tokens[:, : lengths.max()], lengths


def make_batches(inputs, labels, batch_size=32, rng=0):
    return nn.data.Batches(inputs, labels, batch_size, rng=rng, transform=trim)


class Classifier(nn.Module):
    """One logit for each sentence, from the last state of both directions."""

    def __init__(self, vocab_size, embed=32, hidden=32, rng=0):
        rng = np.random.default_rng(rng)
        self.embedding = nn.Embedding(vocab_size, embed, rng=rng)
        self.lstm = nn.LSTM(embed, hidden, bidirectional=True, rng=rng)
        self.linear = nn.Linear(2 * hidden, 1, rng=rng)

    def forward(self, tokens, lengths):
        y, (h, c) = self.lstm(self.embedding(tokens), lengths=lengths)  # h (2, N, H)
        self.save_for_backward(y, h, c)
        return self.linear(np.concatenate([h[0], h[1]], axis=1))  # (N, 2H) -> (N, 1)

    def backward(self, dy):
        y, h, c = self.saved()
        dh = np.stack(np.split(self.linear.backward(dy), 2, axis=1))  # (2, N, H)
        dx, _ = self.lstm.backward(np.zeros_like(y), (dh, np.zeros_like(c)))
        self.embedding.backward(dx)


def make_trainer(model, callbacks=()):
    optimizer = nn.optim.Adam(model.parameters(), lr=2e-3)
    return nn.Trainer(model, nn.BCEWithLogitsLoss(), optimizer, clip_value=1.0, callbacks=callbacks)


def accuracy_on(model, inputs, labels):
    return nn.training.accuracy(model.eval()(*inputs), labels)


if __name__ == "__main__":
    tokenizer, train, test = load_sentences()
    model = Classifier(len(tokenizer))
    trainer = make_trainer(model, callbacks=[nn.training.ProgressBar()])
    trainer.fit(make_batches(*train), make_batches(*test), epochs=EPOCHS)
    print(f"test accuracy {accuracy_on(model, *test):.1%}")
