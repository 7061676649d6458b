"""The GPU version of `softmax_of_chunk`, in C, for fast_softmax.py.

The constant is the tuple of arguments of :func:`~nnscratch.backend.fused_rows`: inputs, outputs, the quantities of a
row, and the C code for one element. A test checks that the kernel gives the same results as the NumPy function.
"""

SOFTMAX_OF_CHUNK = (
    "T x, L label, T w, T w_mean",
    "T p, raw T log_p_label, raw T mean_log_p",
    {
        "top": ("x", "a > b ? a : b", "log((T)0)"),  # the maximum of no elements is -infinity
        "total": ("exp(x - top)", "a + b", "0"),
        "weighted": ("w * (x - top)", "a + b", "0"),
    },
    """
    p = exp(x - top) / total;
    if (column == 0) {
        mean_log_p[row] = weighted / columns - w_mean * log(total);
        if (label < 0 || label >= columns) log_p_label[row] = log((T)-1);  // a label out of range gives NaN
    }
    if (column == label) log_p_label[row] = x - top - log(total);
    """,
)
