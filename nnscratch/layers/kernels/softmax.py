"""The softmax of each row, for softmax.py."""

SOFTMAX_OF_ROWS = (
    "T x",
    "T y",
    {
        "top": ("x", "a > b ? a : b", "log((T)0)"),  # the maximum of no elements is -infinity
        "total": ("exp(x - top)", "a + b", "0"),
    },
    "y = exp(x - top) / total;",
)
