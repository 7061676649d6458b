"""One time step of the GRU, for gru.py."""

STEP_FORWARD = (
    "T u[3], T b_hn, T h",
    "T gates[3], T v_n, T h_new",
    """
    const T half = 0.5;
    v_n = gates2 + b_hn;
    gates0 = half + half * tanh(half * (gates0 + u0));  // r
    gates1 = half + half * tanh(half * (gates1 + u1));  // z
    gates2 = tanh(gates0 * v_n + u2);                   // n
    h_new = gates2 + gates1 * (h - gates2);
    """,
)

STEP_BACKWARD = (
    "T dy, T gates[3], T v_n, T h",
    "T dh, T du[3], T dv[3], T temp, T du_copy[3], T dv_copy[3]",
    """
    dh += dy;
    du1 = dh * (h - gates2) * gates1 * (1 - gates1);            // du_z
    du2 = dh * (1 - gates1) * (1 - gates2 * gates2);            // du_n
    du0 = du2 * v_n * gates0 * (1 - gates0);                    // du_r
    dv0 = du0, dv1 = du1, dv2 = du2 * gates0;
    du_copy0 = du0, du_copy1 = du1, du_copy2 = du2;
    dv_copy0 = dv0, dv_copy1 = dv1, dv_copy2 = dv2;
    dh *= gates1;
    """,
)
