"""Train a character model with and without privacy, and measure what it remembers.

    python -m benchmarks.memory           about six minutes of one core

Writes docs/results/memory.md and memory.json. Twelve canaries, sentences with four random digits, are put into the
training examples of a novel: four of them once, four 4 times and four 16 times. The page has the exposure of each, the
success of membership inference by loss, and the bits per character of examples that neither model has seen.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import numpy as np

import nnscratch as nn

TARGET = Path("docs/results/memory.md")
CHARACTERS, LENGTH, HIDDEN, EMBED = 400_000, 64, 128, 64
NAMES = "anne emma mary jane kate lucy rose ella fanny ruth alice clara".split()
COPIES = [1] * 4 + [4] * 4 + [16] * 4
EPSILON, DELTA = 8.0, 1e-5
PLAIN = {"batch_size": 32, "steps": 4000, "lr": 0.004}
PRIVATE = {"batch_size": 256, "steps": 400, "lr": 0.01, "max_norm": 0.5}


def examples_with_canaries(rng):
    """Return the tokenizer, the canaries, and three sets of examples.

    These are the training examples, some of them that have no canary, and other examples of the same novel.
    """
    novel = nn.data.load_austen("persuasion")[:CHARACTERS]
    canaries = [nn.privacy.Canary(f"the code of {name} is ", rng=rng) for name in NAMES]
    tokenizer = nn.data.CharTokenizer.from_text(novel + "0123456789")
    inputs, targets = nn.privacy.text_examples(tokenizer.encode(novel), LENGTH)
    examples = np.concatenate([inputs, targets[:, -1:]], axis=1)  # (N, LENGTH + 1)
    examples = examples[rng.permutation(len(examples))]
    others, train = examples[: len(examples) // 10], examples[len(examples) // 10 :].copy()
    row = 0
    for canary, copies in zip(canaries, COPIES, strict=True):
        ids = tokenizer.encode(canary.text + ".")
        for _ in range(copies):
            start = rng.integers(0, LENGTH + 1 - len(ids))
            train[row, start : start + len(ids)] = ids
            row += 1
    return tokenizer, canaries, train, train[row : row + len(others)], others


def train(examples, vocab_size, private):
    """Return the model, and a dict with the noise, the epsilon, the epochs and the processor time of its training."""
    settings = PRIVATE if private else PLAIN
    model = nn.models.LanguageModel(vocab_size, EMBED, HIDDEN, rng=0)
    batches = nn.privacy.PoissonBatches(examples[:, :-1], examples[:, 1:], settings["batch_size"], rng=1)
    optimizer, options, sigma = nn.optim.Adam(model.parameters(), lr=settings["lr"]), {"max_norm": 1.0}, 0.0
    start = time.process_time()
    if private:
        sigma = nn.privacy.noise_multiplier_for(EPSILON, settings["steps"], batches.sample_rate, DELTA)
        privacy = nn.privacy.DPSGD(batches, noise_multiplier=sigma, max_norm=settings["max_norm"], delta=DELTA, rng=2)
        options = {"privacy": privacy}
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, **options)
    trainer.fit(batches, steps=settings["steps"])
    return model, {
        "sigma": sigma,
        "epsilon": privacy.epsilon(trainer.steps_done) if private else None,
        "epochs": settings["steps"] * batches.sample_rate,
        "seconds": time.process_time() - start,
    }


def measure(model, tokenizer, canaries, members, others):
    inside, outside = (nn.privacy.sequence_losses(model, x) / LENGTH / np.log(2) for x in (members, others))
    attack = nn.privacy.membership_inference(inside, outside)
    return {
        "exposure": [canary.exposure(model, tokenizer) for canary in canaries],
        "bits_of_others": float(outside.mean()),
        "bits_of_members": float(inside.mean()),
        "advantage": attack.advantage,
        "auc": attack.auc,
    }


def page(results, sizes):
    def exposures(result, copies):
        values = [e for e, c in zip(result["exposure"], COPIES, strict=True) if c == copies]
        return f"{np.mean(values):.1f} ({', '.join(f'{v:.1f}' for v in values)})"

    plain, private = results["plain"], results["private"]
    rows = [(f"exposure of the canaries that occur {'once' if c == 1 else f'{c} times'}, in bits",
             exposures(plain, c), exposures(private, c)) for c in sorted(set(COPIES))]  # fmt: skip
    for title, key in (
        ("bits per character, other examples", "bits_of_others"), ("bits per character, training examples",
         "bits_of_members"), ("membership inference, advantage", "advantage"), ("membership inference, auc", "auc"),
    ):  # fmt: skip
        rows.append((title, *(f"{r[key]:.3f}" for r in (plain, private))))
    rows.append(("epochs", *(f"{r['epochs']:.0f}" for r in (plain, private))))
    rows.append(("processor time", *(f"{r['seconds']:.0f} s" for r in (plain, private))))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    paragraphs = [
        f"`python -m benchmarks.memory` wrote this page (CPython {platform.python_version()}, one run of each). "
        f"The model is an LSTM with {HIDDEN} units on characters. It is trained on {sizes[0]:,} examples of "
        f"{LENGTH + 1} characters from the novel *Persuasion*, once without and once with DP-SGD. DP-SGD reaches "
        f"epsilon {private['epsilon']:.2f} at delta {DELTA:g}. It uses the noise multiplier {private['sigma']}, clips "
        f"the gradient of each example to {PRIVATE['max_norm']}, and draws {PRIVATE['batch_size']} examples for a "
        "batch on average. "
        f"{sizes[1]} other examples of the same novel are not used for training.",
        "Twelve canaries, such as `the code of anne is 0731` with random digits, are in the training examples. The "
        "exposure of a canary is log2(10,000) minus log2 of its rank among the 10,000 possible sentences, ordered by "
        "the model's loss. It is at most 13.3 bits. A model that has learned nothing has 1.4 bits on average. Four "
        "canaries occur once, four occur 4 times, and four occur 16 times. For each of these groups, a row shows the "
        "mean exposure and, in parentheses, the exposures of the four canaries.",
        f"| | without privacy | with epsilon {EPSILON:g} |\n|---|---|---|\n{table}",
        f"The price of privacy is the increase of the bits per character of the other examples: "
        f"{private['bits_of_others'] - plain['bits_of_others']:.2f} bits.",
        "The batch sizes and the numbers of steps were chosen after trial runs on the same text with the same seed. So "
        "the figures show a good case. Another seed gives other figures.",
        "Epsilon is a promise about one example. A canary that occurs 16 times is in 16 examples, and for such a group "
        "the promise is much weaker: such a canary can have a higher exposure. "
        "[The reference](../reference/privacy.md) describes the functions, and "
        "[tutorial 24](../notebooks/24_what_does_it_remember.ipynb) explains the measurement.",
    ]
    return "# What a character model remembers\n\n" + "\n\n".join(paragraphs) + "\n"


def main():
    rng = np.random.default_rng(0)
    tokenizer, canaries, examples, members, others = examples_with_canaries(rng)
    results = {}
    for name, private in (("plain", False), ("private", True)):
        model, facts = train(examples, len(tokenizer), private)
        results[name] = facts | measure(model, tokenizer, canaries, members, others)
        print(name, json.dumps(results[name]))
    TARGET.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    TARGET.write_text(page(results, (len(examples), len(others))), encoding="utf-8")


if __name__ == "__main__":
    main()
