"""Measure the gradient checker: false alarms, agreement with PyTorch, time on a large model, error against step size.

python -m benchmarks.checker                     everything; writes docs/gradcheck/measured.md and step-size.png
python -m benchmarks.checker --only false-alarms --cases 200
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings

import nnscratch as nn
from nnscratch.gradcheck import check_gradients

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "shared"))

PARTS = ("false-alarms", "agreement", "language-model", "curve")


def draw(strategy: Any, count: int, number: int, use: Callable[[Any], None]) -> None:
    """Draw `count` examples and call `use` with each; the same seed `number` draws the same examples."""

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: Any) -> None:
        use(example)

    run()


# --- false alarms ----------------------------------------------------------------------------------------------------


def false_alarms(count: int, number: int = 0, mode: str = "full") -> tuple[int, dict[str, list[str]]]:
    """Check correct code; return the number of checks and the reports that say "wrong" or "cannot tell".

    Examples
    --------
    >>> false_alarms(41)[1]
    {'wrong': [], 'cannot tell': []}
    """
    from drawn import CASES

    checked = 0
    alarms: dict[str, list[str]] = {"wrong": [], "cannot tell": []}

    def use(case: tuple) -> None:
        nonlocal checked
        module, *inputs = case
        checked += 1
        report = check_gradients(module, *inputs, rng=checked, mode=mode)
        if not report.ok:
            kind = "cannot tell" if report.verdict == "cannot tell" else "wrong"
            alarms[kind].append(f"{module!r}\n{inputs}\n{report}")

    for k, strategy in enumerate(CASES.values()):
        share = count // len(CASES) + (k < count % len(CASES))
        if share:
            draw(strategy, share, number, use)
    return checked, alarms


# --- agreement with PyTorch's gradcheck ------------------------------------------------------------------------------

MISTAKES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda g: g,
    "sign flipped": lambda g: -g,
    "10 % too large": lambda g: 1.1 * g,
    "doubled": lambda g: 2 * g,
    "never computed": lambda g: 0 * g,
    "reversed along the last axis": lambda g: g[..., ::-1].copy(),
    "one element wrong": lambda g: g * np.where(np.arange(g.size).reshape(g.shape) == g.size // 2, 1.5, 1.0),
}


def as_pair(module: nn.Module, inputs: list, mistake: str, place: int) -> tuple[Callable, Callable, list[np.ndarray]]:
    """Return `module` as functions forward(*arrays) and backward(dy, arrays), with `mistake` in one gradient."""
    module.to(dtype=np.float64)
    params = module.parameters()
    floats = [k for k, a in enumerate(inputs) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if hasattr(nn.losses, type(module).__name__):
        floats = floats[:1]  # for a loss, only the prediction
    arrays = [p.data.copy() for p in params] + [inputs[k] for k in floats]

    def forward(*given: np.ndarray) -> tuple[Any, tuple]:
        for p, value in zip(params, given, strict=False):
            p.data[...] = value
        xs = list(inputs)
        for k, value in zip(floats, given[len(params) :], strict=True):
            xs[k] = value
        module.zero_grad()
        y = module(*xs)
        return np.asarray(y[0] if isinstance(y, tuple) else y), given

    def backward(dy: np.ndarray, given: tuple) -> tuple:
        forward(*given)
        loss = hasattr(nn.losses, type(module).__name__)
        dx = dy * module.backward() if loss else module.backward(np.ascontiguousarray(dy))
        dxs = dx if isinstance(dx, tuple) else (dx,)
        gradients = [p.grad.copy() for p in params] + [dxs[k] for k in floats]
        gradients[place % len(gradients)] = MISTAKES[mistake](gradients[place % len(gradients)])
        return tuple(gradients)

    return forward, backward, arrays


def torch_says(forward: Callable, backward: Callable, arrays: list[np.ndarray]) -> bool:
    """True if torch.autograd.gradcheck finds nothing wrong."""
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *given: Any) -> Any:
            ctx.save_for_backward(*given)
            return torch.tensor(forward(*[t.detach().numpy() for t in given])[0])

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            gradients = backward(dy.numpy(), tuple(t.detach().numpy() for t in ctx.saved_tensors))
            return tuple(torch.tensor(np.array(g, order="C")) for g in gradients)

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    return torch.autograd.gradcheck(Function.apply, tensors, eps=1e-6, atol=1e-6, rtol=1e-4, raise_exception=False)


def agreement(count: int, number: int = 0) -> tuple[dict[tuple[bool, bool], int], list[str]]:
    """Count {(ours says right, PyTorch says right): cases} over smooth cases, right and wrong; list disagreements."""
    from drawn import CASES
    from hypothesis import strategies as st

    kinked = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.MaxPool2d, nn.RNNCell, nn.Sequential, nn.Residual)
    others = (nn.HuberLoss, nn.MultiMarginLoss, nn.Dropout, nn.VariationalDropout, nn.LSTMCell)
    others += (nn.CrossAttention, nn.TransformerDecoderBlock, nn.LoRA)  # two inputs; weights that get no gradient
    kinds = [cls for cls in CASES if cls not in kinked + others]
    table = {(a, b): 0 for a in (True, False) for b in (True, False)}
    unlike: list[str] = []
    turn = 0

    def use(example: tuple) -> None:
        nonlocal turn
        (module, *inputs), place = example
        if getattr(module, "dropout", 0.0):
            module.dropout = 0.0
        turn += 1
        mistake = "none" if turn % 2 else list(MISTAKES)[1 + (turn // 2) % (len(MISTAKES) - 1)]
        inputs = inputs[:1] if not hasattr(nn.losses, type(module).__name__) else inputs
        forward, backward, arrays = as_pair(module, inputs, mistake, place)
        ours = check_gradients((forward, backward), *arrays, diagnose=False)
        theirs = torch_says(forward, backward, arrays)
        table[ours.ok, theirs] += 1
        if ours.ok != theirs:
            unlike.append(f"{mistake} in gradient {place % len(arrays)} of {module!r}: PyTorch says {theirs}\n{ours}")

    for k, cls in enumerate(kinds):
        share = count // len(kinds) + (k < count % len(kinds))
        if share:
            draw(st.tuples(CASES[cls], st.integers(0, 9)), share, number, use)
    return table, unlike


# --- a large model ---------------------------------------------------------------------------------------------------


def language_model() -> tuple[Any, int]:
    """Return the report on a language model in directional mode, and its number of parameters (11 million)."""
    model = nn.models.LanguageModel(10_000, 256, 512, 2, rng=0)
    rng = np.random.default_rng(0)
    tokens, targets = rng.integers(0, 10_000, (2, 20, 35))
    report = check_gradients(model, tokens, loss=nn.CrossEntropyLoss(), targets=targets, mode="directional")
    return report, sum(p.size for p in model.parameters())


# --- the step --------------------------------------------------------------------------------------------------------


def curve() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each method the steps and the largest error of d/dx sum(R tanh(x)) over 64 points."""
    rng = np.random.default_rng(0)
    x, R = rng.normal(size=64), rng.uniform(0.5, 1.5, 64) * rng.choice([-1, 1], 64)
    true = R / np.cosh(x) ** 2

    def largest(estimate: np.ndarray) -> float:
        return float(np.abs(estimate.astype(np.float64) - true).max() / np.abs(true).max())

    def along(h: float, dtype: Any) -> np.ndarray:
        """Return f(x + h e_i) for every i, where f sums all outputs, as a checker does."""
        points = np.tile(x.astype(dtype), (64, 1)) + dtype(h) * np.eye(64, dtype=dtype)
        return (R.astype(dtype) * np.tanh(points)).sum(axis=1, dtype=dtype)

    def forward_difference(h: float) -> np.ndarray:
        return (along(h, np.float64) - along(0, np.float64)) / h

    def central(h: float, dtype: Any = np.float64) -> np.ndarray:
        return (along(h, dtype) - along(-h, dtype)) / dtype(2 * h)

    def complex_step(h: float) -> np.ndarray:
        return (R * np.tanh(x + 1j * h * np.eye(64))).sum(axis=1).imag / h

    steps = np.logspace(-14, 0, 57)
    methods = {
        "(f(x+h) - f(x)) / h": forward_difference,
        "D(h) = (f(x+h) - f(x-h)) / 2h": central,
        "the same in float32": lambda h: central(h, np.float32),
        "Richardson: (4 D(h) - D(2h)) / 3": lambda h: (4 * central(h) - central(2 * h)) / 3,
        "complex step: Im f(x+ih) / h": complex_step,
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: (steps, np.array([largest(method(h)) for h in steps])) for name, method in methods.items()}


