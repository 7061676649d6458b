"""Measure how time per token and peak memory grow with each size of a language model.

    python -m benchmarks.growth         takes about five minutes; writes growth.md, growth.json and growth.png in
                                        docs/performance

The benchmark changes one size at a time and keeps the others. Each measurement runs in its own process and trains as
`nnscratch train` does. Memory is the peak of the process minus the memory of a process that only imports the package.
Four curves are fitted: linear, quadratic, inverse (a + b / x) and a power law. The page and the figure show the curve
with the smallest relative error.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnscratch.bench import report, runner
from nnscratch.bench.jobs import Job, lm
from nnscratch.plotting import style

from .libraries import ROOT

BASE = {"vocab": 2000, "embed": 128, "hidden": 128, "layers": 1, "batch": 16, "steps": 32}
WORDY = BASE | {"vocab": 100_000, "embed": 64, "hidden": 64}


@dataclass(frozen=True)
class Sweep:
    """One size that grows, and the values that it takes."""

    name: str
    label: str
    values: tuple[int, ...]
    base: dict[str, int]
    size: str

    def job(self, value: int) -> Job:
        sizes = self.base | {self.size: value}
        if self.size == "hidden":
            sizes["embed"] = value
        return Job(f"{self.name}={value}", "", "lm", lm(**sizes))

    def x(self, value: int) -> int:
        return value * self.base["batch"] if self.name == "tokens" else value


SWEEPS = (
    Sweep("steps", "sequence length", (8, 16, 32, 64, 128, 256), BASE, "steps"),
    Sweep("batch", "batch size", (1, 2, 4, 8, 16, 32, 64, 128), BASE, "batch"),
    Sweep("hidden", "hidden size (and embedding)", (32, 64, 128, 256, 512, 1024), BASE, "hidden"),
    Sweep("layers", "layers", (1, 2, 3, 4, 6, 8), BASE, "layers"),
    Sweep("vocab", "vocabulary", (100, 1000, 3000, 10_000, 30_000, 100_000), BASE, "vocab"),
    Sweep("tokens", "tokens in a batch, vocabulary 100,000", (8, 16, 32, 64, 128), WORDY, "steps"),
)


# --- fits ------------------------------------------------------------------------------------------------------------


FORMS = {  # y = a + b g(x); the power law is fitted to the logarithms
    "linear": ("x", lambda x: x),
    "quadratic": ("x^2", lambda x: x**2),
    "inverse": ("/ x", lambda x: 1 / x),
}


@dataclass(frozen=True)
class Fit:
    """y = a + b x, a + b x^2, a + b / x, or a x^b (kind "power"); `error` is the typical relative error."""

    kind: str
    a: float
    b: float
    error: float

    def __call__(self, x: Any) -> Any:
        x = np.asarray(x, dtype=float)
        return self.a * x**self.b if self.kind == "power" else self.a + self.b * FORMS[self.kind][1](x)

    def __str__(self) -> str:
        if self.kind == "power":
            return f"{self.a:.3g} x^{self.b:.2f}"
        return f"{self.a:.3g} {'-' if self.b < 0 else '+'} {abs(self.b):.2g} {FORMS[self.kind][0]}"


def fit(x: Sequence[float], y: Sequence[float]) -> Fit:
    """Return the best of four curves with two coefficients each, by least squares of the relative error.

    Examples
    --------
    >>> print(fit([1, 2, 4, 8], [3, 5, 9, 17]))
    1 + 2 x
    >>> print(fit([1, 2, 4, 8], [10, 8, 7, 6.5]))
    6 + 4 / x
    >>> print(fit([1, 2, 4, 8], [3, 6 * 2**0.5, 24, 48 * 2**0.5]))
    3 x^1.50
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    p, log_c = np.polyfit(np.log(x), np.log(y), 1)
    fits = [Fit("power", float(np.exp(log_c)), float(p), 0.0)]
    for kind, (_, g) in FORMS.items():
        a, b = np.linalg.lstsq(np.stack([1 / y, g(x) / y], axis=1), np.ones(len(y)), rcond=None)[0]
        fits.append(Fit(kind, float(a), float(b), 0.0))
    errors = [float(np.sqrt(np.mean((f(x) / y - 1) ** 2))) for f in fits]
    best = int(np.argmin(errors))
    return Fit(fits[best].kind, fits[best].a, fits[best].b, errors[best])


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(seconds: float, passes: int, environment: dict[str, str]) -> dict[str, Any]:
    """Measure every point of every sweep `passes` times, in alternating order."""
    (imported,) = runner.measure_imports([runner.OURS], 1, environment)
    if imported.memory is None:
        raise RuntimeError(
            f"the memory of a process cannot be measured here ({imported.why or 'no /proc, no getrusage'})"
        )
    points = [(sweep, value) for sweep in SWEEPS for value in sweep.values]
    times: dict[tuple[str, int], list[float]] = {}
    memory: dict[tuple[str, int], int] = {}
    for turn in range(passes):
        for k, (sweep, value) in enumerate(points if turn % 2 == 0 else reversed(points)):
            print(f"\rpass {turn + 1} of {passes}, {k + 1} of {len(points)}", end="", file=sys.stderr, flush=True)
            job = sweep.job(value)
            (result,) = runner.measure_job(job, [runner.OURS], 1, seconds, environment)
            if result.why is not None:
                raise RuntimeError(f"{job.key}: {result.why}")
            times.setdefault((sweep.name, value), []).append(result.median / job.tokens * 1e6)
            memory[sweep.name, value] = max(memory.get((sweep.name, value), 0), result.memory - imported.memory)
    print(f"\r{'':<60}\r", end="", file=sys.stderr)
    found = []
    for sweep in SWEEPS:
        x = [sweep.x(value) for value in sweep.values]
        time = [statistics.median(times[sweep.name, value]) for value in sweep.values]
        mib = [max(memory[sweep.name, value] / 2**20, 0.1) for value in sweep.values]
        fits = {"time_fit": vars(fit(x, time)), "memory_fit": vars(fit(x, mib))}
        entry = {"name": sweep.name, "label": sweep.label, "base": sweep.base, "x": x}
        found.append(entry | {"microseconds_a_token": time, "peak_mib": mib} | fits)
    machine = runner.describe_machine(None, environment)
    return {"schema": 1, "machine": machine, "import_bytes": imported.memory, "sweeps": found}


