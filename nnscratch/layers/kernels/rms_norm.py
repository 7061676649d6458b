"""The forward and backward pass of RMSNorm, for rms_norm.py."""

RMS_NORM_FORWARD = (
    "T x, T w, T eps",
    "T y, T n, raw T r",
    {"sum_x2": ("x * x", "a + b", "0")},
    """
    const T scale = 1 / sqrt(sum_x2 / columns + eps);
    n = x * scale;
    y = n * w;
    if (column == 0) r[row] = scale;
    """,
)

RMS_NORM_BACKWARD = (
    "T dy, T w, T n, T r",
    "T dx",
    {"sum_dn_n": ("dy * w * n", "a + b", "0")},
    "dx = r * (dy * w - n * (sum_dn_n / columns));",
)
