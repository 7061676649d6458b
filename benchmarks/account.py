"""Measure what each optimisation of a training step gains, for the page "How NumPy keeps up with PyTorch".

    python -m benchmarks.account            takes about two minutes; writes docs/performance/_account.md

The benchmark splits one training step of the language model 10000/256/512x2 (batch 20, 35 steps, Adam) into four parts.
It computes each part in several variants, from the textbook version to the version of the package. The variants of a
part take turns within one run. The table shows the medians, and the time of PyTorch's whole step in the same run.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import nnscratch as nn
from nnscratch import blas, info
from nnscratch.backend import Workspace
from nnscratch.bench import report
from nnscratch.layers.linear_cross_entropy import linear_cross_entropy
from nnscratch.layers.sigmoid import sigmoid

V, D, H, LAYERS, N, T = 10_000, 256, 512, 2, 20, 35
RNG = np.random.default_rng(0)
TARGET = Path("docs/performance/_account.md")


# --- the LSTM --------------------------------------------------------------------------------------------------------


def lstm_by_cells(x: np.ndarray, dy: np.ndarray) -> Callable[[], None]:
    """Return the textbook variant: one cell per layer, called once per step."""
    cells = [nn.LSTMCell(D if layer == 0 else H, H, rng=layer) for layer in range(LAYERS)]

    def run() -> None:
        y = x
        for cell in cells:
            state, outputs = None, []
            for t in range(T):
                state = cell(y[:, t], state)
                outputs.append(state[0])
            y = np.stack(outputs, axis=1)
        dx = dy
        for cell in reversed(cells):
            dstate, dxs = (np.zeros((N, H), np.float32), np.zeros((N, H), np.float32)), [None] * T
            for t in reversed(range(T)):
                dxs[t], dstate = cell.backward(dx[:, t] + dstate[0], dstate[1])
            dx = np.stack(dxs, axis=1)
        for cell in cells:
            cell.zero_grad()

    return run


def lstm_rows(x: np.ndarray, dy: np.ndarray) -> Callable[[], None]:
    """Return a batch-first variant: one product for the inputs of all steps, and a new array for every result."""
    module = nn.LSTM(D, H, LAYERS, rng=0)

    def run() -> None:
        X, kept = np.ascontiguousarray(x.transpose(1, 0, 2)), []  # (T, N, D)
        for layer in range(LAYERS):
            W_ih, W_hh, b_ih, b_hh = (p.data for p in module.layer_parameters(layer))
            Z = (X.reshape(T * N, -1) @ W_ih.T + (b_ih + b_hh)).reshape(T, N, 4 * H)
            h, c, steps = np.zeros((N, H), np.float32), np.zeros((N, H), np.float32), []
            for t in range(T):
                z = Z[t] + h @ W_hh.T
                i, f, o = sigmoid(z[:, :H]), sigmoid(z[:, H : 2 * H]), sigmoid(z[:, 3 * H :])
                g = np.tanh(z[:, 2 * H : 3 * H])
                c_old, h_old, c = c, h, f * c + i * g
                tanh_c = np.tanh(c)
                h = o * tanh_c
                steps.append((i, f, g, o, c_old, h_old, tanh_c))
            kept.append((X, steps))
            X = np.stack([o * tanh_c for _, _, _, o, _, _, tanh_c in steps])
        dY = np.ascontiguousarray(dy.transpose(1, 0, 2))
        for layer in reversed(range(LAYERS)):
            W_ih, W_hh, b_ih, b_hh = module.layer_parameters(layer)
            X, steps = kept[layer]
            dh, dc, dZ = np.zeros((N, H), np.float32), np.zeros((N, H), np.float32), [None] * T
            for t in reversed(range(T)):
                i, f, g, o, c_old, _, tanh_c = steps[t]
                dh = dh + dY[t]
                dc = dc + dh * o * (1 - tanh_c**2)
                dZ[t] = np.concatenate(
                    [dc * g * i * (1 - i), dc * c_old * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)],
                    axis=1,
                )
                dh, dc = dZ[t] @ W_hh.data, dc * f
            dZ = np.stack(dZ).reshape(T * N, 4 * H)
            W_ih.grad += dZ.T @ X.reshape(T * N, -1)
            W_hh.grad += dZ.T @ np.stack([step[5] for step in steps]).reshape(T * N, H)
            b_ih.grad += dZ.sum(axis=0)
            b_hh.grad += dZ.sum(axis=0)
            dY = (dZ @ W_ih.data).reshape(T, N, -1)
        module.zero_grad()

    return run


def lstm_fast(x: np.ndarray, dy: np.ndarray, reuse: bool) -> Callable[[], None]:
    """Return the variant of the package: features first, one tanh for all gates, results written into buffers."""
    module = nn.LSTM(D, H, LAYERS, rng=0)

    def run() -> None:
        if not reuse:
            module.workspace = Workspace()
        module(x)
        module.backward(dy)
        module.zero_grad()

    return run


# --- the last layer and the loss -------------------------------------------------------------------------------------


def output_whole(h: np.ndarray, target: np.ndarray) -> Callable[[], None]:
    """Return Linear, softmax and cross-entropy over whole arrays, with gradients added."""
    linear = nn.Linear(H, V, rng=0)
    rows, labels = h.reshape(-1, H), target.reshape(-1)

    def run() -> None:
        logits = rows @ linear.weight.data.T + linear.bias.data
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = e / e.sum(axis=1, keepdims=True)
        -np.log(p[np.arange(len(labels)), labels]).mean()
        dlogits = p.copy()
        dlogits[np.arange(len(labels)), labels] -= 1
        dlogits /= len(labels)
        linear.weight.grad += dlogits.T @ rows
        linear.bias.grad += dlogits.sum(axis=0)
        dlogits @ linear.weight.data
        linear.zero_grad()

    return run


def output_modules(h: np.ndarray, target: np.ndarray) -> Callable[[], None]:
    """Return the modules: softmax in blocks of rows that fit in the cache; the first gradient is written, not added."""
    linear, criterion = nn.Linear(H, V, rng=0), nn.CrossEntropyLoss()

    def run() -> None:
        criterion(linear(h), target)
        linear.backward(criterion.backward())
        linear.zero_grad()

    return run


def output_fused(h: np.ndarray, target: np.ndarray) -> Callable[[], None]:
    """Return linear_cross_entropy, which works in place in a reused buffer."""
    linear, workspace = nn.Linear(H, V, rng=0), Workspace()

    def run() -> None:
        linear_cross_entropy(linear, h, target, workspace=workspace, learn=True)
        linear.zero_grad()

    return run


# --- Adam ------------------------------------------------------------------------------------------------------------


def adam(way: str) -> Callable[[], None]:
    parameters = nn.models.LanguageModel(V, D, H, LAYERS, rng=0).parameters()
    for p in parameters:
        p.grad[...] = RNG.standard_normal(p.shape, dtype=np.float32)
    optimizer = nn.optim.Adam(parameters)

    def formula() -> None:
        optimizer.steps += 1
        for p, m, v in zip(parameters, optimizer.state["exp_avg"], optimizer.state["exp_avg_sq"], strict=True):
            m[...] = 0.9 * m + 0.1 * p.grad
            v[...] = 0.999 * v + 0.001 * p.grad**2
            m_hat, v_hat = m / (1 - 0.9**optimizer.steps), v / (1 - 0.999**optimizer.steps)
            p.data -= 1e-3 * m_hat / (np.sqrt(v_hat) + 1e-8)

    def threads() -> None:
        optimizer.steps += 1
        tasks = []
        for k, p in enumerate(parameters):
            state = (optimizer.state[name][k] for name in optimizer.moments)
            tasks += nn.optim.optimizer.chunks(p.data, p.grad, *state)
        nn.backend.parallel_for(optimizer.update, tasks)

    return {"formula": formula, "chunks": optimizer.step, "threads": threads}[way]


# --- the embedding's gradient ----------------------------------------------------------------------------------------


def embedding_gradient(way: str) -> Callable[[], None]:
    """Return zero_grad, the gradient of an embedding, and a step of plain gradient descent."""
    parameter = nn.Parameter(RNG.standard_normal((V, D), dtype=np.float32))
    optimizer = nn.optim.SGD([parameter], lr=1e-3)
    index, values = RNG.integers(0, V, N * T), RNG.standard_normal((N * T, D), dtype=np.float32)

    def add_at() -> None:
        parameter.zero_grad()
        np.add.at(parameter.grad, index, values)
        optimizer.step()

    def sorted_sums() -> None:
        parameter.zero_grad()
        nn.backend.scatter_add(parameter.grad, index, values)
        optimizer.step()

    def rows() -> None:
        parameter.zero_grad()
        parameter.add_rows(index, values)
        optimizer.step()

    return {"add.at": add_at, "sorted": sorted_sums, "rows": rows}[way]


# --- the whole step --------------------------------------------------------------------------------------------------


def whole_step(tokens: np.ndarray) -> Callable[[], None]:
    model = nn.models.LanguageModel(V, D, H, LAYERS, rng=0)
    optimizer = nn.optim.Adam(model.parameters())
    trainer = nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, max_norm=5.0)
    return lambda: trainer.train_step(tokens[:, :-1], tokens[:, 1:])


def torch_step(tokens: np.ndarray) -> Callable[[], None] | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(nn.backend.num_threads())
    embedding, linear = torch.nn.Embedding(V, D), torch.nn.Linear(H, V)
    lstm = torch.nn.LSTM(D, H, LAYERS, batch_first=True)
    parameters = [*embedding.parameters(), *lstm.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adam(parameters, fused=True)
    inputs, targets, kept = torch.tensor(tokens[:, :-1]), torch.tensor(tokens[:, 1:]), [None]

    def run() -> None:
        optimizer.zero_grad()
        h, state = lstm(embedding(inputs), kept[0])
        kept[0] = tuple(s.detach() for s in state)
        loss = torch.nn.functional.cross_entropy(linear(h).reshape(-1, V), targets.reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        loss.item()

    return run


def profile(tokens: np.ndarray, rounds: int) -> list[list[str]]:
    """Return one row for each part of a training step: milliseconds, and the speed of its products."""
    model = nn.models.LanguageModel(V, D, H, LAYERS, rng=0)
    optimizer, parameters = nn.optim.Adam(model.parameters()), model.parameters()
    x, y, workspace = tokens[:, :-1], tokens[:, 1:], Workspace()
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds + 2):
        model.zero_grad()
        times = [time.perf_counter()]
        e = model.embedding(x)
        times.append(time.perf_counter())
        h, _ = model.lstm(e)
        times.append(time.perf_counter())
        _, dh = linear_cross_entropy(model.linear, h, y, workspace=workspace, learn=True)
        times.append(time.perf_counter())
        de, _ = model.lstm.backward(dh)
        times.append(time.perf_counter())
        model.embedding.backward(de)
        times.append(time.perf_counter())
        nn.optim.clip_grad_norm_(parameters, 5.0)
        times.append(time.perf_counter())
        optimizer.step()
        times.append(time.perf_counter())
        names = ("embedding", "LSTM, forward", "output and loss, forward and backward", "LSTM, backward")
        for k, name in enumerate((*names, "embedding, backward", "clipping", "Adam")):
            seconds.setdefault(name, []).append(times[k + 1] - times[k])
    lstm = sum(p.size for p in model.lstm.parameters() if p.data.ndim == 2) * N * T / 1e9
    products = {"LSTM, forward": 2 * lstm, "LSTM, backward": 4 * lstm}
    products["output and loss, forward and backward"] = 6 * H * V * N * T / 1e9
    rows = []
    for name, values in seconds.items():
        median, gflop = float(np.median(values[2:])), products.get(name)
        speed = ["", ""] if gflop is None else [f"{gflop:.1f}", f"{gflop / median:.0f}"]
        rows.append([name, f"{median * 1e3:.1f}", *speed])
    return rows


def measure(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each variant. They take turns, so a disturbance affects all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(rounds + 2):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if k >= 2:  # the first two warm up
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) * 1e3 for name, values in seconds.items()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=11)
    rounds = arguments.parse_args().rounds
    x, dy = (RNG.standard_normal((N, T, width), dtype=np.float32) for width in (D, H))
    target, tokens = RNG.integers(0, V, (N, T)), RNG.integers(0, V, (N, T + 1))
    parts = {
        "LSTM, forward and backward": {
            "LSTMCell, step by step (the textbook)": lstm_by_cells(x, dy),
            "batch first, one product for the inputs of all steps": lstm_rows(x, dy),
            "features first, one tanh for all gates, `out=`": lstm_fast(x, dy, reuse=False),
            "reused buffers (`nn.LSTM`)": lstm_fast(x, dy, reuse=True),
        },
        "Output layer, softmax and cross-entropy, forward and backward": {
            "whole arrays, gradients added": output_whole(dy, target),
            "blocks of rows that fit in the cache (`nn.Linear`, `nn.CrossEntropyLoss`)": output_modules(dy, target),
            "fused, in place (`linear_cross_entropy`)": output_fused(dy, target),
        },
        "Adam, 11 million weights": {
            "the formula, whole arrays": adam("formula"),
            "chunks that fit in the cache (`nn.optim.Adam`)": adam("chunks"),
            f"chunks distributed over {nn.backend.num_threads()} threads": adam("threads"),
        },
        "Gradient of an embedding, and plain gradient descent": {
            "`numpy.add.at`, then all rows updated": embedding_gradient("add.at"),
            "tokens sorted, equal tokens summed, then all rows updated": embedding_gradient("sorted"),
            "only the rows of the batch (`Parameter.add_rows`)": embedding_gradient("rows"),
        },
    }
    steps = {"nnscratch": whole_step(tokens), "PyTorch": torch_step(tokens)}
    lines = [
        "<!-- Written by python -m benchmarks.account; do not edit. -->",
        "",
        f"Measured {time.strftime('%Y-%m-%d')} on {processor()}, {nn.backend.num_threads()} threads, "
        f"NumPy {np.__version__}; medians of {rounds} rounds in which the variants of a part took turns.",
        "",
        "| part | variant | milliseconds | relative to the first |",
        "|---|---|---:|---:|",
    ]
    for part, ways in parts.items():
        medians = measure(ways, rounds)
        first = next(iter(medians.values()))
        for k, (way, value) in enumerate(medians.items()):
            lines.append(f"| {part if k == 0 else ''} | {way} | {value:.1f} | {value / first:.2f} |")
    medians = measure({name: run for name, run in steps.items() if run is not None}, rounds)
    for k, (name, value) in enumerate(medians.items()):
        lines.append(f"| {'**A whole training step**' if k == 0 else ''} | {name} | {value:.1f} | |")
    if "PyTorch" in medians:
        import torch

        ratio = medians["nnscratch"] / medians["PyTorch"]
        lines += ["", f"The whole step takes **{ratio:.2f}** times as long as in PyTorch {torch.__version__}."]
    product = max(blas.measure(1.0).values())
    header = ["part of a step", "milliseconds", "GFLOP of products", "GFLOP/s"]
    lines += ["", report.table(header, profile(tokens, rounds))]
    lines += [
        "",
        f"A large product runs at {product:.0f} GFLOP/s here; NumPy's BLAS is {info.describe(blas.blas())}.",
    ]
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
