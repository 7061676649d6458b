"""Match a dictionary of gradients to the inputs: by the key of each, and by the keys of dictionaries of parameters."""

from __future__ import annotations

from typing import Any

from ..nested import is_array, is_float, leaves
from .base import Adapter
from .names import gradient_names


def match_by_key(adapter: Adapter, gradients: dict) -> dict[str, Any]:
    """Return the gradients of the float inputs by name.

    An input without a key of its own is left out. If an input is a dictionary, such as ``parameters``, and `gradients`
    holds the gradient of some of its arrays only, the others get None.

    Examples
    --------
    >>> import numpy as np
    >>> adapter = Adapter([], "net", ({"W1": np.ones(2), "b1": np.ones(1)}, np.ones(3)), lambda parameters, X: None)
    >>> match_by_key(adapter, {"dW1": 5.0, "db1": 6.0, "dZ1": 7.0})
    {"parameters['W1']": 5.0, "parameters['b1']": 6.0}
    """
    taken, found = adapter.parameters(), {}
    for name, value in zip(adapter.input_names, adapter.inputs, strict=True):
        whole = next((gradients[k] for k in gradient_names(name) if k in gradients), None)
        members = value if isinstance(value, dict) else {}
        known = {k: next((gradients[n] for n in gradient_names(str(k)) if n in gradients), None) for k in members}
        if whole is not None:
            given = dict(leaves(name, whole))
        elif any(g is not None for g in known.values()):
            given = dict(leaves(name, known))
        else:
            continue
        for leaf_name, leaf in leaves(name, value):
            if is_array(leaf) and is_float(leaf):
                found[f"input {leaf_name}" if leaf_name in taken else leaf_name] = given.get(leaf_name)
    return found
