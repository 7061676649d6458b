"""The forward and backward pass of GroupNorm without w and b, for group_norm.py. A row is a group of one example."""

NORMALIZE = (
    "T x, T eps",
    "T n, raw T r",
    {
        "sum_x": ("x", "a + b", "0"),
        "sum_c2": ("(x - sum_x / columns) * (x - sum_x / columns)", "a + b", "0"),
    },
    """
    const T scale = 1 / sqrt(sum_c2 / columns + eps);
    n = (x - sum_x / columns) * scale;
    if (column == 0) r[row] = scale;
    """,
)

NORMALIZE_BACKWARD = (
    "T dn, T n, T r",
    "T dx",
    {
        "sum_dn": ("dn", "a + b", "0"),
        "sum_dn_n": ("dn * n", "a + b", "0"),
    },
    "dx = r * (dn - sum_dn / columns - n * (sum_dn_n / columns));",
)
