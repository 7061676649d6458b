"""Change one function, run backward, and protect the rest of the program from the changed function.

A changed function may run forever, write into any array, or raise any error. These rules protect the program:

    code       only the code object of the function is replaced. It contains the compiled instructions of the function.
               The old code object is put back after every run
    threads    other threads run the old code
    time       a run is stopped if it executes 10 times as many lines as the unchanged code
    state      the user's objects and the variables of the user's functions are restored after every run
    output     warnings, and texts that this thread prints, are not shown
    effects    a backward that uses files, clocks, processes or threads is not changed
"""

from __future__ import annotations

import ast
import gc
import linecache
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np

from ..projection import Projection
from ..snapshot import Snapshot
from .edits import attributes_of

PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
NUMPY, PYTHON = (os.path.dirname(os.path.abspath(module.__file__)) + os.sep for module in (np, os))
LIBRARIES = (NUMPY, PYTHON, "<frozen", "<__array_function__", "<string>")
INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
COMPUTING = {  # modules whose C functions only compute; C functions of other modules may write files, wait and so on
    *("builtins", "numpy", "scipy", "math", "cmath", "random", "array", "copy", "types", "typing", "_warnings"),
    *("itertools", "functools", "operator", "collections", "contextvars", "abc"),
    *("_functools", "_operator", "_collections", "_contextvars", "_abc", "_random", "_typing"),
}
ACTING = {"breakpoint", "input", "open", "tofile", "dump"}  # functions of these modules that do not only compute
MORE_LINES = 10
MAX_OWNERS = 50  # if many functions have the same code object, change at most this number of them


@dataclass
class Function:
    """A function of the user's code that backward calls.

    Attributes
    ----------
    function : function
    definition : ast.FunctionDef
        A copy of the syntax tree of the function. This copy may be changed.
    variables : dict
        The local variables of the function when it returns, and the attributes that it reads, such as ``self.x``.
    """

    function: FunctionType
    definition: ast.FunctionDef
    variables: dict[str, Any]

    def __post_init__(self) -> None:
        self._unchanged = [without_declarations(node) for node in deepcopy(self.definition.body)]

    def compiled(self) -> CodeType | None:
        """Compile the changed `definition`, and return its code object.

        The code object runs the changed statements only in this thread, and the unchanged statements in other threads.
        Return None if Python cannot compile the definition, or if the code object cannot replace that of `function`.
        """
        own, body = self.function.__code__, self.definition.body
        around = ast.parse(f"def outer({', '.join(own.co_freevars)}):\n class {class_of(own)}: pass")
        here = ast.parse(f"__import__('threading').get_ident() == {threading.get_ident()}", mode="eval").body
        around.body[0].body[0].body = [self.definition]  # type: ignore[attr-defined]
        # The new code object must read all variables of outer functions that the old code object reads. Name them all.
        names = ast.parse(f"if 0: ({''.join(f'{name}, ' for name in own.co_freevars)})").body
        choice = ast.copy_location(ast.If(here, body, self._unchanged), self.definition)
        self.definition.body = [choice, *names]
        future = own.co_flags & annotations.compiler_flag  # set by ``from __future__ import annotations``
        try:
            made = compile(around, own.co_filename, "exec", flags=future, dont_inherit=True)
        except (SyntaxError, ValueError, TypeError, RecursionError):
            return None
        finally:
            self.definition.body = body
        # The code object of `outer` contains the code object of the class. The code object of the class contains the
        # code object of the function. Find both by their names, because there may be other code objects beside them,
        # such as the code object of a lambda.
        for name in ("outer", class_of(own), own.co_name):
            inside = [c for c in made.co_consts if isinstance(c, CodeType) and c.co_name == name]
            if not inside:
                return None
            made = inside[0]
        return made if made.co_freevars == own.co_freevars else None


