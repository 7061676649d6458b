"""The GPU versions of the fused functions of layers, in C.

Each constant holds the arguments of :func:`~nnscratch.backend.fused` or :func:`~nnscratch.backend.fused_rows`. One of
these arguments is the C code for one element. The file of the same name in ``layers`` has a NumPy function of the same
name. Tests check that both give equal results.
"""
