"""Each kind of mistake, in the forms of code that courses and frameworks use.

Each builder holds one piece of correct code in one form, and several mistakes in it, chosen by `kind`.
"""

from __future__ import annotations

from . import classes, columns, losses, numbers, pairs, recurrent, windows
from .variants import CORRECT, MISTAKES

__all__ = ["CORRECT", "MISTAKES", "classes", "columns", "losses", "numbers", "pairs", "recurrent", "windows"]
