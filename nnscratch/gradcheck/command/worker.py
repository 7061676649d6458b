"""The worker: the process that runs the student's file and answers the judge's requests. The judge decides the verdict.

    describe NAME          the arguments of a function, or of a class and its forward
    check NAME, ...        build the code, find inputs that forward accepts, run check_gradients, and return its report
    outputs ARRAYS         the outputs of forward at these values
    gradients ARRAYS, DYS  the gradients from backward at these values
                           with plain=True, `outputs` and `gradients` run the code without small constants

From the arrays in the replies to `outputs` and `gradients`, the judge computes the verdict itself.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import importlib.util
import inspect
import os
import random
import sys
import traceback
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ... import backend
from ..adapters import copy_array, make_adapter
from ..adapters.contexts import takes_context
from ..checker import check_gradients
from ..gradient_names import gradient_of
from ..learned_names import is_learned_name, name_of
from ..nested import is_array, is_float, is_writeable, leaves, map_leaves
from ..pairing import complete_adapter
from ..precision import project_in_float64
from ..projection import Projection
from ..report import GradientReport
from ..small_constants import ConstantsLeftOut
from ..snapshot import Snapshot
from ..tape import traced
from ..tape.traced_array import as_plain
from ..widening import float64_code
from . import wire
from .discover import derivative_names
from .refused import Refused
from .signatures import arguments, forward_of, makes_an_object, needs_no_instance, taken_by_backprop

ATTEMPTS = 4  # if a gradient is zero, as with dead ReLU units, repeat the check with new weights: at most 4 checks
ROOT = str(Path(__file__).resolve().parents[3])


def main() -> None:
    """Answer requests until the judge closes the pipe."""
    path = sys.argv[1]
    sys.argv = [path]
    service = Service(path)
    answer_requests(lambda operation, values: getattr(service, operation)(**values), describe_error)


def answer_requests(answer: Callable[[str, dict], Any], describe: Callable[[BaseException], str]) -> None:
    """Answer requests until the judge closes the pipe.

    Parameters
    ----------
    answer : callable
        ``answer(operation, values)`` returns the value to send.
    describe : callable
        Returns the text to send for an error.
    """
    requests, replies = private_pipes()
    while (message := read_message(requests)) is not None:
        number, operation = message.pop("number"), message.pop("operation")
        try:
            data = wire.frame({"number": number, "value": answer(operation, message)})
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            data = wire.frame({"number": number, "error": describe(error)})
        replies.write(data)
        replies.flush()


def private_pipes() -> tuple[Any, Any]:
    """Return the pipes from and to the judge, and connect the standard streams to the null device.

    So the student's code cannot read the judge's requests, and the judge does not get the text that the code prints.
    If the code reads from the standard input, Python raises EOFError.
    """
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    return requests, replies


def read_message(pipe: Any) -> Any:
    """Return the next message, or None at the end of the pipe."""
    lengths = pipe.read(wire.LENGTHS.size)
    if len(lengths) < wire.LENGTHS.size:
        return None
    header, body = wire.LENGTHS.unpack(lengths)
    return wire.unpack(pipe.read(header), pipe.read(body))


def describe_error(error: BaseException) -> str:
    """Return an error as one line of text, with the line number of the student's code that caused the error."""
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code}): its process ended without a report"
    own = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if not f.filename.startswith((f"{ROOT}{os.sep}nnscratch", "<", sys.prefix, sys.base_prefix))
    ]
    where = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


