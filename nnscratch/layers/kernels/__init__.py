"""The GPU versions of the fused functions of layers, in C.

Each constant is the tuple of arguments of :func:`~nnscratch.backend.fused` or :func:`~nnscratch.backend.fused_rows`.
One of these arguments is the C code for one element. For each constant, such as ``gelu.EXACT_FORWARD``, the file of the
same name in ``layers`` has a NumPy function, such as ``gelu.exact_forward``. Tests check that the C code and the NumPy
function give equal results.
"""
