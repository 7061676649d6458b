"""Train a bidirectional encoder on hidden words of Jane Austen's novels, then a classifier of passages on top of it.

    python -m benchmarks.masked_lm              about two minutes of one core; writes docs/results/masked_lm.md

1  MaskedLM         predicts hidden words (BERT's idea) in the first nine tenths of the six novels
2  TextClassifier   names the novel of a passage of 32 words: with the encoder of step 1, and with a new one
3  PyTorch          both models from the same weights, on the same batches, if PyTorch is installed

The names of the characters would give a novel away. So a word that occurs (nearly) only in one novel becomes <unk>.
"""

from __future__ import annotations

import contextlib
import itertools
import platform
import time
from pathlib import Path

import numpy as np

import nnscratch as nn

TARGET = Path("docs/results/masked_lm.md")
WORDS, SHARE = 2000, 0.8  # the size of the vocabulary; a word with more than this share in one novel is not shown
T, D, HEADS, LAYERS, BATCH = 32, 64, 4, 2, 64
EPOCHS, LR, COMPARED = 2, 2e-3, 60  # COMPARED: the steps that PyTorch makes too
LABELLED, TESTED, CLASS_EPOCHS = (300, 3000), 1200, 6


def novels() -> tuple[list[np.ndarray], int]:
    """Return the words of each novel as ids, and the number of different words."""
    texts = [nn.data.load_austen(title) for title in nn.data.AUSTEN]
    tokenizer = nn.data.WordTokenizer.from_text("\n".join(texts), max_size=WORDS)
    ids = [tokenizer.encode(text) for text in texts]
    counts = np.array([np.bincount(words, minlength=len(tokenizer)) / len(words) for words in ids])  # (6, V)
    telling = counts.max(axis=0) > SHARE * counts.sum(axis=0)
    return [np.where(telling[words], tokenizer.id("<unk>"), words) for words in ids], len(tokenizer)