class Service:
    """A method for each request that the judge can send."""

    def __init__(self, path: str, module: Any = None):
        self.path = path
        self._module = module  # if None, the first request imports the file
        self._blocks = ExitStack()  # the `with` blocks in which `outputs` and `gradients` run

    def load(self, name: str) -> Any:
        """Return the object `name` of the file. The first call imports the file."""
        if self._module is None:
            self._module = import_file(Path(self.path).resolve())
        if not hasattr(self._module, name):
            raise Refused(f"{self.path} has no {name}")
        return getattr(self._module, name)

    def describe(self, names: list[str]) -> dict[str, Any]:
        """Return the kind of the code to check, and its arguments.

        `names` contains one name or several names: a class, a function, or forward, backward and perhaps the cost.
        """
        parts = [self.load(name) for name in names]
        found, made = parts[0], parts[0]
        if needs_no_instance(found):
            taken = arguments(found.forward)[takes_context(found.forward) :]
            return {"kind": "function", "init": [], "forward": taken, "doc": inspect.getdoc(found.forward) or ""}
        if inspect.isclass(found):
            kind = "class"
        elif len(parts) > 1 or inspect.isroutine(found) and not makes_an_object(found):
            labels = arguments(parts[2])[1:2] if len(parts) == 3 else []  # the second argument of the cost
            taken = arguments(found) + labels
            return {"kind": "function", "init": [], "forward": taken, "doc": inspect.getdoc(found) or ""}
        else:
            kind = "object"
            made = found() if inspect.isroutine(found) else found
        method = forward_of(made)
        text = "\n".join(inspect.getdoc(part) or "" for part in (made, method) if part is not None)
        return {
            "kind": kind,
            "init": arguments(found) if kind == "class" else [],
            "forward": taken_by_backprop(made) or (arguments(method)[kind == "class" :] if method is not None else []),
            "doc": text,
        }

    def check(self, names: list[str], candidates: list[dict], seed: int, options: dict[str, Any]) -> dict[str, Any]:
        """Check the code. Return the index of the candidate that was used, and the parts of the report.

        Each of `candidates` contains values for all arguments. The check uses the first candidate that forward accepts.
        """
        build, inputs, number = self._first_that_runs(names, candidates, seed)
        best = None
        for attempt in range(ATTEMPTS):
            report = check_gradients(build(attempt), *map_leaves(copy_array, inputs), rng=seed, **options)
            dead = sum(trap.kind == "zero gradient" for trap in report.traps)
            if best is None or dead < best[0]:
                best = dead, report, lambda attempt=attempt: build(attempt)
            if not dead or isinstance(build(0), (tuple, type)) or report.verdict == "wrong":
                break
        self._checked = best[2], inputs, seed, options
        by_name_only = len(names) == 2 and names[1] in derivative_names(names[0])  # perhaps they do not belong together
        if by_name_only and any(trap.kind == "wrong shape" for trap in best[1].traps):
            raise Refused(f"{names[1]} does not return one derivative for each element of the input")
        return {"candidate": number, "report": report_parts(best[1])}

    def _first_that_runs(self, names: list[str], candidates: list[dict], seed: int) -> tuple[Callable, tuple, int]:
        """Find the first candidate whose values forward accepts.

        Return three values: a function that builds the code, the inputs, and the index of the candidate.
        """
        parts = [self.load(name) for name in names]
        first_error, not_finite = None, None
        for number, candidate in enumerate(candidates):
            inputs = tuple(candidate["inputs"])

            def build(attempt: int = 0, candidate: dict = candidate, inputs: tuple = inputs) -> Any:
                subject = build_subject(parts, candidate, seed + attempt)
                vary_parameters(subject, inputs, seed + attempt)
                return subject

            try:
                ys = call_forward(build(), map_leaves(copy_array, inputs))
            except Exception as error:
                first_error = first_error or (number, error)
                continue
            floats = [np.asarray(y) for _, y in leaves("", ys) if is_float(y)]
            if floats and all(y.size and np.isfinite(y).all() for y in floats):
                return build, inputs, number
            not_finite = not_finite or (build, inputs, number)
        if not_finite is not None:
            return not_finite
        assert first_error is not None
        raise first_error[1]

    def variables(self) -> dict[str, Any]:
        """Build the code again, for `outputs` and `gradients`. Return the arrays whose gradients are checked."""
        build, inputs, seed, options = self._checked
        self._blocks.close()
        self.adapter, _, start = complete_adapter(build(), map_leaves(copy_array, inputs), **options)
        self.adapter.prepare()
        rng = backend.generator(seed)
        with np.errstate(all="ignore"):
            self.projection, _ = project_in_float64(self.adapter, start, rng, GradientReport(""))
            wide = self._blocks.enter_context(float64_code(self.projection, self.projection.analytic()))
        if wide is not None:
            self.projection = wide.projection
        return {name: backend.to_numpy(a) for name, a in self.projection.variables.items()}

    def outputs(self, arrays: dict[str, Any], plain: bool = False) -> tuple:
        """Run forward at the values in `arrays`. If `plain` is True, run it without small constants such as 1e-7."""
        self._set(arrays)
        with np.errstate(all="ignore"), self._code(plain) as projection:
            ys = map_leaves(copied_plain, projection.forward())
        self.adapter.clear_saved()
        return ys

    def gradients(self, arrays: dict[str, Any], dys: tuple, plain: bool = False) -> dict[str, Any]:
        """Run forward and backward at the values in `arrays`. `plain` is as in `outputs`."""
        self._set(arrays)
        with np.errstate(all="ignore"), self._code(plain) as projection:
            projection.forward()
            given = self.adapter.gradients(dys)
            found = {name: map_leaves(copied_plain, copy.deepcopy(given.get(name))) for name in arrays}
        self.adapter.clear_saved()
        self.projection.back_to_start()
        return found

    def _code(self, plain: bool) -> AbstractContextManager[Projection]:
        return traced(self.projection, ConstantsLeftOut(), backward=True) if plain else nullcontext(self.projection)

    def _set(self, arrays: dict[str, Any]) -> None:
        for name, array in arrays.items():
            self.projection.variables[name][...] = array


def copied_plain(value: Any) -> Any:
    """Return a copy of an array, as an ordinary NumPy array. Return any other value unchanged."""
    return copy_array(as_plain(value))