class Runs:
    """Run forward and backward with another code object for one function.

    Parameters
    ----------
    projection : Projection
    functions : list of Function
        The functions that may be changed.
    """

    def __init__(self, projection: Projection, functions: list[Function]):
        self.projection = projection
        self._held = Snapshot(*(f.variables for f in functions))
        variables = list(projection.variables.values())
        shared = [a for a in self._held.arrays() if any(np.may_share_memory(a, v) for v in variables)]
        self._keep = {id(a) for a in shared}  # the projection already restores these arrays
        self._lines: float = np.inf
        if functions:
            unchanged = functions[0].function
            self.gradients(unchanged, unchanged.__code__)
            self._lines = MORE_LINES * self._count + 1000

    def gradients(self, function: FunctionType, code: CodeType | None) -> dict[str, np.ndarray]:
        """Run backward with the code object `code` for `function`, and return the gradients.

        Return {} if `code` is None, if the run raises an error, or if the run executes too many lines.
        """
        found = self._run(function, code, self.projection.analytic) or {}
        return {n: g for n, g in found.items() if g is not None and g.dtype.kind == "f" and np.isfinite(g).all()}

    def keeps_outputs(self, function: FunctionType, code: CodeType | None) -> bool:
        """Return True if the outputs of forward do not change when `code` replaces the code object of `function`.

        This test is for a function that computes a loss and its gradient: the change must not affect the loss.
        """
        old, new = (self._run(function, c, self.projection.flat_outputs) for c in (function.__code__, code))
        return old is not None and new is not None and np.array_equal(old, new, equal_nan=True)

    def _run(self, function: FunctionType, code: CodeType | None, measure: Callable[[], Any]) -> Any:
        """Return the result of ``measure()`` while `function` runs `code`.

        Return None if `code` is None, or if the run raises an error or executes too many lines.
        """
        if code is None:
            return None
        held, tracer = function.__code__, sys.gettrace()
        self._count = 0
        try:
            function.__code__ = code
            sys.settrace(self._trace)
            with self.projection.unchanged():
                return measure()
        except (Exception, SystemExit, TooManyLines):  # the changed code may raise any error
            return None
        finally:
            function.__code__ = held
            sys.settrace(tracer)
            self._held.restore(self._keep)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        """Count the lines of the user's code, and stop a run that is too long."""
        if not is_users_file(frame.f_code.co_filename):
            return None
        self._count += 1
        if self._count > self._lines:
            raise TooManyLines
        return self._trace


class TooManyLines(BaseException):
    """A run of the changed code executes too many lines.

    This is a BaseException, so that an ``except Exception`` in the user's code does not catch it.
    """


class Muted:
    """A stream for ``sys.stdout`` that drops the text of this thread. The text of other threads goes to `stream`."""

    def __init__(self, stream: Any):
        self.stream, self.thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        if self.stream is None or threading.get_ident() == self.thread:
            return len(text)
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings, and the text that this thread prints."""
    out, err = Muted(sys.stdout), Muted(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings(), np.errstate(all="ignore"):  # type: ignore[type-var]
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            # Another thread may still use these streams, so show all texts from now on.
            out.thread = err.thread = 0


class Recorder:
    """A function for ``sys.setprofile`` that records which of the user's functions run.

    It also detects calls with an effect outside the program, such as a call that writes a file.

    Attributes
    ----------
    ran : dict of code to dict
        For each of the user's functions that ran, its local variables when it returned.
    acts : bool
        True if the code called a function that may write files, wait, or start a thread or a process.
    """

    def __init__(self) -> None:
        self.ran: dict[CodeType, dict[str, Any]] = {}
        self.acts = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "return" and is_users_file(frame.f_code.co_filename):
            self.ran[frame.f_code] = dict(frame.f_locals)
        elif event == "c_call" and not self.acts and not only_computes(argument):
            caller: FrameType | None = frame
            while caller is not None and caller.f_code.co_filename.startswith(LIBRARIES):
                caller = caller.f_back
            self.acts = caller is not None and not caller.f_code.co_filename.startswith(PACKAGE)


def functions_of_backward(projection: Projection) -> list[Function]:
    """Run backward. Return the functions of the user's code that ran, except those that must not be changed."""
    if sys.getprofile() is not None or debugger_is_active():
        return []
    dys = projection.dys()
    with projection.unchanged():
        projection.forward()
        recorder = recorded(lambda: projection.adapter.gradients(dys))
        if not recorder.ran:  # backward ran no function, because forward returns the loss and its gradients
            recorder = recorded(projection.forward)
            recorder.ran = dict(reversed(recorder.ran.items()))  # put the caller before the functions that it calls
        found = []
        for code, variables in recorder.ran.items() if not recorder.acts else ():
            definition = definition_of(code)
            if definition is None:
                continue
            # Some code creates a new backward function in each call. All these functions have the same code object.
            owners = [f for f in gc.get_referrers(code) if type(f) is FunctionType and f.__code__ is code]
            named = {**attributes_of(definition, variables), **variables}
            found += [Function(owner, definition, named) for owner in owners[:MAX_OWNERS]]
    return found


