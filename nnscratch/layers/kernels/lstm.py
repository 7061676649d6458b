"""One time step of the LSTM, for lstm.py."""

STEP_FORWARD = (
    "T u[4], T c",
    "T gates[4], T c_new, T tanh_c, T h_new, T temp",
    """
    const T half = 0.5;
    gates0 = half + half * tanh(half * (gates0 + u0));  // i
    gates1 = half + half * tanh(half * (gates1 + u1));  // f
    gates2 = tanh(gates2 + u2);                         // g
    gates3 = half + half * tanh(half * (gates3 + u3));  // o
    c_new = gates1 * c + gates0 * gates2;
    tanh_c = tanh(c_new);
    h_new = gates3 * tanh_c;
    """,
)

STEP_BACKWARD = (
    "T dy, T gates[4], T c, T tanh_c",
    "T dh, T dc, T dz[4], T slope[4], T temp, T dz_copy[4]",
    """
    dh += dy;
    dc += dh * gates3 * (1 - tanh_c * tanh_c);
    dz0 = dc * gates2 * (gates0 - gates0 * gates0);     // di i (1 - i)
    dz1 = dc * c * (gates1 - gates1 * gates1);          // df f (1 - f)
    dz2 = dc * gates0 * (1 - gates2 * gates2);          // dg (1 - g^2)
    dz3 = dh * tanh_c * (gates3 - gates3 * gates3);     // do o (1 - o)
    dc *= gates1;
    dz_copy0 = dz0, dz_copy1 = dz1, dz_copy2 = dz2, dz_copy3 = dz3;
    """,
)