def import_file(path: Path) -> Any:
    """Import the student's file. If its folder is a package, import the file as a module of this package.

    A folder is a package if it contains ``__init__.py``, or if the file contains a relative import. If the package
    cannot be imported because of another file, import the file alone. The folders above the file, up to the current
    folder, are the last entries of ``sys.path``.
    """
    # Do not write a compiled file. If the student changed the source within a second, and the length of the source
    # stayed the same, Python would use the old compiled file.
    sys.dont_write_bytecode = True
    root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    sys.path[:0] = [str(path.parent)] if root == path.parent else [str(root), str(path.parent)]
    sys.path += [str(folder) for folder in path.parents if folder.is_relative_to(Path.cwd())]
    level = levels_of_imports(path) if root == path.parent and path.suffix == ".py" else 0
    if 0 < level < len(path.parents):
        folder = path.parents[level - 1]
        return importlib.import_module(".".join([package_for(folder), *path.relative_to(folder).with_suffix("").parts]))
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    package = name.partition(".")[0]
    if package != name and package not in sys.modules or str(root) == ROOT:
        try:
            return importlib.import_module(name)
        except Exception as error:
            if any(Path(frame.filename) == path for frame in traceback.extract_tb(error.__traceback__)):
                raise  # the error is in this file, or in a file that it imports
    key = path.stem if path.stem not in sys.modules else f"student_{path.stem}"
    spec = importlib.util.spec_from_file_location(key, path)
    if spec is None or spec.loader is None:
        raise Refused(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # dataclasses look for the module in sys.modules
    spec.loader.exec_module(module)
    return module


def levels_of_imports(path: Path) -> int:
    """Return the largest number of dots in the relative imports of a file: 1 for ``from .layers import ReLU``."""
    tree = ast.parse(path.read_bytes())
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


def package_for(folder: Path) -> str:
    """Make a package of the modules in a folder without ``__init__.py``, and return its name."""
    name = folder.name.replace(".", "_")
    package = types.ModuleType(name if name not in sys.modules else f"student_{name}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    return package.__name__


def build_subject(parts: list[Any], candidate: dict, seed: int) -> Any:
    """Return the code to check: a pair of functions, a function, or an object made with the candidate's arguments."""
    if len(parts) > 1:
        forward, backward, *cost = parts
        return forward, *cost, backward
    found = parts[0]
    if needs_no_instance(found):
        return found
    if not inspect.isclass(found) and not (inspect.isroutine(found) and (candidate["init"] or makes_an_object(found))):
        return found
    np.random.seed(seed)  # noqa: NPY002  students' constructors draw from the global generators
    random.seed(seed)
    # Make new lists and arrays for each call, because a constructor may change its arguments.
    init, named = map_leaves(copy_array, (candidate["init"], candidate["init_named"]))
    return found(*init, **named)


def vary_parameters(subject: Any, inputs: tuple, seed: int) -> None:
    """Draw new values for weights whose elements are all equal or all tiny, because such weights hide mistakes."""
    if isinstance(subject, (tuple, type)) or inspect.isroutine(subject):
        return
    rng = np.random.default_rng(seed)
    found = [*named_parameters(subject), *complete_adapter(subject, inputs)[0].parameters().values()]
    for array in {id(a): a for a in found}.values():
        if not (isinstance(array, np.ndarray) and is_float(array) and array.size > 1 and is_writeable(array)):
            continue
        if float(np.abs(array).max()) < 0.1:
            array[...] = rng.normal(0, array.size**-0.25, array.shape)
        elif np.ptp(array) == 0:
            array *= rng.uniform(0.5, 1.5, array.shape).astype(array.dtype)


def named_parameters(subject: Any) -> list[Any]:
    """Return the arrays of an object that have the name of a weight, and not the name of a gradient.

    A search by name is needed if weights are zero. For example, if W2 is zero in ``W2 @ relu(W1 @ x)``, a change of W1
    does not change the outputs, so the outputs do not show that W1 is a weight.
    """
    places = [(steps, name_of(steps), held) for steps, held in Snapshot(subject).places if is_array(held)]
    names = {name for _, name, _ in places}
    return [
        held
        for steps, name, held in places
        if is_learned_name(name)
        and not names.intersection(gradient_of(name))
        and not any("grad" in str(key).lower() for _, key in steps)
    ]


def call_forward(subject: Any, inputs: tuple) -> Any:
    """Run the forward of code that `build_subject` returned. If forward does not accept float64, use float32 inputs."""
    with np.errstate(all="ignore"):
        try:
            return make_adapter(subject, inputs).run()
        except TypeError:
            narrow = map_leaves(lambda v: v.astype(np.float32) if is_array(v) and is_float(v) else v, inputs)
            return make_adapter(subject, narrow).run()


def report_parts(report: GradientReport) -> dict[str, Any]:
    """Return the fields of a report, of its entries and of its traps, in a form that wire.py can send."""
    parts = {f.name: getattr(report, f.name) for f in dataclasses.fields(report)}
    parts["entries"] = [plain_fields(entry) for entry in report.entries.values()]
    parts["traps"] = [plain_fields(trap) for trap in report.traps]
    return parts


def plain_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, without arrays that cannot be sent."""
    fields = {}
    for field in dataclasses.fields(value):
        held = getattr(value, field.name)
        if field.name == "diagnoses":
            held = [plain_fields(d) for d in held]
        elif is_array(held):
            held = backend.to_numpy(held)
            held = held if held.dtype.str in wire.DTYPES else None
        fields[field.name] = held
    return fields
