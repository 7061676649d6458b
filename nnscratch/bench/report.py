"""The results of a run as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ..serialization import write_atomically
from .jobs import JOBS

NOTHING = "–"
JOB_NAMES = (
    "Each row of a table is a job. The numbers of a language model are the sizes of the vocabulary, the embedding and "
    "the hidden state, and the number of layers: 10,000/256/512x2. "
    f"The sign {NOTHING} means that a library was not measured."
)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table. The first column is aligned to the left, the others to the right.

    Examples
    --------
    >>> print(table(["job", "ms"], [["a", "12.5"]]))
    | job |   ms |
    |-----|-----:|
    | a   | 12.5 |
    """
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    lines = ["|" + "".join(f" {cell(row[k], widths[k], k)} |" for k in range(len(header))) for row in [header, *rows]]
    rule = "|" + "".join("-" * (width + 1) + ("-" if k == 0 else ":") + "|" for k, width in enumerate(widths))
    return "\n".join([lines[0], rule, *lines[1:]])


def cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)


def three_digits(value: float) -> str:
    """Format a number with three significant digits. A number of 1000 or more keeps its whole integer part.

    Examples
    --------
    >>> three_digits(0.01234), three_digits(1.234), three_digits(123.4), three_digits(12345.6)
    ('0.0123', '1.23', '123', '12,346')
    """
    if value >= 100:
        return f"{value:,.0f}"
    digits = next((d for d, limit in ((1, 10), (2, 1), (3, 0.1), (4, 0.01)) if value >= limit), 6)
    return f"{value:.{digits}f}"


def ratio(job: dict[str, Any], ours: str, theirs: str) -> float | None:
    """Return the median time of `ours` divided by that of `theirs`, or None if one of the two is missing."""
    medians = [job["results"].get(key, {}).get("median_seconds") for key in (ours, theirs)]
    return None if None in medians else medians[0] / medians[1]


def markdown(results: dict[str, Any]) -> str:
    """Return the page with all results.

    For each BLAS kernel, it has the machine, times, ratios, memory, and the reasons for missing values.
    """
    parts = ["# Comparison with other libraries", JOB_NAMES, *(tables_of_run(results, run) for run in results["runs"])]
    seconds, repeats = results["seconds"], results["repeats"]
    parts.append(
        f"Each library ran in its own process. The processes took turns: {repeats} rounds, together about {seconds:g} "
        "s for each library and job. All libraries started from the same weights, and their first losses were equal. "
        "Times are medians over all steps. Memory is the peak of the process, with the interpreter and the libraries. "
    )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def tables_of_run(results: dict[str, Any], run: dict[str, Any]) -> str:
    """Return the tables of one run."""
    jobs = run["jobs"]
    measured = {key for job in jobs for key in job["results"]}
    titles = {key: title for key, title in results["libraries"].items() if key in measured}
    ours, *peers = titles
    time_rows, ratio_rows, memory_rows, reasons = [], [], [], {}
    for job in jobs:
        name, scale = f"({job['key']}) {job['title']}", 1000 / job["per"]
        times, memory = [], []
        for key in titles:
            result = job["results"].get(key, {"why": "not measured"})
            times.append(three_digits(result["median_seconds"] * scale) if result.get("median_seconds") else NOTHING)
            memory.append(f"{result['peak_bytes'] / 2**20:,.0f}" if result.get("peak_bytes") else NOTHING)
            if "why" in result:
                reasons.setdefault((key, result["why"]), []).append(job["key"])
        ratios = [ratio(job, ours, key) for key in peers]
        time_rows.append([name, *times, job["unit"]])
        memory_rows.append([name, *memory])
        ratio_rows.append([name, *(NOTHING if r is None else f"{r:.2f}" for r in ratios)])
    lines = [f"## {kernel_title(run)}", machine(run["machine"]), versions(results, run)]
    lines += ["### Time", table(["", *titles.values(), "unit"], time_rows)]
    if peers:
        over = [f"/ {titles[key]}" for key in peers]
        lines += [f"### Time of {titles[ours]} / time of the other library", table(["", *over], ratio_rows)]
    lines += ["### Peak memory, MiB", table(["", *titles.values()], memory_rows)]
    if reasons:
        lines.append(f"The reasons for {NOTHING}:")
        lines.append("\n".join(f"- {titles[key]}, {', '.join(keys)}: {why}" for (key, why), keys in reasons.items()))
    return "\n\n".join(lines)


def kernel_title(run: dict[str, Any]) -> str:
    """Return a heading for the BLAS kernel of a run. In the results, it is the text "as found" or "kernel NAME"."""
    title = run["kernel"].replace("as found", "default kernel")
    return title[0].upper() + title[1:]


