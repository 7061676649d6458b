"""Train nanogpt.py and nanogpt_pytorch.py from the same weights on the same batches; write nanogpt.png and the table.

    python docs/examples/nanogpt_curve.py           2,000 steps of each; it needs PyTorch
    python docs/examples/nanogpt_curve.py 500       with a budget of 500 steps
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from nanogpt import BATCH, CONTEXT, FEATURES, HEADS, LAYERS, STEPS, load_tokens, make_batches, make_model, make_trainer
from nanogpt_pytorch import GPT, train

import nnscratch as nn

HERE, EVERY = Path(__file__).parent, 100


def validation_loss(predict, batches):
    """Return the mean loss; each window is read separately, as nanoGPT does."""
    criterion = nn.CrossEntropyLoss()
    losses = [(criterion(predict(x), y), y.size) for x, y in batches]
    return sum(loss * n for loss, n in losses) / sum(n for _, n in losses)


def run_ours(model, batches, valid, steps):
    trainer, seconds, measured = make_trainer(model, steps), 0.0, []
    for stop in range(EVERY, steps + 1, EVERY):
        start = time.process_time()
        trainer.fit(batches, steps=stop)
        seconds += time.process_time() - start
        model.eval()
        measured.append(validation_loss(lambda x: model(x)[0], valid))
        print(f"ours     {stop:5d}  {measured[-1]:.4f}", file=sys.stderr, flush=True)
    return trainer.history.loss, measured, seconds


def run_pytorch(model, batches, valid, steps):
    losses, measured, seconds, start = [], [], 0.0, time.process_time()
    for loss in train(model, batches, steps, steps):
        losses.append(loss)
        if len(losses) % EVERY == 0:
            seconds += time.process_time() - start
            with torch.no_grad():
                measured.append(validation_loss(lambda x: model(torch.tensor(x)).numpy(), valid))
            print(f"PyTorch  {len(losses):5d}  {measured[-1]:.4f}", file=sys.stderr, flush=True)
            start = time.process_time()
    return losses, measured, seconds


def main(steps=STEPS):
    torch.set_num_threads(1)
    tokenizer, train_tokens, valid_tokens = load_tokens()
    valid = nn.data.TextBatches(valid_tokens, 20, CONTEXT)
    model = make_model(len(tokenizer))
    gpt = GPT(len(tokenizer), FEATURES, HEADS, LAYERS, CONTEXT)
    gpt.load_state_dict({name: torch.tensor(a) for name, a in model.state_dict().items()})
    count = sum(p.size for p in model.parameters())
    ours, our_valid, our_seconds = run_ours(model, make_batches(train_tokens), valid, steps)
    theirs, their_valid, their_seconds = run_pytorch(gpt, make_batches(train_tokens), valid, steps)

    ax = nn.plotting.new_axes()
    for losses, colour, style, name in ((theirs, "C1", "-", "PyTorch"), (ours, "C0", "--", "nnscratch")):
        smooth = np.convolve(losses, np.ones(20) / 20, mode="valid")
        ax.plot(np.arange(20, len(losses) + 1), smooth, style, color=colour, label=f"{name}, training")
    for measured, colour, mark, name in ((their_valid, "C1", "o", "PyTorch"), (our_valid, "C0", "x", "nnscratch")):
        at = EVERY * np.arange(1, len(measured) + 1)
        ax.plot(at, measured, mark, color=colour, markersize=9, fillstyle="none", label=f"{name}, validation")
    ax.set_xlabel("step")
    ax.set_ylabel("loss, nats per character")
    ax.legend()
    nn.plotting.save_figure(ax, HERE / "nanogpt.png")

    first = np.abs(np.array(ours[:100]) - theirs[:100]).max()
    last = abs(np.mean(ours[-100:]) - np.mean(theirs[-100:]))
    pairs = zip(our_valid, their_valid, strict=True)
    rows = [f"| {EVERY * (k + 1):,} | {a:.4f} | {b:.4f} |" for k, (a, b) in enumerate(pairs)]
    lines = [
        f"`python docs/examples/nanogpt_curve.py {steps}` wrote this table and the figure. Budget: {steps:,} steps of "
        f"{BATCH} windows of {CONTEXT} characters, {count:,} parameters, float32, one seed. Both programs start from "
        f"the same weights and read the same batches.",
        "",
        f"| step | validation loss, nnscratch | PyTorch {torch.__version__.partition('+')[0]} |",
        "|---|---|---|",
        *rows,
        "",
        f"Over the first 100 steps, the training losses differ by at most {first:.1e}. The means of the last 100 "
        f"training losses differ by {last:.1e}. Processor time of the training steps, with one thread, while other "
        f"programs ran: nnscratch {our_seconds:.0f} s, PyTorch {their_seconds:.0f} s.",
    ]
    (HERE / "_nanogpt_curve.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
