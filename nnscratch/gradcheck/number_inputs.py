"""Find the inputs that are Python numbers and have a gradient.

If the other inputs are arrays, a Python number is usually a constant, such as a learning rate. But if the code returns
a gradient for the number, it is not a constant. For example, in deeplearning.ai's
``grads, cost = propagate(w, b, X, Y)``, ``b`` is a Python number, and ``grads`` contains ``db``.
"""

from __future__ import annotations

from .adapters import Adapter
from .adapters.functions import PairAdapter, ValueAndGradientAdapter
from .adapters.numbers import as_array
from .adapters.objects import ObjectAdapter
from .projection import projection_weights, weights_like_outputs
from .snapshot import Snapshot


def checks_numbers(adapter: Adapter, before: Snapshot) -> bool:
    """Return True if a Python number among the inputs has a gradient.

    Run forward and backward once to find out. Then restore the state that `before` recorded. Restore the inputs too,
    because forward may write into them.
    """
    kinds = {type(value) for value in adapter.inputs}
    if not isinstance(adapter, (PairAdapter, ValueAndGradientAdapter, ObjectAdapter)) or not kinds.intersection(
        (int, float)
    ):
        return False
    own = Snapshot(adapter.inputs)
    try:
        ys = adapter.run()
        adapter.gradients(weights_like_outputs(projection_weights(ys), ys))
    except Exception:  # the checked code may raise any error, and the check will raise it again
        return False
    finally:
        before.restore()
        own.restore()
        adapter.notes.clear()
    return bool(adapter.numbers)


def numbers_as_arrays(adapter: Adapter, inputs: tuple) -> tuple:
    """Return the inputs. Each Python number that has a gradient becomes an array."""
    names = zip(adapter.input_names, inputs, strict=True)
    return tuple(as_array(float(value)) if name in adapter.numbers else value for name, value in names)
