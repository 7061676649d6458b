"""Compare a small GPT and an LSTM with the same number of parameters on *Pride and Prejudice*, by character.

    python -m benchmarks.transformer_or_lstm        writes docs/results/transformer_or_lstm.md and a figure

Both models train on the first 90 % of the novel for the same number of epochs. They use AdamW, and a learning rate that
rises and then follows a cosine to 0. The next 5 % are the validation text, and the last 5 % the test text. Batch size,
learning rate and the rest of SETTINGS were chosen separately for each model, in trials of two epochs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

import nnscratch as nn
from nnscratch.modes import eval_mode
from nnscratch.plotting import style
from nnscratch.training import bits_per_character

EMBED, WIDTH, HEADS, LAYERS, CONTEXT = 64, 64, 4, 4, 64
SETTINGS = {
    "TransformerLM": {"batch": 4, "lr": 3e-3, "betas": (0.9, 0.99), "max_norm": 1.0},
    "LSTM": {"batch": 4, "lr": 4e-3, "betas": (0.9, 0.999), "max_norm": 5.0},
}
TARGET = Path("docs/results/transformer_or_lstm.md")


def parameters(model: nn.Module) -> int:
    return sum(p.size for p in model.parameters())


def build(name: str, vocabulary: int) -> nn.Module:
    """Return the model called `name`. The hidden size of the LSTM gives it as many parameters as the Transformer."""
    transformer = nn.models.TransformerLM(vocabulary, WIDTH, HEADS, LAYERS, CONTEXT, rng=0)
    if name == "TransformerLM":
        return transformer

    def size(hidden: int) -> int:  # embedding, LSTM, linear
        return vocabulary * EMBED + 4 * hidden * (EMBED + hidden + 2) + vocabulary * (hidden + 1)

    hidden = min(range(1, 2000), key=lambda h: abs(size(h) - parameters(transformer)))
    return nn.models.LanguageModel(vocabulary, EMBED, hidden, rng=0)


def loss_with_short_memory(model: nn.Module, tokens: np.ndarray) -> float:
    """Return the mean loss when each token is predicted only from the 32 to 64 tokens before it."""
    half = CONTEXT // 2
    pieces = np.lib.stride_tricks.sliding_window_view(tokens, CONTEXT + 1)[::half]  # (n, CONTEXT + 1)
    criterion, total = nn.CrossEntropyLoss().eval(), 0.0
    with eval_mode(model):
        for some in np.array_split(pieces, max(1, len(pieces) // 64)):
            logits, _ = model(some[:, :-1], model.init_hidden(len(some)))
            total += len(some) * criterion(logits[:, half:], some[:, 1 + half :])
    return total / len(pieces)


def run(name: str, epochs: float) -> dict:
    """Train one model and return the measurements."""
    text = nn.data.load_austen("pride_and_prejudice")
    tokenizer = nn.data.CharTokenizer.from_text(text)
    tokens = tokenizer.encode(text)
    train, valid, test = np.split(tokens, [int(0.90 * len(tokens)), int(0.95 * len(tokens))])
    model = build(name, len(tokenizer))
    chosen = SETTINGS[name]
    batches = nn.data.TextBatches(train, chosen["batch"], CONTEXT)
    # The validation and test texts are read in segments of half a context. So the Transformer predicts each character
    # from the 32 to 64 characters before it. The LSTM predicts it from all characters before it.
    last = test
    valid, test = (nn.data.TextBatches(part, 10, CONTEXT // 2) for part in (valid, test))
    steps = round(epochs * len(batches))
    optimizer = nn.optim.AdamW(model.parameters(), lr=chosen["lr"], betas=chosen["betas"], weight_decay=0.0)
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, warmup=steps // 20)
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, max_norm=chosen["max_norm"])
    cpu = time.process_time()
    history = trainer.fit(batches, valid, steps=steps, evaluate_every=max(1, steps // 8))
    cpu = time.process_time() - cpu
    test_loss = nn.evaluate(model, nn.CrossEntropyLoss(), test)
    start = time.perf_counter()
    sample = nn.generate(model, tokenizer, "It is a truth", 400, temperature=0.8, rng=0)
    seconds = time.perf_counter() - start
    return {
        "name": name,
        "model": f"{model._title()}",
        "parameters": parameters(model),
        "settings": f"{steps:,} steps of {chosen['batch']} x {CONTEXT} characters",
        "rate": f"{chosen['lr']:g}, betas {chosen['betas']}, gradient norm clipped at {chosen['max_norm']:g}",
        "read": [record["step"] * chosen["batch"] * CONTEXT for record in history.valid],
        "curve": [bits_per_character(record["loss"]) for record in history.valid],
        "valid": bits_per_character(history.best["loss"]),
        "test": bits_per_character(test_loss),
        "short": bits_per_character(loss_with_short_memory(model, last)),
        "seconds": history.seconds,
        "cpu": cpu,
        "ms_per_character": 1000 * seconds / 400,
        "sample": " ".join(sample.split()),
    }


def picture(results: list[dict], path: Path) -> None:
    ax = style.new_axes()
    for result, colour, line in zip(results, (style.ORANGE, style.BLUE), style.LINES, strict=False):
        x = [read / 1000 for read in result["read"]]
        ax.plot(x, result["curve"], color=colour, linestyle=line, marker="o", markersize=4, label=result["name"])
        ax.annotate(f"{result['curve'][-1]:.2f}", (x[-1], result["curve"][-1]), xytext=(6, -3),
                    textcoords="offset points", color=colour)  # fmt: skip
    ax.set_xlabel("training characters (thousands)")
    ax.set_ylabel("validation, bits per character")
    ax.legend(frameon=False)
    style.save_figure(ax, path)


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def report(results: list[dict], epochs: float) -> str:
    transformer, lstm = results
    gap = transformer["test"] - lstm["test"]
    ahead = [t < h for t, h in zip(transformer["curve"], lstm["curve"], strict=True)]
    if gap < 0:
        late = next((k for k in range(len(ahead)) if all(ahead[k:])), len(ahead) - 1)
        verdict = (
            f"On the test text, the Transformer needs {-gap:.3f} bits per character less than the LSTM. But it learns "
            f"more slowly: on the validation text it stays better than the LSTM only after "
            f"{transformer['read'][late] / 1000:,.0f} thousand characters, or "
            f"{transformer['read'][late] / transformer['read'][-1] * epochs:.1f} epochs. A recurrent network has the "
            f"order of the characters built in, and near characters have the most influence. A Transformer has to "
            f"learn both."
        )
    else:
        early = transformer["curve"][0] - lstm["curve"][0]
        share = (lstm["short"] - lstm["test"]) / gap
        part = "does not explain" if share < 0.1 else "explains part of" if share < 0.5 else "explains most of"
        verdict = (
            f"On the test text, the LSTM needs {gap:.3f} bits per character less than the Transformer. Its longer "
            f"memory {part} the difference: limited to the last {CONTEXT // 2} to {CONTEXT} characters, as the "
            f"Transformer is, the LSTM needs {lstm['short']:.3f} bits. The Transformer learns more slowly. A recurrent "
            f"network has the order of the characters built in, and near characters have the most influence. A "
            f"Transformer has to learn both. On the validation text, the Transformer needed {early:.2f} bits more "
            f"than the LSTM after {transformer['read'][0]:,} characters, and "
            f"{transformer['curve'][-1] - lstm['curve'][-1]:.2f} more after {transformer['read'][-1]:,}. It was not "
            f"measured whether more text or more training would close the gap."
        )
    rows = [
        ("parameters", *(f"{r['parameters']:,}" for r in results)),
        ("training", *(r["settings"] for r in results)),
        ("highest learning rate", *(r["rate"] for r in results)),
        ("validation, bits per character", *(f"{r['valid']:.3f}" for r in results)),
        ("test, bits per character", *(f"**{r['test']:.3f}**" for r in results)),
        (
            f"the same, limited to the last {CONTEXT // 2} to {CONTEXT} characters",
            *(f"{r['short']:.3f}" for r in results),
        ),
        ("processor time of training and validation, s", *(f"{r['cpu']:.0f}" for r in results)),
        ("clock time of training and validation, s", *(f"{r['seconds']:.0f}" for r in results)),
        ("generating, ms per character", *(f"{r['ms_per_character']:.1f}" for r in results)),
    ]
    lines = [
        "# A small GPT or an LSTM?",
        "",
        "`python -m benchmarks.transformer_or_lstm` wrote this page; the figures are from its latest run.",
        "",
        f"Both models train on the first 90 % of *Pride and Prejudice* for {epochs:g} epochs, character by character. "
        "The next 5 % are the validation text and the last 5 % the test text. Both have nearly the same number of "
        "parameters, the same optimiser (AdamW without weight decay; the learning rate rises for 5 % of the steps and "
        "then falls along a cosine to 0), no dropout, and one seed (0). Batch size, learning rate, betas and the "
        "clipping norm were chosen separately for each model, in trials of two epochs. The Transformer predicts each "
        "character from the 32 to 64 characters before it, the LSTM from all characters before it.",
        "",
        f"| | {transformer['name']} | {lstm['name']} |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        verdict,
        "",
        ":::{figure-md}",
        "![Bits per character on the validation text over the number of characters that the models have learned from, "
        "with one curve for the Transformer and one for the LSTM.](transformer_or_lstm.png)",
        "",
        "How fast the Transformer and the LSTM learn from the same characters.",
        ":::",
        "",
        f"Machine: {cpu_name()}, {os.cpu_count()} cores, both models at the same time with one BLAS thread each, "
        f"NumPy {np.__version__}, "
        f"Python {platform.python_version()}, float32. Other programs ran on the same cores, so processor time is more "
        "reliable than clock time.",
        "",
        f"- `{transformer['model']}`",
        f"- `{lstm['model']}`",
        "",
        "Text that each model generates after *It is a truth*, at temperature 0.8:",
        "",
        *(f"> **{r['name']}:** {r['sample']}\n" for r in results),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=float, default=6, help="training epochs (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = "1"  # both train at the same time, each in its own process on its own core
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(run, SETTINGS, [arguments.epochs] * 2))
    for result in results:
        print({k: v for k, v in result.items() if k != "sample"}, flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(report(results, arguments.epochs), encoding="utf-8")
    picture(results, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
