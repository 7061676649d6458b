"""What a run found, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from .jobs import JOBS

NOTHING = "–"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned: the first to the left, numbers to the right.

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


def number(value: float) -> str:
    """Three digits, as many as such a measurement has.

    Examples
    --------
    >>> number(0.01234), number(1.234), number(123.4), number(12345.6)
    ('0.0123', '1.23', '123', '12,346')
    """
    if value >= 100:
        return f"{value:,.0f}"
    digits = next((d for d, limit in ((1, 10), (2, 1), (3, 0.1), (4, 0.01)) if value >= limit), 6)
    return f"{value:.{digits}f}"


def ratio(job: dict[str, Any], ours: str, theirs: str) -> float | None:
    """Our median over theirs; None where one of the two has none."""
    medians = [job["results"].get(key, {}).get("median_seconds") for key in (ours, theirs)]
    return None if None in medians else medians[0] / medians[1]


def markdown(results: dict[str, Any]) -> str:
    """The whole page: for each kernel the machine, times, ratios and memory; then why some places are empty."""
    parts = ["# Beside other libraries", *(summary(results, run) for run in results["runs"])]
    seconds, repeats = results["seconds"], results["repeats"]
    parts.append(
        f"Each library ran in a process of its own, all in turns, {repeats} rounds of together about {seconds:g} s for "
        "each library and job, from the same first weights; before anything was timed their first losses were compared "
        "and found equal. Times are medians over all steps; memory is the most that the process held, interpreter and "
        "libraries included. "
    )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def summary(results: dict[str, Any], run: dict[str, Any]) -> str:
    """One run's tables."""
    jobs = run["jobs"]
    there = {key for job in jobs for key in job["results"]}
    titles = {key: title for key, title in results["libraries"].items() if key in there}
    ours, *peers = titles
    time_rows, ratio_rows, memory_rows, reasons = [], [], [], {}
    for job in jobs:
        name, scale = f"({job['key']}) {job['title']}", 1000 / job["per"]
        times, memory = [], []
        for key in titles:
            result = job["results"].get(key, {"why": "not measured this time"})
            times.append(number(result["median_seconds"] * scale) if result.get("median_seconds") else NOTHING)
            memory.append(f"{result['peak_bytes'] / 2**20:,.0f}" if result.get("peak_bytes") else NOTHING)
            if "why" in result:
                reasons.setdefault((key, result["why"]), []).append(job["key"])
        ratios = [ratio(job, ours, key) for key in peers]
        time_rows.append([name, *times, job["unit"]])
        memory_rows.append([name, *memory])
        ratio_rows.append([name, *(NOTHING if r is None else f"{r:.2f}" for r in ratios)])
    lines = [f"## {run['kernel'][0].upper()}{run['kernel'][1:]}", machine(run["machine"]), versions(results, run)]
    lines += ["### Time", table(["", *titles.values(), "unit"], time_rows)]
    if peers:
        over = [f"/ {titles[key]}" for key in peers]
        lines += [f"### {titles[ours]} over each: below 1 is faster", table(["", *over], ratio_rows)]
    lines += ["### Peak memory, MiB", table(["", *titles.values()], memory_rows)]
    if reasons:
        lines.append(f"{NOTHING} where there is no number:")
        lines.append("\n".join(f"- {titles[key]}, {', '.join(keys)}: {why}" for (key, why), keys in reasons.items()))
    return "\n\n".join(lines)


def gpu_markdown(measured: Sequence[tuple[Any, Sequence[Any]]], titles: dict[str, str]) -> str:
    """The page of a run on a GPU: times, and the share of a plain product's speed that the products of a step reach."""
    ours, *peers = titles
    rows, notes, said = [], [], {}
    for job, results in measured:
        by_key = {result.library: result for result in results}
        said |= {key: result.info for key, result in by_key.items() if "version" in result.info}
        product = by_key[ours].info.get("product")
        row = [f"({job.key}) {job.title}"]
        for key in titles:
            seconds = by_key[key].median
            row.append(NOTHING if seconds is None else number(1000 * seconds))
            row.append(NOTHING if seconds is None or not product else f"{job.flops / seconds / product:.0%}")
            if by_key[key].why is not None:
                notes.append(f"- {titles[key]}, {job.key}: {by_key[key].why}")
        for key in peers:
            both = by_key[ours].median, by_key[key].median
            row.append(NOTHING if None in both else f"{both[0] / both[1]:.2f}")
        rows.append(row)
    header = ["", *(part for title in titles.values() for part in (f"{title}, ms a step", "of a product"))]
    header += [f"ours / {titles[key]}" for key in peers]
    versions = ", ".join(f"{titles[key]} {info['version']}" for key, info in said.items())
    gpu = said.get(ours, {}).get("gpu", "no GPU was used")
    speed = said.get(ours, {}).get("product")
    parts = [
        "# On a GPU",
        f"{gpu}; {versions}; {date.today()}.",
        table(header, rows),
        "float32, without TF32. Times are medians over all steps, each library in a process of its own, in turns, from "
        "the same first weights. `of a product` is the speed of a step's matrix products, the time of all else counted "
        "in, over that of one 4096 x 4096 product" + ("." if speed is None else f", {speed / 1e12:.1f} TFLOP/s here."),
    ]
    if notes:
        parts += [f"{NOTHING} where there is no number:", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def machine(found: dict[str, Any]) -> str:
    """The machine in one sentence."""
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
    """Every library's version and threads, as it said itself."""
    said = []
    for key, title in results["libraries"].items():
        infos = [job["results"][key] for job in run["jobs"] if "version" in job["results"].get(key, {})]
        if infos:
            threads = f" ({infos[0]['threads']} threads)" if "threads" in infos[0] else ""
            said.append(f"{title} {infos[0]['version']}{threads}")
    return "Versions: " + ", ".join(said) + "." if said else ""


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`old` with the jobs of `new` in it, in the place of those it has already; kernel by kernel.

    Raises
    ------
    ValueError
        The two were measured in another number of rounds or seconds.
    """
    for name in ("schema", "repeats", "seconds"):
        if old[name] != new[name]:
            raise ValueError(f"{name} differ: {old[name]} and {new[name]}; results like these make no one table")
    runs = {run["kernel"]: run for run in old["runs"]}
    for run in new["runs"]:
        known = runs.get(run["kernel"], run | {"jobs": []})
        jobs = {job["key"]: job for job in [*known["jobs"], *run["jobs"]]}
        runs[run["kernel"]] = known | {"jobs": [jobs[key] for key in JOBS if key in jobs]}
    return old | {"libraries": old["libraries"] | new["libraries"], "runs": list(runs.values())}


def write(results: dict[str, Any], folder: Path, name: str = "results", add: bool = False) -> list[Path]:
    """NAME.md and NAME.json in `folder`; with `add`, beside what NAME.json holds already."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.md", folder / f"{name}.json"]
    if add and paths[1].exists():
        results = merge(json.loads(paths[1].read_text(encoding="utf-8")), results)
    paths[0].write_text(markdown(results), encoding="utf-8")
    paths[1].write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return paths
