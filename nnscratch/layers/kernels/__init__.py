"""The GPU versions of the fused functions of layers, in C.

Each constant holds the arguments of :func:`~nnscratch.backend.fused` or :func:`~nnscratch.backend.fused_rows`, among
them the C code for one element. The NumPy function of the same name, in the layer file of the same name, computes the
same. Tests check that both give equal results.
"""
