"""The text of ``nnscratch info``: versions, the processor, the BLAS library and its speed, devices, and advice."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence

import numpy as np

from . import blas


def report(version: str, devices: Sequence[str], seconds: float = 0.3) -> str:
    """Return the text of ``nnscratch info``: versions, processor, BLAS, devices, speeds, and advice on the kernel."""
    cpu, library = blas.processor(), blas.blas()
    lines = [
        f"nnscratch   {version}",
        f"python      {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"processor   {cpu.name}, {cpu.cores} core{'s' * (cpu.cores != 1)} to use{instructions(cpu.flags)}",
        f"numpy       {np.__version__}",
        f"BLAS        {describe_blas(library)}",
        *(f"{'device' if k == 0 else '':<11} {device}" for k, device in enumerate(devices)),
        "",
        "float32 products, GFLOP/s" + "".join(f"{name:>28}" for name in blas.PRODUCTS),
    ]
    here, own, results = blas.measure(seconds), None, {}
    if library.kernel is None:
        lines.append(row("here", here))
        lines += ["", f"NumPy's BLAS is {library.library}. It does not report its kernel, and you cannot select one."]
        return "\n".join(lines)
    if blas.usable_kernels(cpu.flags):
        own, results = blas.compare_kernels(cpu.flags, seconds)
    if not results:
        lines.append(row(f"kernel {library.kernel}", here))
        return "\n".join(lines)
    for name, speeds in results.items():
        lines.append(row(f"kernel {name}{' (in use)' if name == library.kernel else ''}", speeds))
    lines += ["", kernel_advice(own, library.kernel, results, os.environ)]
    if is_busy(cpu.cores):
        lines.append(
            "Other programs are running, so these speeds are not reliable. Measure again when they have ended."
        )
    return "\n".join(lines)


def is_busy(cores: int) -> bool:
    """Return True if the load average of the last minute is above half of the cores."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5 * cores


def row(name: str, speeds: Mapping[str, float]) -> str:
    return f"  {name:<23}" + "".join(f"{speeds[product]:>28.0f}" for product in blas.PRODUCTS)


def describe_blas(library: blas.Blas) -> str:
    """Describe a BLAS library in one line."""
    kernel = None if library.kernel is None else f"kernel {library.kernel}"
    threads = None if library.threads is None else f"{library.threads} thread{'s' * (library.threads != 1)}"
    name = library.library + (f" {library.version}" if library.version else "")
    return ", ".join(part for part in (name, kernel, threads, library.path) if part)


def instructions(flags: frozenset[str]) -> str:
    if not flags:
        return ""
    names = {"AVX2": blas.AVX2, "AVX-512": blas.AVX512, "AMX": {"amx_tile"}}
    found = [name for name, needed in names.items() if needed <= flags]
    return f", {' '.join(found)}" if found else ""


def kernel_advice(
    own: str | None, in_use: str | None, results: Mapping[str, Mapping[str, float]], environment: Mapping[str, str]
) -> str:
    """Return one or two sentences of advice on the kernel."""
    better = blas.faster_kernel(own, results)
    if environment.get(blas.OURS):
        text = f"OpenBLAS picks {own} on this processor; the nnscratch command has selected {in_use}."
    elif blas.VARIABLE in environment:
        setting = f"{blas.VARIABLE}={environment[blas.VARIABLE]}"
        text = f"{setting} is set in your environment; without it, OpenBLAS picks {own}."
    elif better is None:
        return f"OpenBLAS picked {own}, and no other kernel for this processor is clearly faster."
    else:
        text = f"OpenBLAS picks {own}."
    if better is None:
        return text + " No kernel is clearly faster."
    return (
        f"{text} {better} is faster. For your own programs, set it before Python starts:\n"
        f"    export {blas.VARIABLE}={better}\n"
        f"or before the first import of NumPy: os.environ[{blas.VARIABLE!r}] = {better!r}"
    )
