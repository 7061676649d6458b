"""Raise an error for arrays of other libraries where the checker needs NumPy arrays.

The message shows how to convert the array.
"""

from __future__ import annotations

import sys
from typing import Any

from ..nested import leaves

LIBRARIES = {"jax": "JAX", "jaxlib": "JAX", "torch": "PyTorch", "tensorflow": "TensorFlow"}
CONVERSIONS = {"PyTorch": "{}.detach().numpy()", "TensorFlow": "{}.numpy()"}


def library_of(value: Any) -> str | None:
    """Return "PyTorch", "JAX" or "TensorFlow" if `value` is an array of this library.

    Return None for NumPy arrays, and for values that are not arrays.
    """
    name = LIBRARIES.get(type(value).__module__.partition(".")[0])
    return name if hasattr(value, "shape") and hasattr(value, "dtype") else None


def refuse_foreign(named: dict[str, Any]) -> None:
    """Raise TypeError if a value, or a leaf of a nested value, is an array of another library.

    Parameters
    ----------
    named : dict of str to object
        The values to check. The keys are the names of the values in the error message.

    Examples
    --------
    >>> import numpy as np
    >>> refuse_foreign({"x": np.ones(3)})
    """
    if not LIBRARIES.keys() & sys.modules.keys():
        return
    for name, value in named.items():
        for leaf_name, leaf in leaves(name, value):
            library = library_of(leaf)
            if library is not None:
                conversion = CONVERSIONS.get(library, "numpy.asarray({})").format(leaf_name)
                raise TypeError(
                    f"{leaf_name} is an array of {library}, but this form of code is checked with NumPy arrays, which "
                    f"can be changed in place: use {conversion}, and numpy in forward and backward"
                )
