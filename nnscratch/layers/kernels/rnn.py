"""One time step of the RNN, for rnn.py."""

TANH_FORWARD = ("T u", "T h", "h = tanh(h + u);")
TANH_BACKWARD = ("T dy, T h", "T dh, T da, T da_copy", "dh += dy; da = dh * (1 - h * h); da_copy = da;")
RELU_FORWARD = ("T u", "T h", "h += u; h = h < (T)0 ? (T)0 : h;")
RELU_BACKWARD = ("T dy, T h", "T dh, T da, T da_copy", "dh += dy; da = h > 0 ? dh : (T)0; da_copy = da;")