def recorded(run: Callable[[], Any]) -> Recorder:
    """Call `run`, and return a record of the user's functions that it runs."""
    recorder, collects = Recorder(), gc.isenabled()
    gc.disable()  # garbage collection may call the ``__del__`` of any object, which `recorder` must not record
    sys.setprofile(recorder)
    try:
        run()
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()
    return recorder


def is_used(runs: Runs, f: Function) -> bool:
    """Return True if a change of the function object `f.function` has an effect on backward.

    It has no effect if each call of backward creates a new function object with the same code, and runs the new object.
    """
    body = f.definition.body
    f.definition.body = [ast.parse("raise RuntimeError").body[0], *body]
    code = f.compiled()
    f.definition.body = body
    return code is not None and not runs.gradients(f.function, code)


def definition_of(code: CodeType) -> ast.FunctionDef | None:
    """Return the syntax tree of the function with the code object `code`, or None if it must not be changed.

    Three kinds of functions must not be changed. The first are special methods, except ``__call__``. The second are
    decorated functions, because a decorator may keep results. But static methods and class methods are allowed. The
    third are functions whose source file has changed after Python compiled it.
    """
    if code.co_name.startswith("__") and code.co_name.endswith("__") and code.co_name != "__call__":
        return None
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
        module = compile(tree, code.co_filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return None
    if not any(same_code(other, code) for other in codes_in(module)):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            decorators = [ast.unparse(d) for d in node.decorator_list]
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first != code.co_firstlineno or not {"staticmethod", "classmethod"}.issuperset(decorators):
                continue
            node.decorator_list, node.returns = [], None
            return node
    return None


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and all code objects inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


def same_code(a: CodeType, b: CodeType) -> bool:
    """Return True if two code objects were compiled from the same source at the same line."""
    names = ("co_name", "co_firstlineno", "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars")
    if any(getattr(a, name) != getattr(b, name) for name in names) or len(a.co_consts) != len(b.co_consts):
        return False
    return all(
        same_code(x, y) if isinstance(x, CodeType) and isinstance(y, CodeType) else repr(x) == repr(y)
        for x, y in zip(a.co_consts, b.co_consts, strict=True)
    )


def class_of(code: CodeType) -> str:
    """Return the name of the class that contains a function, or "_" if there is no class.

    `Function.compiled` puts the function into a class of this name, because Python changes names that begin with two
    underscores: in a class C, ``__x`` becomes ``_C__x``. In a class called ``_``, the name stays ``__x``.
    """
    parts = code.co_qualname.split(".")
    while len(parts) > 1:
        if parts[-2] != "<locals>":
            return parts[-2]
        del parts[-2:]
    return "_"


def without_declarations(node: ast.stmt) -> ast.stmt:
    """Return ``pass`` for a ``global`` or ``nonlocal`` statement, and any other statement unchanged.

    The compiled function contains its statements twice. Python does not allow the second declaration, because the first
    copy of the statements has already used the variable.
    """
    return ast.copy_location(ast.Pass(), node) if isinstance(node, (ast.Global, ast.Nonlocal)) else node


def is_users_file(name: str) -> bool:
    """Return True if the file `name` is the user's own code.

    Return False for files of this package, of Python and of installed libraries.
    """
    return not name.startswith((PACKAGE, *LIBRARIES)) and not any(folder in name for folder in INSTALLED)


def only_computes(function: Any) -> bool:
    """Return True if a C function only computes, and has no effect outside the program."""
    module = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
    return module.partition(".")[0] in COMPUTING and function.__name__ not in ACTING


def debugger_is_active() -> bool:
    """Return True if a debugger uses `sys.monitoring`. Such a debugger would stop in changed functions."""
    monitoring = getattr(sys, "monitoring", None)  # new in Python 3.12
    return monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None
