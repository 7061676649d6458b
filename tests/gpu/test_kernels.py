"""Every kernel of the package compiles with the compiler that comes with CuPy. This needs no GPU.

test_every_case.py tests the results of the kernels on the stand-in, with the machine's C compiler.
"""

import functools
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import nnscratch
from nnscratch import backend
from nnscratch.optim.kernels import RMSPROP_STEPS, adagrad_step, adam_step, momentum_step, scale, sgd_step
from nnscratch.training.async_steps import scale_by


class SOURCES:
    """Replace the module cupy; return the source of each kernel instead of the kernel."""

    @staticmethod
    def ElementwiseKernel(*made_of, options=()):  # noqa: N802
        return *made_of, *options

    RawKernel = ElementwiseKernel


def kernels():
    """Return (inputs, outputs, body, name) of every kernel in the package."""
    found = {"add_sorted_rows": backend.sums._add_sorted_rows(SOURCES), "uniform": backend.random.draw(SOURCES)}
    for dtype in ("float32", "float64"):
        found[f"squares of {dtype}"] = backend.sums._SQUARES.kernel(SOURCES, dtype, ())
    over_lists = {}  # with the information which arguments are lists
    for function in (adam_step, adagrad_step, momentum_step, sgd_step, scale, scale_by):
        arguments = inspect.signature(function).parameters
        over_lists[function.__name__] = function, tuple(name in {"g", "w", "m", "v", "s"} for name in arguments)
    for kind, function in RMSPROP_STEPS.items():
        over_lists[f"rmsprop_step {kind}"] = function, (True, *[False] * 6, *[True] * (2 + sum(kind)))
        found[f"rmsprop_step of {kind}"] = function.gpu_kernel(SOURCES)
    for (name, (function, listed)), dtype, looks in itertools.product(
        over_lists.items(), ("float16", "float32", "float64"), (False, True)
    ):
        if (name, dtype) == ("scale_by", "float16"):
            continue  # not used: steps in float16 are not asynchronous
        key = f"{name} over lists of {dtype}{', only if' * looks}"
        found[key] = function.gpu_kernel_over_lists(SOURCES, dtype, listed, looks)
    for info in pkgutil.walk_packages(nnscratch.__path__, "nnscratch."):
        if info.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(info.name)).values():
            if hasattr(value, "gpu_kernel"):
                found[f"{value.__module__}.{value.__name__}"] = value.gpu_kernel(SOURCES)
                found[f"{value.__name__} of {value.__module__}, only if"] = value.gpu_kernel(SOURCES, True)
    return found


@functools.cache
def rows_kernels():
    """Return (code, name) of every kernel of `fused_rows` in the package, for all dtypes, arrays and numbers."""
    found = {}
    for info in pkgutil.walk_packages(nnscratch.__path__, "nnscratch."):
        if info.name.endswith("__main__"):
            continue
        for function in vars(importlib.import_module(info.name)).values():
            rows = getattr(function, "gpu_rows", None)
            for dtype, numbers in itertools.product(("float16", "float32", "float64"), (False, True)) if rows else ():
                dtypes = [dtype if letter == "T" else "int64" for *_, letter, _ in rows.parameters]
                if numbers:  # instead of all inputs except the labels
                    dtypes = [d if d == "int64" or k >= rows.first_output else None for k, d in enumerate(dtypes)]
                title = f"{function.__module__}.{function.__name__} of {dtype}{' and numbers' * numbers}"
                found[title.removeprefix("nnscratch.")] = rows.kernel(SOURCES, tuple(dtypes))
    return found


NUMBERS = set(
    """
    D K V alpha beta1 beta2 columns count eps factor k keep lr max_norm momentum nesterov one_less_alpha
    one_less_beta1 one_less_beta2 p scale step threads total w_mean weight_decay
    """.split()
)  # the scalar arguments


def nvidia_headers():
    """Return the folders with the headers of CUDA, if these packages are installed."""
    return [folder for path in sys.path for folder in Path(path).glob("nvidia/*/include")]