def passages(words: np.ndarray) -> np.ndarray:
    """Cut the words into passages, shape (N, T)."""
    return words[: len(words) // T * T].reshape(-1, T)


def encoder(vocabulary: int, seed: int) -> nn.models.TransformerEncoder:
    """Return a new encoder. The id after the last word is the mask."""
    return nn.models.TransformerEncoder(vocabulary + 1, D, HEADS, LAYERS, T, rng=seed)


def masked_lm(words: np.ndarray, vocabulary: int) -> tuple[nn.Module, nn.data.MaskedBatches, nn.Trainer]:
    """Return a new MaskedLM, its batches, and its trainer."""
    model = nn.models.MaskedLM(encoder(vocabulary, seed=0), rng=1)
    batches = nn.data.MaskedBatches(words, BATCH, T, mask=vocabulary, rng=2)
    optimizer = nn.optim.Adam(model.parameters(), lr=LR)
    return model, batches, nn.Trainer(model, nn.CrossEntropyLoss(ignore_index=-100), optimizer)


def measure_masked(model: nn.Module, train: np.ndarray, test: np.ndarray, vocabulary: int) -> list[tuple]:
    """Return (name, cross-entropy, accuracy) of hidden words of the test text, for the model and for frequencies."""
    batches = list(nn.data.MaskedBatches(test, BATCH, T, mask=vocabulary, rng=3))
    criterion, right, count = nn.CrossEntropyLoss(ignore_index=-100), 0, 0
    loss = nn.evaluate(model, criterion, batches)
    model.eval()
    for inputs, targets in batches:
        hidden = targets >= 0
        right += int((model(inputs).argmax(axis=2) == targets)[hidden].sum())
        count += int(hidden.sum())
    frequency = (np.bincount(train, minlength=vocabulary) + 1) / (len(train) + vocabulary)
    hidden = np.concatenate([targets[targets >= 0] for _, targets in batches])
    alone = -np.log(frequency[hidden]).mean(), (hidden == frequency.argmax()).mean()
    return [("MaskedLM", loss, right / count), ("the frequencies of the words alone", *map(float, alone))]


def classify(model: nn.models.TextClassifier, train: tuple, test: tuple) -> float:
    """Train a classifier, and return its accuracy on the test passages."""
    batches = nn.data.Batches(*train, BATCH, rng=5)
    optimizer = nn.optim.Adam(model.parameters(), lr=LR)
    nn.Trainer(model, nn.CrossEntropyLoss(), optimizer).fit(batches, epochs=CLASS_EPOCHS)
    return nn.training.accuracy(model.eval()(test[0]), test[1])


def naive_bayes(train: tuple, test: tuple, vocabulary: int) -> float:
    """Return the accuracy of the classifier that only counts words: sum of log p(word | novel) over the passage."""
    counts = np.ones((6, vocabulary))
    for passage, label in zip(*train, strict=True):
        np.add.at(counts[label], passage, 1)
    scores = np.log(counts / counts.sum(axis=1, keepdims=True))[:, test[0]].sum(axis=2)  # (6, N)
    return float((scores.argmax(axis=0) == test[1]).mean())


# --- the same in PyTorch ---------------------------------------------------------------------------------------------


def in_pytorch(model: nn.Module, mean: bool):
    """Return a PyTorch module with the weights of a MaskedLM, or of a TextClassifier that takes the mean."""
    import torch

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(model.encoder.vocab_size, D)
            self.position = torch.nn.Embedding(T, D)
            layer = torch.nn.TransformerEncoderLayer(D, HEADS, 4 * D, 0.0, "gelu", batch_first=True, norm_first=True)
            norm = torch.nn.LayerNorm(D)
            self.blocks = torch.nn.TransformerEncoder(layer, LAYERS, norm=norm, enable_nested_tensor=False)
            self.linear = torch.nn.Linear(D, len(model.linear.weight.data))

        def forward(self, tokens):
            h = self.blocks(self.embedding(tokens) + self.position.weight)
            return self.linear(h.mean(dim=1) if mean else h)

    twin = Twin()
    names = {"encoder.blocks.": "blocks.layers.", "encoder.norm.": "blocks.norm.", "encoder.": ""}
    state = {}
    for name, values in model.state_dict().items():
        start = next((start for start in names if name.startswith(start)), "")
        state[names.get(start, "") + name.removeprefix(start)] = torch.tensor(values)
    twin.load_state_dict(state)
    return twin


def compare(model: nn.Module, criterion: nn.Module, batches: list, mean: bool) -> tuple[float, float, float] | None:
    """Train a model, and the same in PyTorch. Return the largest difference of a loss, and both processor times."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    twin = in_pytorch(model, mean)
    optimizer = nn.optim.Adam(model.parameters(), lr=LR)
    start, ours = time.process_time(), []
    for inputs, targets in batches:
        model.zero_grad()
        ours.append(criterion(model(inputs), targets))
        model.backward(criterion.backward())
        optimizer.step()
    ours_time = time.process_time() - start
    their_optimizer, start, theirs = torch.optim.Adam(twin.parameters(), lr=LR), time.process_time(), []
    for inputs, targets in batches:
        their_optimizer.zero_grad()
        logits, labels = twin(torch.tensor(inputs)), torch.tensor(targets)
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        loss.backward()
        their_optimizer.step()
        theirs.append(loss.item())
    difference = float(np.abs(np.array(ours) - theirs).max())
    return difference, ours_time / len(batches), (time.process_time() - start) / len(batches)


# --- the page --------------------------------------------------------------------------------------------------------


def report(found: dict) -> str:
    """Return the page."""
    lines = [
        "# A masked language model, and a classifier on top",
        "",
        f"`python -m benchmarks.masked_lm` wrote this page. `MaskedLM` reads passages of {T} words of Jane Austen's "
        "six novels in both directions. 15 % of the words are hidden, and it predicts them. It has "
        f"{found['parameters']:,} parameters ({LAYERS} blocks, {D} features). It read {found['train']:,} words "
        f"{EPOCHS} times, in {found['seconds']:.0f} s of processor time. The last tenth of each novel is the test "
        f"text. One run ({platform.python_implementation()} {platform.python_version()}).",
        "",
        "## Hidden words",
        "",
        "| | cross-entropy (nats) | right |",
        "|---|---|---|",
        *(f"| {name} | {loss:.3f} | {right:.1%} |" for name, loss, right in found["masked"]),
        "",
        "## Which novel is a passage from?",
        "",
        f"`TextClassifier` takes the mean of the encoder's outputs. In training, it reads each labelled passage "
        f"of {T} words {CLASS_EPOCHS} times. It is tested on {found['tested']:,} passages of the last tenths of the "
        "novels. "
        "The encoder is the trained one, or a new one with random weights. All weights are trained in both cases. "
        "Naive Bayes only counts words. Some words, such as the names of the characters, occur in one novel only and "
        "would show which novel it is. They are replaced by `<unk>`. The rule: add the frequencies of a word in the "
        f"six novels, and replace the word if one novel has more than {SHARE:.0%} of this sum.",
        "",
        "| labelled passages | encoder trained on hidden words | new encoder | naive Bayes |",
        "|---|---|---|---|",
        *(f"| {count:,} | {old:.1%} | {new:.1%} | {bayes:.1%} |" for count, old, new, bayes in found["classes"]),
        "",
        f"The most frequent answer is right for {found['most']:.1%} of the test passages. {verdict(found['classes'])}",
        "",
    ]
    if found["pytorch"]:
        lines += [
            "## Compared with PyTorch",
            "",
            "PyTorch trained the same models, from the same weights and on the same batches, with one thread. The "
            "largest difference between two losses shows that both libraries compute the same results. The times are "
            "of one run.",
            "",
            "| | steps | largest difference of a loss | nnscratch, ms per step | PyTorch, ms per step |",
            "|---|---|---|---|---|",
        ]
        for name, steps, (difference, ours, theirs) in found["pytorch"]:
            lines.append(f"| {name} | {steps} | {difference:.1e} | {1e3 * ours:.0f} | {1e3 * theirs:.0f} |")
        lines.append("")
    return "\n".join(lines)


def verdict(classes: list[tuple]) -> str:
    """Return sentences that say which classifier is better. Small differences are not counted as better."""
    clear = 0.03  # about 1.6 standard errors of the difference of two accuracies on 1,200 passages
    helps = all(old > new + clear for _, old, new, _ in classes)
    first = f"The trained encoder is {'better' if helps else 'not clearly better'} than a new one in this task."
    counts = all(bayes > max(old, new) for _, old, new, bayes in classes)
    return first + (" Naive Bayes is better than both." if counts else "")


def labelled(parts: list[np.ndarray], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` passages drawn from the parts of all novels, and the number of the novel of each."""
    cut = [passages(part) for part in parts]
    x, y = np.concatenate(cut), np.repeat(np.arange(len(cut)), [len(p) for p in cut])
    chosen = np.random.default_rng(seed).permutation(len(x))[:count]
    return x[chosen], y[chosen]


def main() -> None:
    words, vocabulary = novels()
    early, late = [w[: len(w) * 9 // 10] for w in words], [w[len(w) * 9 // 10 :] for w in words]
    train, test = np.concatenate(early), np.concatenate(late)
    model, batches, trainer = masked_lm(train, vocabulary)
    start = time.process_time()
    trainer.fit(batches, epochs=EPOCHS)
    found = {"seconds": time.process_time() - start, "train": len(train)}
    found["parameters"] = sum(p.data.size for p in model.parameters())
    found["masked"] = measure_masked(model, train, test, vocabulary)
    print(*found["masked"], f"{found['seconds']:.0f} s", sep="\n", flush=True)

    state, tested = model.encoder.state_dict(), labelled(late, TESTED, seed=7)
    found["tested"], found["most"] = len(tested[1]), np.bincount(tested[1]).max() / len(tested[1])
    found["classes"] = []
    for count in LABELLED:
        given, rates = labelled(early, count, seed=8), []
        for trained in (True, False):
            made = encoder(vocabulary, seed=4)
            if trained:
                made.load_state_dict(state)
            rates.append(classify(nn.models.TextClassifier(made, 6, rng=6), given, tested))
        found["classes"].append((count, *rates, naive_bayes(given, tested, vocabulary)))
        print(found["classes"][-1], flush=True)

    found["pytorch"] = []
    model, batches, _ = masked_lm(train, vocabulary)
    classifier = nn.models.TextClassifier(encoder(vocabulary, seed=4), 6, rng=6)
    passages_of = nn.data.Batches(*labelled(early, COMPARED * BATCH, seed=8), BATCH, rng=5)
    for name, made, criterion, source, mean in [
        ("MaskedLM", model, nn.CrossEntropyLoss(ignore_index=-100), batches, False),
        ("TextClassifier", classifier, nn.CrossEntropyLoss(), passages_of, True),
    ]:
        pair = compare(made, criterion, list(itertools.islice(source, COMPARED)), mean)
        if pair is not None:
            found["pytorch"].append((name, COMPARED, pair))
    print(*found["pytorch"], sep="\n")
    TARGET.write_text(report(found), encoding="utf-8")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
