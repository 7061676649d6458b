"""The steps of attention that change each score, for attention.py."""

# log((T)0) is -infinity. The scores of the keys up to `query` are neither read nor written.
HIDE_LATER = ("int64 query, int64 key", "T Z", "if (key > query) Z = log((T)0);")

BACKWARD_OF_SCORES = ("T A, T B, T dots, T scale", "T dB", "dB = (B * dB - A * dots) * scale;")
