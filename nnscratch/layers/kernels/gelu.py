"""The exact form and the tanh form of GELU, for gelu.py. The constants have the type T of the arrays."""

EXACT_FORWARD = (
    "T x",
    "T Phi, T y",
    """
    const T half = 0.5, sqrt_half = 0.70710678118654752440;
    Phi = half + half * erf(x * sqrt_half);
    y = x * Phi;
    """,
)

EXACT_BACKWARD = (
    "T x, T Phi, T dy",
    "T dx",
    """
    const T half = 0.5, phi_of_0 = 0.39894228040143267794;  // 1 / sqrt(2 pi)
    dx = dy * (Phi + x * (phi_of_0 * exp(-half * x * x)));
    """,
)

TANH_FORWARD = (
    "T x",
    "T t, T y",
    """
    const T half = 0.5, A = 0.79788456080286535588, B = 0.044715;
    t = tanh(A * (x + B * x * x * x));
    y = half * x * (1 + t);
    """,
)

TANH_BACKWARD = (
    "T x, T t, T dy",
    "T dx",
    """
    const T half = 0.5, A = 0.79788456080286535588, B = 0.044715;
    dx = dy * half * (1 + t + x * (1 - t * t) * A * (1 + 3 * B * x * x));
    """,
)