def draw_curve(found: dict[str, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    from nnscratch.plotting import style

    ax = style.new_axes(8.0, 4.8)
    for k, (name, (steps, errors)) in enumerate(found.items()):
        seen = (errors > 0) & (errors < 10)
        ax.loglog(
            steps[seen],
            errors[seen],
            style.LINES[k % len(style.LINES)],
            marker=style.MARKERS[k],
            markersize=3.5,
            color=(style.BLUE, style.ORANGE, style.GREY, style.GREEN, "#000000")[k],
            label=name,
        )
    ax.set(xlabel="step h", ylabel="largest error, relative to the largest derivative", ylim=(1e-17, 10))
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    style.save_figure(ax, path)


# --- the page --------------------------------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checker", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="run only this part; write no page")
    parser.add_argument("--cases", type=int, default=2000, help="cases of false-alarms (default: %(default)s)")
    parser.add_argument("--agree", type=int, default=200, help="cases for agreement (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the cases (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gradcheck", help="folder (default: %(default)s)")
    arguments = parser.parse_args(argv)
    parts, page, failed = arguments.only or PARTS, [], 0

    def say(line: str) -> None:
        print(line, flush=True)
        page.append(line)

    if "false-alarms" in parts:
        for mode in ("full", "directional"):
            started = time.perf_counter()
            checked, alarms = false_alarms(arguments.cases, arguments.seed, mode)
            wrong, unknown = alarms["wrong"], alarms["cannot tell"]
            failed += len(wrong) + (len(unknown) if mode == "full" else 0)
            for alarm in wrong + unknown:
                print(alarm)
            say(
                f'- **False alarms**, {mode} mode: {len(wrong)} times "wrong" and {len(unknown)} times "cannot '
                f'tell" in {checked:,} cases of correct code. Hypothesis draws the cases from every layer and loss, '
                f"and some are at kinks. The run took {time.perf_counter() - started:.0f} s."
            )
    if "agreement" in parts:
        table, unlike = agreement(arguments.agree, arguments.seed)
        failed += len(unlike)
        for case in unlike:
            print(case)
        say(
            f"- **Agreement with `torch.autograd.gradcheck`** (eps 1e-6, atol 1e-6, rtol 1e-4) in "
            f"{sum(table.values()) - len(unlike)} of {sum(table.values())} smooth cases: both checkers say right in "
            f"{table[True, True]} cases and wrong in {table[False, False]} cases, and they disagree in {len(unlike)}."
        )
    if "language-model" in parts:
        report, size = language_model()
        failed += not report.ok
        say(
            f"- **A large model**: directional mode on `LanguageModel(10_000, 256, 512, 2)` with `CrossEntropyLoss`, "
            f"{size:,} parameters, batch 20 of 35 steps, float64: {report.seconds:.0f} s, {report.evaluations} forward "
            f"passes, at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB; the verdict is "
            f"{report.verdict}, the largest error {report.max_error:.0e}."
        )
    if "curve" in parts:
        found = curve()
        draw_curve(found, arguments.out / "step-size.png")
        say("\n| method | best step | error there |\n|---|---|---|")
        for name, (steps, errors) in found.items():
            best = int(np.nanargmin(errors))
            say(f"| {name} | {steps[best]:.0e} | {errors[best]:.0e} |")
    if arguments.only is None:
        threads = os.environ.get("OMP_NUM_THREADS", "as many as there are cores")
        head = (
            "# Measured results\n\n"
            "`python -m benchmarks.checker` writes this page. Run it to get the figures of your machine.\n\n"
            f"{os.cpu_count()} cores, BLAS threads: {threads}; Python {platform.python_version()}, "
            f"NumPy {np.__version__}.\n\n"
        )
        arguments.out.mkdir(parents=True, exist_ok=True)
        page.append("\n[How it works](how-it-works.md) shows the errors against the step in a picture.\n")
        (arguments.out / "measured.md").write_text(head + "\n".join(page), encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
