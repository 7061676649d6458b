"""Softmax minus target for a chunk of rows, for linear_cross_entropy.py."""

SOFTMAX_MINUS_TARGET_OF_CHUNK = (
    "T bias, L label, T scale",
    "T x, raw T loss",
    {
        "top": ("x + bias", "a > b ? a : b", "log((T)0)"),  # the maximum of no elements is -infinity
        "total": ("exp(x + bias - top)", "a + b", "0"),
    },
    """
    const T z = x + bias - top;
    const int here = column == label;
    if (here) loss[row] = log(total) - z;
    if (column == 0 && (label < 0 || label >= columns)) loss[row] = log((T)-1);   // a label out of range gives NaN
    x = scale * (exp(z) / total - (here ? (T)1 : (T)0));
    """,
)
