"""The forward and backward pass of LayerNorm, for layer_norm.py."""

LAYER_NORM_FORWARD = (
    "T x, T w, T b, T eps",
    "T y, T n, raw T r",
    {
        "sum_x": ("x", "a + b", "0"),
        "sum_c2": ("(x - sum_x / columns) * (x - sum_x / columns)", "a + b", "0"),
    },
    """
    const T scale = 1 / sqrt(sum_c2 / columns + eps);
    n = (x - sum_x / columns) * scale;
    y = n * w + b;
    if (column == 0) r[row] = scale;
    """,
)

LAYER_NORM_BACKWARD = (
    "T dy, T w, T n, T r",
    "T dx",
    {
        "sum_dn": ("dy * w", "a + b", "0"),
        "sum_dn_n": ("dy * w * n", "a + b", "0"),
    },
    "dx = r * (dy * w - sum_dn / columns - n * (sum_dn_n / columns));",
)
