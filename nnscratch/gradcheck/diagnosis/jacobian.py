"""The Jacobian dy/dw of all outputs y with respect to one array w, by central differences.

A row contains the derivatives of all outputs with respect to one element of w. In directional mode, a row contains the
derivatives along one direction. Let R be the weights of the outputs (projection.py), and let f = sum(R * y). The dot
product of a row and R is one element of the true gradient of f. In directional mode, it is the derivative of f along
one direction. To predict the gradient of a backward that leaves out some outputs, set R to zero at these outputs.
"""

from __future__ import annotations

import numpy as np

from ..nested import array_module
from .case import Case
from .directional_case import DirectionalCase


class ElementJacobian:
    """The Jacobian of all outputs with respect to the array of `case`, with one row for each element of the array.

    Attributes
    ----------
    rows : ndarray
        A row for each element of the array. In a `DirectionalJacobian`, a row for each direction.
    total : ndarray
        The sum of the rows of all elements.
    diagonal : ndarray or None
        dy_i/dw_i for all i; None if the numbers of outputs and elements differ, or if the values are unknown.
    is_diagonal : bool
        True if output i depends only on element i.
    """

    def __init__(self, case: Case):
        projection, array = case.projection, case.projection.variables[case.name]
        rows = []
        for index in np.ndindex(array.shape):
            value = float(array[index])
            h = 1e-5 * max(1.0, abs(value))
            try:
                array[index] = value + h
                above = projection.flat_outputs()
                array[index] = value - h
                rows.append((above - projection.flat_outputs()) / (2 * h))
            finally:
                array[index] = value
        self.rows = np.array(rows)
        self.total = self.rows.sum(axis=0)
        square = self.rows.shape[0] == self.rows.shape[1]
        self.diagonal = np.diag(self.rows) if square else None
        self.is_diagonal = square and is_close_to(self.rows, np.diag(self.diagonal))


class DirectionalJacobian:
    """The derivatives of all outputs along each direction of `case`.

    The attributes are those of `ElementJacobian`.
    """

    def __init__(self, case: DirectionalCase):
        self.case = case
        self.rows = np.array([self._row(v) for v in case.directions])
        self.total = self._row(np.ones(case.shape))
        moves = np.array([np.ravel(v) for v in case.directions])
        self.is_diagonal = moves.shape == self.rows.shape and is_close_to(self.rows, moves * self.total)
        self.diagonal = self.total if self.is_diagonal else None

    def _row(self, v: np.ndarray, h: float = 1e-5) -> np.ndarray:
        projection, array = self.case.projection, self.case.projection.variables[self.case.name]
        held, v = array.copy(), array_module(array).asarray(v)
        try:
            array[...] = held + h * v
            above = projection.flat_outputs()
            array[...] = held - h * v
            return (above - projection.flat_outputs()) / (2 * h)
        finally:
            array[...] = held


def is_close_to(a: np.ndarray, b: np.ndarray) -> bool:
    """Return True if `a` and `b` are equal, up to a millionth of the largest element of `b`."""
    return bool(np.abs(a - b).max() <= 1e-6 * np.abs(b).max())