def all_logits(sweep: dict[str, Any]) -> list[float]:
    """Return the memory, in MiB, of all logits of a batch: 4 bytes for each token and word."""
    return [x * sweep["base"]["vocab"] * 4 / 2**20 for x in sweep["x"]]


# --- the page ---------------------------------------------------------------------------------------------------------


def draw(results: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 12.5), layout="constrained")
    axes = figure.subplots(4, 3)
    for k, sweep in enumerate(results["sweeps"]):
        rows = 2 * (k // 3)
        for ax, key, fitted, unit in (
            (axes[rows][k % 3], "microseconds_a_token", "time_fit", "µs a token"),
            (axes[rows + 1][k % 3], "peak_mib", "memory_fit", "MiB"),
        ):
            x, y, curve = np.array(sweep["x"]), sweep[key], Fit(**sweep[fitted])
            fine = np.geomspace(x[0], x[-1], 100)
            values = curve(fine)
            ax.plot(fine[values > 0], values[values > 0], color=style.ORANGE, label=f"{curve.kind}: {curve}")
            ax.plot(x, y, "o", color=style.BLUE, label="measured")
            if sweep["name"] == "tokens" and key == "peak_mib":
                ax.plot(x, all_logits(sweep), "--", color=style.GREY, label="all logits at once")
            ax.set(xscale="log", yscale="log", ylabel=unit)
            if max(y) < 3 * min(y):  # a logarithmic axis with a narrow range has no labels
                ax.set(ylim=(min(y) / 2, max(y) * 2))
            ax.set_xticks(x, [f"{v:,}" for v in x], fontsize=8, rotation=30 if x[-1] >= 1000 else 0)
            ax.minorticks_off()
            low, high = ax.get_ylim()
            ticks = [m * 10.0**e for e in range(-3, 7) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
            step = max(1, len(ticks) // 6)
            ax.set_yticks(ticks[::step], [f"{v:,g}" for v in ticks[::step]])
            ax.grid(alpha=0.3)
            ax.legend(fontsize=8)
            if key == "peak_mib":
                ax.set_xlabel(sweep["label"])
            else:
                ax.set_title(sweep["label"], fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def markdown(results: dict[str, Any]) -> str:
    lines = ["# How time and memory grow", report.machine(results["machine"])]
    base = ", ".join(f"{name} {value:,}" for name, value in BASE.items())
    lines.append(
        f"The models are trained with Adam and clipping. Only one size changes in each table; the others are {base}. "
        f"Memory is the peak of the process, minus the {results['import_bytes'] / 2**20:.0f} MiB that Python and the "
        "package take."
    )
    lines.append(
        "In the first table, x is the size in the first column, and the formulas are fitted to the measurements. The "
        "percentage in parentheses is the typical error of a formula."
    )
    lines.append(
        ":::{figure-md}\n"
        "![Plots of the time per token and of the peak memory over six sizes: sequence length, batch size, hidden "
        "size, layers, vocabulary, and tokens in a batch. Points are measured, and lines are the fitted formulas of "
        "the table.](growth.png)\n\n"
        "Time and memory over each of the six sizes: the measurements, and the formulas of the table.\n:::"
    )
    fits = []
    for sweep in results["sweeps"]:
        time, memory = Fit(**sweep["time_fit"]), Fit(**sweep["memory_fit"])
        fits.append([sweep["label"], *(f"{f.kind}: {f} (±{f.error:.0%})" for f in (time, memory))])
    lines.append(report.table(["x", "µs a token", "peak MiB"], fits))
    for sweep in results["sweeps"]:
        header = [sweep["label"], "µs a token", "peak MiB"]
        columns = [sweep["microseconds_a_token"], sweep["peak_mib"]]
        if sweep["name"] == "tokens":
            header.append("all logits at once, MiB")
            columns.append(all_logits(sweep))
        rows = [[f"{x:,}", *map(report.three_digits, ys)] for x, *ys in zip(sweep["x"], *columns, strict=True)]
        lines.append(report.table(header, rows))
    return "\n\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="time for each point and pass (default: %(default)s)"
    )
    parser.add_argument("--passes", type=int, default=2, help="how often each point is measured (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "performance", help="folder (default: %(default)s)")
    parser.add_argument("--blas-kernel", default="found", help="found, best or a kernel name (default: %(default)s)")
    arguments = parser.parse_args()
    _, kernel = runner.kernels_to_run(arguments.blas_kernel)[-1]
    results = measure(arguments.seconds, arguments.passes, runner.environment_for(kernel, None))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "growth.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "growth.md").write_text(markdown(results), encoding="utf-8")
    draw(results, arguments.out / "growth.png")
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
