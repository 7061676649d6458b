"""Parameter: an array that is learned, and its gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backend
from .backend import Array
from .checks import FLOATS, flag

if TYPE_CHECKING:
    from .module import Module
    from .per_example import Form


class Parameter:
    """An array that is learned, and its gradient.

    Parameters
    ----------
    data : array of floats
    requires_grad : bool
        False to freeze the parameter.

    Attributes
    ----------
    data : array
        The values. Optimisers write into this array and never replace it, so every module that uses the parameter
        gets the new values. If you assign an array that is not C-contiguous, such as a transpose, it is copied, because
        optimisers write through a flat view. A read-only array is copied too.
    grad : array
        dL/d(data), with the same shape, dtype and device. Every ``backward`` adds to this array, and `zero_grad` clears
        it.
    requires_grad : bool
        False while the parameter is frozen. The gradient of a frozen parameter is always zero: `add_product` and
        `add_rows` compute nothing, and a value that ``backward`` adds to `grad` is not kept. Optimisers do not change
        a frozen parameter. Setting this attribute clears the gradient.
    examples : list or None
        None outside a `privacy.keep_examples` block. Inside the block, ``backward`` adds each example's part of the
        gradient to this list, as an Outer, Rows or Each of `nnscratch.per_example`. `grad` then stays zero.

    Examples
    --------
    >>> import numpy as np, nnscratch as nn
    >>> nn.Parameter(np.ones((2, 3), dtype=np.float32))
    Parameter((2, 3), float32, cpu)

    Freeze a bias. The layer's ``backward`` does not change:

    >>> layer = nn.Linear(3, 2, rng=0)
    >>> layer.bias.requires_grad = False
    >>> y = layer(np.ones((4, 3), dtype=np.float32))
    >>> dx = layer.backward(np.ones_like(y))
    >>> print(layer.bias.grad, layer.weight.grad[0])
    [0. 0.] [4. 4. 4.]
    """

    def __init__(self, data: Array, requires_grad: bool = True):
        self.data = data
        # The gradient is stored in one of three forms, and the form changes only when necessary:
        #   zero            _in_array is False, _rows is None. The content of _grad has no meaning yet.
        #   a few rows      _in_array is False, _rows holds their indices and their values. All other rows are zero.
        #   a whole array   _in_array is True, and the gradient is _grad.
        self._grad = backend.array_module(data).empty_like(self.data)
        self._in_array = False
        self._rows: tuple[Array, Array] | None = None
        self.examples: list[Form] | None = None
        self.added_in_examples = False  # True if backward has added to `grad` while `examples` is a list
        self.requires_grad = requires_grad

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, value: Array) -> None:
        xp = backend.array_module(value)
        if value.dtype not in FLOATS:
            raise TypeError(f"Parameter needs floats, got an array of {value.dtype}; use data.astype(numpy.float32)")
        value = xp.asarray(value, order="C")
        self._data = value if getattr(value.flags, "writeable", True) else value.copy()

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._requires_grad = flag("requires_grad", value)
        self.zero_grad()

    @property
    def grad(self) -> Array:
        if self._drops_gradient():
            self._in_array = False  # drop the values that backward has added to _grad
        if not self._in_array:
            self._grad[...] = 0
            if self._rows is not None:
                rows, values = self._rows
                self._grad[rows] = values
            self._in_array, self._rows = True, None
        return self._grad

    @grad.setter
    def grad(self, value: Array) -> None:
        self._grad, self._in_array, self._rows = value, True, None

    def nonzero_rows(self) -> tuple[Array | None, Array]:
        """Return the rows of the gradient that may be nonzero: ``(rows, values)``, where all other rows are zero.

        Optimisers and clipping use this method to skip all other rows of an embedding's table. If you change `values`
        in place, you change the gradient.

        Returns
        -------
        rows : integer array, shape (R,), or None
            The indices of the rows, each once, in ascending order. None if any row may be nonzero.
        values : array, shape (R, ...)
            ``grad[rows]``, or `grad` if `rows` is None.

        Examples
        --------
        >>> import numpy as np, nnscratch as nn
        >>> table = nn.Parameter(np.zeros((1000, 2)))
        >>> table.add_rows(np.array([7, 2, 7]), np.ones((3, 2)))
        >>> rows, values = table.nonzero_rows()
        >>> print(rows, values.tolist())
        [2 7] [[1.0, 1.0], [2.0, 2.0]]
        """
        return (None, self.grad) if self._rows is None else self._rows

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def device(self) -> str:
        return backend.device_of(self.data)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the parameter inside the ``with`` block. Afterwards it has the gradient that it had before."""
        before = self._grad, self._in_array, self._rows, self._requires_grad
        self._grad = backend.array_module(self._grad).empty_like(self._grad)
        self._in_array, self._rows, self._requires_grad = False, None, False
        try:
            yield
        finally:
            self._grad, self._in_array, self._rows, self._requires_grad = before

    def zero_grad(self) -> None:
        """Set the gradient to zero.

        No zeros are written here: usually `add_product` or `add_rows` comes next and writes the gradient directly.
        """
        self._in_array, self._rows = False, None

    def add_product(self, a: Array, b: Array, rows: slice = slice(None)) -> None:
        """Add a matrix product: ``grad[rows] += a @ b``. The default is all rows.

        The first product of all rows after `zero_grad` is written directly into the gradient. For a large weight this
        saves a temporary array of the same size. It also saves the time for filling the gradient with zeros and adding
        the product. If the parameter is frozen, nothing is computed.
        """
        if self._drops_gradient():
            return
        if rows == slice(None) and not self._in_array and self._rows is None:
            backend.array_module(a).matmul(a, b, out=self._grad)
            self._in_array = True
        else:
            self.grad[rows] += a @ b

    def add_rows(self, index: Array, values: Array) -> None:
        """Add to some rows: ``grad[index[k]] += values[k]`` for every k. Equal indices add up.

        If there are few rows, the first call after `zero_grad` does not write the whole gradient: see `nonzero_rows`.
        If the parameter is frozen, nothing is computed.
        """
        if self._drops_gradient():
            return
        few = 2 * len(index) < len(self.data) and backend.array_module(values) is np
        if few and not self._in_array and self._rows is None:
            self._rows = backend.sum_rows(index, values)
        else:
            backend.scatter_add(self.grad, index, values)

    def keep(self, form: Form) -> None:
        """Add each example's part of the gradient to `examples`, unless the parameter is frozen."""
        if self._requires_grad:
            self.examples.append(form)

    def _drops_gradient(self) -> bool:
        """Return True if values that are added to the gradient are dropped."""
        self.added_in_examples = self.examples is not None
        return not self._requires_grad or self.examples is not None

    def to(self, *, device: str | None = None, dtype: Any = None) -> None:
        """Move data and gradient to a device, or convert them to a dtype. The parameter object stays the same."""
        same_dtype = dtype is None or np.dtype(dtype) == self.dtype  # np.dtype(None) is float64, so test None first
        if device in (None, self.device) and same_dtype:
            return  # reading `grad` below would fill its memory with zeros
        for name in ("data", "grad"):
            array = getattr(self, name)
            array = array if device is None else backend.to_device(array, device)
            setattr(self, name, array if dtype is None else array.astype(dtype, copy=False))

    def __repr__(self) -> str:
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter({self.shape}, {self.dtype}, {self.device}{frozen})"

    # A Parameter is not an array. Arithmetic with it raises an error that names .data, instead of NumPy's own error.

    __array_ufunc__ = None  # NumPy's operators then call the methods below

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "a Parameter is not an array: use parameter.data for its values, parameter.grad for its gradient"
        )

    __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __array__
    __truediv__ = __rtruediv__ = __pow__ = __matmul__ = __rmatmul__ = __neg__ = __array__


def to_device_of(model: Module, *arrays: Any) -> tuple[Any, ...]:
    """Return `arrays` on the device of the model's first parameter."""
    first = next((v for module in model.modules() for v in vars(module).values() if isinstance(v, Parameter)), None)
    return tuple(backend.to_device(array, "cpu" if first is None else first.device) for array in arrays)