def gpu_markdown(measured: Sequence[tuple[Any, Sequence[Any]]], titles: dict[str, str]) -> str:
    """Return the results of the GPU jobs, without a heading.

    They are times, and speeds divided by the speed of a matrix product.
    """
    ours, *peers = titles
    rows, notes, infos = [], [], {}
    for job, results in measured:
        by_key = {result.library: result for result in results}
        infos |= {key: result.info for key, result in by_key.items() if "version" in result.info}
        product = by_key[ours].info.get("product")
        row = [f"({job.key}) {job.title}"]
        for key in titles:
            seconds = by_key[key].median
            row.append(NOTHING if seconds is None else three_digits(1000 * seconds))
            row.append(NOTHING if seconds is None or not product else f"{job.flops / seconds / product:.0%}")
            if by_key[key].why is not None:
                notes.append(f"- {titles[key]}, {job.key}: {by_key[key].why}")
        for key in peers:
            both = by_key[ours].median, by_key[key].median
            row.append(NOTHING if None in both else f"{both[0] / both[1]:.2f}")
        rows.append(row)
    header = ["", *(part for title in titles.values() for part in (f"{title}, ms a step", "of a product"))]
    header += [f"ours / {titles[key]}" for key in peers]
    versions = ", ".join(f"{titles[key]} {info['version']}" for key, info in infos.items())
    gpu = infos.get(ours, {}).get("gpu", "no GPU was used")
    speed = infos.get(ours, {}).get("product")
    parts = [
        f"{gpu}; {versions}; {date.today()}.",
        table(header, rows),
        "float32, without TF32. Each library ran in its own process, in turns, from the same initial weights. In each "
        "turn it enqueued many steps without waiting for the GPU, as `Trainer.fit` does, and waited once at the end. "
        "The time of a step is the time of the turn divided by its steps, and the table shows the median of the turns. "
        "The speed of a step is the number of operations in its matrix products, divided by the time of the whole "
        "step. `of a product` compares this speed with the speed of one 4096 x 4096 product"
        + ("." if speed is None else f", which is {speed / 1e12:.1f} TFLOP/s here."),
    ]
    if notes:
        parts += [f"The reasons for {NOTHING}:", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def machine(found: dict[str, Any]) -> str:
    """Describe the machine in one sentence."""
    library = found["blas"]
    blas = f"{library.get('library', 'unknown')} {library.get('version') or ''}".strip()
    if library.get("kernel"):
        blas += f", kernel {library['kernel']}, {library['threads']} threads"
    busy = found["load_average"]
    load = "" if busy is None else f" Load average at the start: {busy[0]:.2f}."
    return (
        f"{found['processor']} ({found['instructions'] or 'instructions unknown'}), {found['threads']} threads on "
        f"{found['cores']} cores, {found['system']}, Python {found['python']}, NumPy {found['numpy']}; "
        f"NumPy's BLAS: {blas}.{load}"
    )


def versions(results: dict[str, Any], run: dict[str, Any]) -> str:
    """Return the version and the number of threads that every library reported."""
    found = []
    for key, title in results["libraries"].items():
        infos = [job["results"][key] for job in run["jobs"] if "version" in job["results"].get(key, {})]
        if infos:
            threads = f" ({infos[0]['threads']} threads)" if "threads" in infos[0] else ""
            found.append(f"{title} {infos[0]['version']}{threads}")
    return "Versions: " + ", ".join(found) + "." if found else ""


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the results `old` with the jobs of `new` added. A job of `new` replaces the same job of `old`.

    Raises
    ------
    ValueError
        `old` and `new` were measured with different numbers of rounds or seconds.
    """
    for name in ("schema", "repeats", "seconds"):
        if old[name] != new[name]:
            raise ValueError(f"{name} differ: {old[name]} and {new[name]}; such results cannot be in one table")
    runs = {run["kernel"]: run for run in old["runs"]}
    for run in new["runs"]:
        known = runs.get(run["kernel"], run | {"jobs": []})
        jobs = {job["key"]: job for job in [*known["jobs"], *run["jobs"]]}
        runs[run["kernel"]] = known | {"jobs": [jobs[key] for key in JOBS if key in jobs]}
    return old | {"libraries": old["libraries"] | new["libraries"], "runs": list(runs.values())}


def write(results: dict[str, Any], folder: Path, name: str = "results", add: bool = False) -> list[Path]:
    """Write NAME.md and NAME.json into `folder`. If `add` is True, keep the other jobs of NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.md", folder / f"{name}.json"]
    if add and paths[1].exists():
        results = merge(json.loads(paths[1].read_text(encoding="utf-8")), results)
    write_atomically(paths[0], markdown(results).encode())
    write_atomically(paths[1], (json.dumps(results, indent=1) + "\n").encode())
    return paths
