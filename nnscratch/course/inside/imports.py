"""The imports that a student's file may use: the standard library, NumPy, and from nnscratch only Module and Parameter.

The error message of this file tells the student which import is not allowed. The sandbox, and not this file, protects
the files with the solutions: inside the sandbox, a student's code cannot read them.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...gradcheck.command.refused import Refused

REFUSED = "Solve this exercise with Python and NumPy only"


class Parameter:
    """An array with its gradient."""

    def __init__(self, data: Any):
        self.data = np.asarray(data)
        self.grad = np.zeros_like(self.data)


class Module:
    """The base class of a layer: calling it runs forward."""

    def __call__(self, *inputs: Any) -> Any:
        return self.forward(*inputs)

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")


class OnlyAllowed:
    """Refuse all imports that are not allowed. The first finder in ``sys.meta_path`` has this class."""

    allowed = sys.stdlib_module_names | {"numpy", "nnscratch"}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        """Raise Refused if the import is not allowed. Otherwise, return None: Python then uses the next finder."""
        if name.partition(".")[0] not in self.allowed or name.startswith("nnscratch."):
            raise Refused(f"Your file imports {name}. {REFUSED}")


def stub() -> types.ModuleType:
    """Return a module called nnscratch that has Module and Parameter only."""
    module = types.ModuleType("nnscratch")
    module.__path__ = []

    def missing(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Refused(f"Your file uses nnscratch.{name}. {REFUSED}")

    module.__dict__.update(Module=Module, Parameter=Parameter, __getattr__=missing)
    return module


def restrict_imports() -> None:
    """Remove this package from the imported modules, and refuse all later imports that are not allowed."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("nnscratch", "landlock", "pyseccomp")]:
        del sys.modules[name]
    sys.modules["nnscratch"] = stub()
    sys.meta_path.insert(0, OnlyAllowed())
