"""Sums over several GPUs with NCCL, NVIDIA's library for messages between GPUs. Each process has one GPU.

NCCL enqueues a sum on a stream of the GPU, as CuPy enqueues its kernels. The gradients are on the same stream, so the
sum runs after the backward pass and before the clipping, and the CPU waits for none of these operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .device import Array, DeviceError, array_module

TYPES = {np.dtype("float16"): "NCCL_FLOAT16", np.dtype("float32"): "NCCL_FLOAT32", np.dtype("float64"): "NCCL_FLOAT64"}


class NcclSum:
    """Adds up arrays of several GPUs, in place.

    Parameters
    ----------
    x : cupy.ndarray
        Any array on the GPU of this process.
    rank, size : int
        The number of this process, and the number of all processes.
    of_rank_0 : function of an object
        In every process, the function returns the argument that process 0 passed to it. So process 0 can send the name
        of the new group of GPUs to all other processes.

    Raises
    ------
    DeviceError
        CuPy does not find NCCL.
    """

    def __init__(self, x: Array, rank: int, size: int, of_rank_0: Callable[[Any], Any]):
        self.cuda = array_module(x).cuda
        nccl = self.cuda.nccl
        if not nccl.available:
            raise DeviceError("several GPUs need NCCL, which CuPy does not find: pip install nvidia-nccl-cu12")
        with x.device:
            name = of_rank_0(nccl.get_unique_id() if rank == 0 else None)
            self.communicator = nccl.NcclCommunicator(size, name, rank)

    def __call__(self, array: Array) -> None:
        """Enqueue the sum of `array` over all GPUs. Every process must call this with an array of the same size."""
        nccl, address = self.cuda.nccl, array.data.ptr
        kind, stream = getattr(nccl, TYPES[array.dtype]), self.cuda.get_current_stream().ptr
        self.communicator.allReduce(address, address, array.size, kind, nccl.NCCL_SUM, stream)
