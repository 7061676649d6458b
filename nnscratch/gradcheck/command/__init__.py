"""``nnscratch gradcheck FILE.py``: check the layers in a student's file from the shell.

The parts, in the order in which they are used:

    discover.py                    read the file and list the code that can be checked
    drawing.py                     draw the inputs, with the help of docstring_shapes.py and course_names.py
    judge.py                       decide the verdict, in a process that never imports the file
    process.py, orphans.py         start and kill the worker, the process that runs the file
    channel.py                     send requests to the worker, with a time limit
    wire.py                        messages to and from the worker: JSON and raw bytes
    worker.py                      run the file, and return arrays; signatures.py describes its functions
    table.py                       print a line for each layer

The exit code is 0 if everything is right, 1 if something is wrong, and 2 if something could not be checked.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .discover import Item, discover, find
from .drawing import Given, draw_written
from .judge import Result, judge
from .process import Worker
from .table import as_json, as_table, report_dict

RIGHT, WRONG, NOT_CHECKED = 0, 1, 2
WORKER = "nnscratch.gradcheck.command.worker"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to `parser`."""
    add = parser.add_argument
    add(
        "subject",
        metavar="FILE.py[:NAME]",
        help="FILE.py for all layers; FILE.py:NAME for a layer, or for a function that returns a layer; "
        "FILE.py:forward,backward for two functions",
    )
    add(
        "--input",
        action="append",
        metavar="4,5",
        default=[],
        help="shape of a random input; repeat the option for several inputs. ids:4,5:10 draws integers below 10",
    )
    add("--shape", action="append", metavar="x=4,5", default=[], help="shape of every argument with the name x")
    add("--arg", action="append", metavar="NAME=VALUE", default=[], help="value of an argument, such as 'p={\"s\": 1}'")
    add("--init", metavar="3,2", help="the arguments of the constructor")
    add(
        "--convention",
        action="append",
        metavar="[NAME=]mean",
        default=[],
        help="'mean' if backward divides the gradients of weights by the number of examples; NAME=mean for one layer",
    )
    add("--seconds", type=float, default=60, help="time limit for each layer (default: %(default)s)")
    add("--seed", type=int, default=0, help="random seed of the inputs (default: %(default)s)")
    add("--json", action="store_true", help="print the report as JSON")


def run_gradcheck(arguments: argparse.Namespace) -> int:
    """Check a file or one of its layers, print the result, and return the exit code."""
    if not 0 < arguments.seconds < math.inf:
        raise ValueError(f"seconds must be a finite number above 0, got {arguments.seconds}")
    try:
        path, name = split_subject(arguments.subject)
        given = given_values(arguments)
        source = read_source(path)
        items = [named_item(source, name)] if name else discover(source)
        if not items:
            raise ValueError(
                f"{path} has nothing to check: no X_forward with X_backward, no X with X_prime, no class with forward "
                f"and backward, no X_loss that returns (loss, gradient). Name the code: {path}:NAME, or "
                f"{path}:forward,backward for two functions"
            )
    except (ValueError, OSError, SyntaxError) as error:
        return refuse(arguments, f"{type(error).__name__}: {error}")
    results = check_items(path, items, given, arguments)
    return report_one(arguments, results[0]) if name else report_all(arguments, path, results)


def check_items(path: str, items: list[Item], given: Given, arguments: argparse.Namespace) -> list[Result]:
    """Check each of `items` in a worker process, and return the results.

    If the process fails, start a new process for the next item.
    """
    results: list[Result] = []
    worker = None
    try:
        for item in items:
            worker = worker or Worker(WORKER, path)
            worker.set_limit(arguments.seconds)
            results.append(judge(worker, item, given, arguments.seed))
            if worker.failed:
                worker.kill()
                worker = None
    finally:
        if worker is not None:
            worker.kill()
    return results


