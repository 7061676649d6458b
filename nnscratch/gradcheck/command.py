"""``nnscratch gradcheck FILE.py:NAME``: check a student's layer from the shell.

The file runs in a separate process with a time limit, so that an endless loop or ``sys.exit`` cannot stop the command.
The exit code is 0 for right, 1 for wrong, and 2 if the code could not be checked.

NAME is a layer (an object), a class or function without arguments that makes one, or the forward of a pair of functions
in CS231n's form: ``affine_forward`` is checked together with ``affine_backward``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import json
import math
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

RIGHT, WRONG, NOT_CHECKED = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", metavar="FILE.py:NAME", help="a layer, or a function that makes one")
    parser.add_argument(
        "--input",
        action="append",
        metavar="4,5",
        default=[],
        help="shape of a random input; repeat it for several inputs (default: 4,5). ids:4,5:10 draws integers below 10",
    )
    parser.add_argument("--seconds", type=float, default=60, help="time limit (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the inputs (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run_gradcheck(arguments: argparse.Namespace) -> int:
    """Check in a child process with a time limit, and return the exit code."""
    if not 0 < arguments.seconds < math.inf:
        raise ValueError(f"seconds must be above 0, got {arguments.seconds}")
    command = [sys.executable, "-m", "nnscratch.gradcheck.command", arguments.subject, "--seed", str(arguments.seed)]
    command += [f"--input={shape}" for shape in arguments.input] + ["--json"] * arguments.json
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL  # stdin is empty: input() in the file raises EOFError
    process = subprocess.Popen(
        command, stdin=nothing, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=arguments.seconds)
    except subprocess.TimeoutExpired:
        return refuse(arguments, f"not finished after {arguments.seconds:g} seconds")
    finally:
        kill(process)
    if process.returncode not in (RIGHT, WRONG, NOT_CHECKED) or not out:
        error = err.strip().splitlines()[-1:] if process.returncode == NOT_CHECKED else []
        return refuse(arguments, error[0] if error else "its process ended without a report")
    print(out, end="")
    return process.returncode


def kill(process: subprocess.Popen) -> None:
    """Kill the process and its children. A running child would keep the output open, and this process waiting."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:  # they have ended already
        pass
    process.communicate()


def refuse(arguments: argparse.Namespace, why: str) -> int:
    """Print why the code could not be checked, and return the exit code."""
    if arguments.json:
        print(json.dumps({"verdict": "could not check", "reason": why}))
    else:
        print(f"nnscratch gradcheck: could not check {arguments.subject}: {why}", file=sys.stderr)
    return NOT_CHECKED


# --- in the child ----------------------------------------------------------------------------------------------------


def load_subject(subject: str) -> Any:
    """Import FILE.py, and return the object or the pair of functions that NAME stands for."""
    path, _, name = subject.rpartition(":")
    if not path or not name:
        raise ValueError(f"expected FILE.py:NAME, got {subject!r}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).resolve().parent))
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise ValueError(f"{path} has no {name}")
    found = getattr(module, name)
    backward = getattr(module, name.replace("forward", "backward"), None)
    if inspect.isfunction(found) and name != name.replace("forward", "backward") and callable(backward):
        return found, backward
    if inspect.isclass(found) or inspect.isfunction(found):
        parameters = inspect.signature(found).parameters.values()
        needed = [p.name for p in parameters if p.default is p.empty and "VAR" not in p.kind.name]
        if needed:
            raise ValueError(
                f"{name} takes {', '.join(needed)}. What can be checked: an object; a class or function without "
                f"arguments that makes one; a function x_forward in a file that also has x_backward"
            )
        return found()
    return found


def draw_input(shape: str, rng: np.random.Generator) -> np.ndarray:
    """Draw an input: ``4,5`` for normal floats of that shape, ``ids:4,5:10`` for integers below 10."""
    try:
        if shape.startswith("ids:"):
            _, sizes, below = shape.split(":")
            return rng.integers(0, int(below), [int(n) for n in sizes.split(",")])
        return rng.normal(size=[int(n) for n in shape.split(",")])
    except ValueError:
        raise ValueError(f"--input must look like 4,5 or ids:4,5:10, got {shape!r}") from None


def to_json(report: Any) -> str:
    """Return the report as JSON, its entries by name."""
    found = report.as_dict()
    return json.dumps(found | {"entries": {entry["name"]: entry for entry in found["entries"]}}, indent=1)


def child(argv: list[str] | None = None) -> int:
    """Check in this process, print the report, and return the exit code."""
    from . import check_gradients

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)
    inputs = [draw_input(shape, rng) for shape in arguments.input or ["4,5"]]
    with contextlib.redirect_stdout(sys.stderr):  # the student's code may print; stdout is for the report
        report = check_gradients(load_subject(arguments.subject), *inputs)
    print(to_json(report) if arguments.json else report)
    return {"right": RIGHT, "wrong": WRONG}.get(report.verdict, NOT_CHECKED)


if __name__ == "__main__":
    try:
        sys.exit(child())
    except Exception as error:  # an error in the student's code is the reason to print
        package = str(Path(__file__).parents[1])
        own = [
            f
            for f in traceback.extract_tb(error.__traceback__)
            if not f.filename.startswith((package, "<", sys.prefix))
        ]
        where = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
        print(f"{type(error).__name__}: {' '.join(str(error).split())}{where}", file=sys.stderr)
        sys.exit(NOT_CHECKED)