def test_the_kernels_are_found():
    assert {name.removeprefix("nnscratch.") for name in kernels() if " of " not in name} == {
        "add_sorted_rows",
        "layers.attention.backward_of_scores",
        "layers.attention.hide_later",
        "layers.dropout.fill_mask",
        "layers.gelu.exact_backward",
        "layers.gelu.exact_forward",
        "layers.gelu.tanh_backward",
        "layers.gelu.tanh_forward",
        "layers.gru.step_backward",
        "layers.gru.step_forward",
        "layers.lstm.step_backward",
        "layers.lstm.step_forward",
        "layers.rnn.relu_backward",
        "layers.rnn.relu_forward",
        "layers.rnn.tanh_backward",
        "layers.rnn.tanh_forward",
        "optim.kernels.adagrad_step",
        "optim.kernels.adam_step",
        "optim.kernels.momentum_step",
        "optim.kernels.scale",
        "optim.kernels.sgd_step",
        "training.async_steps.check_and_record",
        "training.async_steps.scale_by",
        "uniform",
    }
    assert {name.split(" of ")[0] for name in rows_kernels()} == {
        "layers.group_norm.normalize",
        "layers.group_norm.normalize_backward",
        "layers.layer_norm.layer_norm_backward",
        "layers.layer_norm.layer_norm_forward",
        "layers.linear_cross_entropy.softmax_minus_target_of_chunk",
        "layers.rms_norm.rms_norm_backward",
        "layers.rms_norm.rms_norm_forward",
        "layers.softmax.softmax_of_rows",
        "losses.fast_softmax.softmax_of_chunk",
    }


def test_no_choice_is_between_a_float_and_an_integer_literal():
    """``x > 0 ? x : 0`` is ambiguous for the C++ class float16. C, which the stand-in compiles, accepts it."""
    literal = re.compile(r"\?[^;?:]*:\s*\d+\s*[;),]|\?\s*\d+\s*:")
    assert [name for name, (_, _, body, *_) in kernels().items() if literal.search(body)] == []


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("contiguous", [True, False])
@pytest.mark.parametrize("name", kernels())
def test_the_source_that_cupy_makes_of_a_kernel_compiles(name, dtype, contiguous):
    cupy = pytest.importorskip("cupy")
    from cupy._core import _kernel  # a private part of CuPy, which generates the source of a kernel

    if not hasattr(_kernel, "_get_elementwise_kernel_code"):
        pytest.skip(f"CuPy {cupy.__version__} does not show the source of a kernel")
    ins, outs, body, title, *options = kernels()[name]
    kernel = cupy.ElementwiseKernel(ins, outs, body, title)
    arguments = []
    for parameter in (*kernel.in_params, *kernel.out_params):
        own = {"T": np.dtype(dtype), "L": np.dtype(np.int64)}.get(parameter.ctype, parameter.dtype)
        if parameter.name in NUMBERS and parameter in kernel.in_params and not parameter.raw:
            arguments.append(_kernel._ArgInfo(3, type(None), own, 0, True, True))
        else:
            flat = contiguous or parameter.raw
            arguments.append(_kernel._ArgInfo(1, cupy.ndarray, own, 1 if flat else 2, flat, True))
    arguments.append(_kernel._ArgInfo(2, type(None), None, 1 if contiguous else 2, True, True))
    types = _kernel._TypeMap((("L", np.dtype(np.int64)), ("T", np.dtype(dtype))))
    source = _kernel._get_elementwise_kernel_code(tuple(arguments), types, kernel.params, body, title, "")
    compile_for_a_gpu("#include <cupy/carray.cuh>\n" + source, options)


@pytest.mark.parametrize("architecture", [75, 90])
@pytest.mark.parametrize("name", rows_kernels())
def test_the_source_of_a_kernel_of_rows_compiles(name, architecture):
    pytest.importorskip("cupy")
    code, _ = rows_kernels()[name]
    compile_for_a_gpu(code, architecture=architecture)


def compile_for_a_gpu(source, options=(), architecture=80):
    """Compile with NVIDIA's compiler and CuPy's headers. An error makes the test fail."""
    import cupy
    from cupy.cuda import nvrtc

    folders = [Path(cupy.__file__).parent / "_core" / "include", *nvidia_headers()]
    program = nvrtc.createProgram(source, "kernel.cu", [], [])
    try:
        nvrtc.compileProgram(
            program, [*(f"-I{folder}" for folder in folders), "--std=c++17", f"-arch=compute_{architecture}", *options]
        )
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