def split_subject(subject: str) -> tuple[str, str]:
    """Split FILE.py:NAME into the path of the file and the name. The name is "" for a whole file.

    Raises
    ------
    ValueError, FileNotFoundError
        `subject` is not FILE.py or FILE.py:NAME, or there is no such file.
    """
    path, _, name = subject.rpartition(":")
    if not path or os.sep in name or name.endswith(".py"):
        path, name = subject, ""
    if not path.endswith(".py") and not Path(path).is_file():
        raise ValueError(f"expected FILE.py or FILE.py:NAME, got {subject!r}")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return path, name


def read_source(path: str) -> str:
    """Return the source of a Python file."""
    try:
        source = Path(path).read_text(encoding="utf-8", errors="replace")
        ast.parse(source)
    except (RecursionError, MemoryError) as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}") from None
    return source


def named_item(source: str, name: str) -> Item:
    """Return the `Item` with this name: code that `discover` finds, or any other object of the file."""
    if "," in name:
        return Item(name, [part.strip() for part in name.split(",")])
    found = find(source, name)
    return found if found is not None and not found.reason else Item(name, [name])


def given_values(arguments: argparse.Namespace) -> Given:
    """Return the values of ``--input``, ``--shape``, ``--arg``, ``--convention`` and ``--init``."""
    rng = np.random.default_rng(arguments.seed)
    given = Given([draw_written(shape, rng) for shape in arguments.input])
    for text in arguments.shape:
        name, equals, shape = text.partition("=")
        draw_written(shape, rng, f"--shape {name}=")
        if not equals:
            raise ValueError(f"--shape must look like x=4,5, got {text!r}")
        given.shapes[name.strip()] = shape
    for text in arguments.arg:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--arg must look like NAME=VALUE, got {text!r}")
        given.values[name.strip()] = parse_value(value)
    for text in arguments.convention:
        name, _, convention = text.rpartition("=")
        if convention not in ("sum", "mean"):
            raise ValueError(f"--convention must look like mean or NAME=mean, got {text!r}")
        given.conventions[name] = convention
    if arguments.init is not None:
        given.init, given.init_named = parse_init(arguments.init)
    return given


def parse_value(text: str) -> Any:
    """Return the value of a text that is JSON or a Python literal. Return any other text unchanged."""
    for parse in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return parse(text)
    return text


def parse_init(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments of a text such as ``3, 2, bias=False``.

    Examples
    --------
    >>> parse_init("3, (2, 2), bias=False")
    ([3, (2, 2)], {'bias': False})
    """
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and all(k.arg for k in call.keywords)):
            raise ValueError
        positional = [ast.literal_eval(a) for a in call.args]
        return positional, {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, RecursionError):
        raise ValueError(f"--init must look like 3,2 or 3,bias=False, got {text!r}") from None


def report_one(arguments: argparse.Namespace, result: Result) -> int:
    """Print the report of one item, and return the exit code."""
    if result.report is None:
        return refuse(arguments, result.why)
    print(json.dumps(report_dict(result.report), indent=1) if arguments.json else result.report)
    return {"right": RIGHT, "wrong": WRONG}.get(result.verdict, NOT_CHECKED)


def report_all(arguments: argparse.Namespace, path: str, results: list[Result]) -> int:
    """Print the table of a whole file, and return the exit code."""
    verdicts = [result.verdict for result in results]
    worst = next((v for v in ("wrong", "incomplete", "cannot tell", "could not check") if v in verdicts), "right")
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(as_json(path, worst, results) if arguments.json else as_table(path, results, colour))
    return {"right": RIGHT, "wrong": WRONG}.get(worst, NOT_CHECKED)


def refuse(arguments: argparse.Namespace, why: str) -> int:
    """Print why the code could not be checked, and return the exit code."""
    if arguments.json:
        print(json.dumps({"verdict": "could not check", "reason": why}))
    else:
        print(f"nnscratch gradcheck: could not check {arguments.subject}: {why}", file=sys.stderr)
    return NOT_CHECKED
