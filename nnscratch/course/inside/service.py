"""The requests that the judge (judging.py) sends to a student's process. The judge compares the arrays in the replies.

open SOURCE                 run the file
call FUNCTION, INPUTS       call a function, and return its values
gradients FUNCTIONS, ...    run forward, and then backward with the cache that forward returned
printed                     return the first characters that the file has printed
missing FOLDER              return the forbidden actions that the sandbox does not prevent
"""

from __future__ import annotations

import linecache
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from ...exercises.calling import DRIVER, FirstCharacters, call, check_unchanged, copy_of, sendable
from ...exercises.drivers import DRIVERS
from ...gradcheck.command.refused import Refused
from .sandbox import missing


class FileService:
    """One student's file.

    Parameters
    ----------
    seed : int
        Before each call of a student's function, the global random generators are set to this seed.
    """

    def __init__(self, seed: int):
        self.seed = seed
        self.path = ""
        self._module = types.ModuleType("student")
        self._printed = FirstCharacters()

    def open(self, path: str, source: str) -> None:
        """Run the file, whose text is `source`. Error messages show the name `path`."""
        self.path = path
        sys.argv, sys.stdout = [path], self._printed
        linecache.cache[path] = len(source), None, source.splitlines(keepends=True), path  # for inspect.getsource
        self._module.__file__ = path
        sys.modules["student"] = self._module  # dataclasses look for the module in sys.modules
        self._restart_randomness()
        try:
            code = compile(source, path, "exec", dont_inherit=True)
        except SyntaxError as error:
            if error.lineno is None:  # for example, if the source has a null byte
                raise Refused(f"Python cannot read the file: {error.msg}") from None
            raise Refused(f"Python cannot read line {error.lineno}: {error.msg} (line {error.lineno})") from None
        exec(code, self._module.__dict__)

    def call(self, function: str, inputs: list, returns: list[str], withheld: list[str], overflow: str) -> tuple:
        """Call the student's function, and return its result."""
        self._restart_randomness()
        return call(self._load, function, inputs, returns, withheld, overflow)

    def gradients(self, functions: list[str], inputs: list, dys: list, outputs: int) -> dict[str, Any]:
        """Run forward, then backward with the cache that forward returned.

        Parameters
        ----------
        functions : list of str
            Forward and backward, or one function that returns the loss and the gradients.
        inputs : list
            The arguments of forward.
        dys : list of arrays
            The gradients of the outputs. If the list is empty, backward is not called.
        outputs : int
            The number of outputs that forward returns. The values after the outputs are the cache, or the gradients.

        Returns
        -------
        dict
            ``"outputs"``: list of arrays; ``"gradients"``: list of arrays, or None for a missing gradient;
            ``"calls"``: the number of calls of forward during backward.
        """
        self._restart_randomness()
        first = functions[0].removeprefix(DRIVER)
        forward, own = self._load(functions[0]), [copy_of(x) for x in inputs]
        with np.errstate(all="ignore"):
            given = forward(*own)
        if not isinstance(given, (tuple, list)) or len(given) <= outputs:
            raise Refused(f"{first} must return {outputs + 1} values: the outputs, then the cache or the gradient")
        check_unchanged(first, own, inputs)
        ys, rest = given[:outputs], given[outputs:]
        calls = 0
        if not dys:
            rest = ()
        elif len(functions) == 2:
            with np.errstate(all="ignore"), Counter(self._code_of(functions[0])) as counter:
                rest = self._load(functions[1])(*[copy_of(dy) for dy in dys], *rest)
            calls = counter.count
            check_unchanged(first, own, inputs)
        title = functions[-1].removeprefix(DRIVER)
        if rest is None:
            raise Refused(f"{title} returns None")
        rest = rest if isinstance(rest, (tuple, list)) else [rest]
        gradients = [None if g is None else sendable(title, f"gradient {i}", g) for i, g in enumerate(rest, start=1)]
        return {"outputs": [sendable(first, "out", y) for y in ys], "gradients": gradients, "calls": calls}

    def printed(self) -> str:
        """Return the first characters that the file has printed."""
        return self._printed.text

    def missing(self, folder: str) -> list[str]:
        """Return the forbidden actions that the sandbox does not prevent."""
        return missing(folder)

    def _load(self, name: str) -> Callable:
        """Return the object called `name` in the file. For ``"driver:NAME"``, call this driver (drivers.py)."""
        if name.startswith(DRIVER):
            return DRIVERS[name.removeprefix(DRIVER)](self._load)
        found = vars(self._module).get(name)
        if found is None:
            raise Refused(f"{self.path} has no {name}")
        return found

    def _code_of(self, name: str) -> Any:
        """Return the code object of the student's forward for `Counter`, or None if a driver calls forward."""
        return getattr(vars(self._module).get(name), "__code__", None)

    def _restart_randomness(self) -> None:
        random.seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002  students' functions draw from the global generator


class Counter:
    """Count the calls of a function: ``with Counter(code) as counter: ...``, then ``counter.count``."""

    def __init__(self, code: Any):
        self.count, self._code = 0, code

    def __enter__(self) -> Counter:
        if self._code is not None:
            sys.setprofile(self._event)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._code is not None:
            sys.setprofile(None)

    def _event(self, frame: types.FrameType, event: str, argument: Any) -> None:
        self.count += event == "call" and frame.f_code is self._code
