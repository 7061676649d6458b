"""Save and load models as safetensors files, with PyTorch's parameter names. Nothing is pickled.

A file contains the arrays of ``model.state_dict()``. Its text header describes the model, for example by its class
and the constructor's arguments (see `nnscratch.description`). So ``nn.load`` rebuilds a model of this package from the
file alone, and PyTorch's ``safetensors.torch.load_file`` reads the same file as a state dict.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save as to_bytes
except ImportError:  # Pyodide 0.27 does not have the library: safetensors_file.py writes the same bytes
    from .safetensors_file import SafetensorError, safe_open
    from .safetensors_file import save as to_bytes

from . import backend
from .checks import FLOATS, check_instance, reason, state_value
from .data.tokenizers import Tokenizer
from .description import build, describe
from .layers import Linear, LoRA
from .module import Module
from .parameter import Parameter

PathLike = str | os.PathLike
LORA_ARRAYS = ("lora_A", "lora_B")


def save(model: Module, path: PathLike) -> None:
    """Write the weights of `model` to a file, with a description from which `load` rebuilds the model.

    The file is written atomically: if saving fails, an older file at `path` is unchanged.

    Parameters
    ----------
    model : Module
    path : str or path

    Raises
    ------
    TypeError
        `model` is not a Module.
    FileNotFoundError
        The folder of `path` does not exist.

    Examples
    --------
    >>> import tempfile, pathlib, nnscratch as nn
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "xor.safetensors"
    >>> nn.save(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)), path)
    >>> nn.load(path)
    Sequential()  # 13 parameters
      (0) Linear(in_features=2, out_features=3, bias=True)  # 9 parameters
        weight: (3, 2)
        bias: (3,)
      (1) Tanh()
      (2) Linear(in_features=3, out_features=1, bias=True)  # 4 parameters
        weight: (1, 3)
        bias: (1,)
    """
    if not isinstance(model, Module):
        other = "; a tokenizer has its own method: tokenizer.save(path)" if isinstance(model, Tokenizer) else ""
        raise TypeError(f"nn.save(model, path): model must be a Module, got {type(model).__name__}{other}")
    write_arrays(path, model.state_dict(), {"model": describe(model)})


def load(path: PathLike, model: Module | None = None) -> Module:
    """Return the model in the file, in training mode.

    Parameters
    ----------
    path : str or path
    model : Module, optional
        Load the weights into this model and return it. You need this argument for a model whose class is not part of
        nnscratch, and for a file that another program wrote. Such a model cannot be rebuilt from the file alone.

    Raises
    ------
    TypeError
        `model` is not a Module. For example, it is a class.
    FileNotFoundError
        There is no file at `path`.
    ValueError
        The file is not a complete safetensors file, or contains another model. `model` is unchanged.

    Examples
    --------
    >>> import tempfile, pathlib, nnscratch as nn
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "linear.safetensors"
    >>> model = nn.Linear(2, 3)
    >>> nn.save(model, path)
    >>> bool((nn.load(path).weight.data == model.weight.data).all())
    True
    """
    if model is not None and not isinstance(model, Module):
        is_class = isinstance(model, type) and issubclass(model, Module)
        hint = f": build it first, nn.load(path, {model.__name__}(...))" if is_class else ""
        came = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"nn.load(path, model): model must be a Module, got {came}{hint}")
    state, header = read_arrays(path)
    if model is None:
        if "optimizer" in header:
            raise ValueError(
                f"{path} is a training checkpoint: load model.safetensors from the same folder, or resume the "
                f"training with nn.training.resume or nnscratch train --resume"
            )
        if "model" not in header:
            raise ValueError(
                f"{path} does not say which model it holds (did another program write it?): "
                f"build the model, then call nn.load(path, model)"
            )
        try:
            model = build(header["model"], num_values=sum(a.size for a in state.values()))
        except ValueError as error:
            raise ValueError(f"{path}: {reason(error)}") from None
        _take_dtypes(model, state)
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path}: {reason(error)}") from None
    return model


def _take_dtypes(model: Module, state: dict[str, np.ndarray]) -> None:
    """Convert each parameter and buffer of floats to the dtype that it has in `state`."""
    for outer, module in model.named_modules():
        for name, value in vars(module).items():
            saved = state.get(f"{outer}.{name}" if outer else name)
            if saved is not None and saved.dtype in FLOATS:
                if isinstance(value, Parameter):
                    value.to(dtype=saved.dtype)
                elif name in vars(module).get("_buffers", ()) and value.dtype in FLOATS:
                    setattr(module, name, value.astype(saved.dtype))


def save_lora(model: Module, path: PathLike) -> None:
    """Write only the small matrices of the `LoRA` layers in `model` to one file. The write is atomic.

    The file is small, because it does not contain the trained weights. `load_lora` reads it.

    Parameters
    ----------
    model : Module
    path : str or path

    Raises
    ------
    TypeError
        `model` is not a Module.
    ValueError
        `model` has no LoRA layer.
    FileNotFoundError
        The folder of `path` does not exist.

    Examples
    --------
    >>> import os, tempfile, pathlib, nnscratch as nn
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> model = nn.models.MLP([784, 512, 10], rng=0)
    >>> nn.save(model, folder / "model.safetensors")
    >>> setattr(model.layers, "1", nn.LoRA(model.layers[1], rank=2, rng=1))
    >>> nn.save_lora(model, folder / "lora.safetensors")
    >>> os.path.getsize(folder / "model.safetensors") > 150 * os.path.getsize(folder / "lora.safetensors")
    True
    >>> adapted = nn.load_lora(folder / "lora.safetensors", nn.load(folder / "model.safetensors"))
    >>> adapted.layers[1]
    LoRA(rank=2, alpha=2.0)  # 404,512 parameters
      (base) Linear(in_features=784, out_features=512, bias=True)  # 401,920 parameters
        weight: (512, 784), frozen
        bias: (512,), frozen
      lora_A: (2, 784)
      lora_B: (512, 2)
    """
    if not isinstance(model, Module):
        raise TypeError(f"nn.save_lora(model, path): model must be a Module, got {type(model).__name__}")
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, LoRA)}
    if not adapted:
        raise ValueError(f"{type(model).__name__} has no LoRA layer, so there is nothing to save")
    arrays = {f"{name}.{key}": getattr(lora, key).data for name, lora in adapted.items() for key in LORA_ARRAYS}
    write_arrays(path, arrays, {"lora": {name: lora.config() for name, lora in adapted.items()}})


def load_lora(path: PathLike, model: Module) -> Module:
    """Load into `model` the matrices that `save_lora` wrote to the file, and return the model.

    Each Linear layer that the file names becomes a `LoRA` layer. A `LoRA` layer that the file names gets the matrices
    of the file.

    Parameters
    ----------
    path : str or path
    model : Module
        A model with the same trained weights as the model from which the matrices were saved.

    Raises
    ------
    FileNotFoundError
        There is no file at `path`.
    ValueError
        `save_lora` did not write the file, or it does not fit `model`. `model` is unchanged.

    Examples
    --------
    >>> import tempfile, pathlib, nnscratch as nn
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "lora.safetensors"
    >>> nn.save_lora(nn.Sequential(nn.LoRA(nn.Linear(3, 2), rank=1)), path)
    >>> type(nn.load_lora(path, nn.Sequential(nn.Linear(3, 2)))[0]).__name__
    'LoRA'
    """
    check_instance("load_lora", "model", model, Module)
    arrays, header = read_arrays(path)
    if not isinstance(header.get("lora"), dict):
        raise ValueError(f"{path} was not written by nn.save_lora")
    modules, new = dict(model.named_modules()), {}
    for name, config in header["lora"].items():
        layer = modules.get(name)
        base = layer.base if isinstance(layer, LoRA) else layer
        if missing := [f"{name}.{key}" for key in LORA_ARRAYS if f"{name}.{key}" not in arrays]:
            raise ValueError(f"{path} does not hold {missing[0]}, which its header names")
        if not isinstance(base, Linear) or not name or (isinstance(layer, LoRA) and layer.merged):
            merged = "a merged " if isinstance(layer, LoRA) else ""
            came = "no such module" if layer is None else f"{merged}{type(layer).__name__}"
            raise ValueError(f"{path} adapts the Linear layer {name!r}, but {type(model).__name__} has {came} there")
        try:
            shapes = LoRA(Linear(base.in_features, base.out_features, bias=False), **config).to(dtype=base.weight.dtype)
            values = [state_value(key, arrays[f"{name}.{key}"], getattr(shapes, key).data) for key in LORA_ARRAYS]
        except (LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: {name}: {reason(error)}") from None
        new[name] = base, config, values
    for name, (base, config, values) in new.items():
        lora = LoRA(base, **config)
        for key, value in zip(LORA_ARRAYS, values, strict=True):
            getattr(lora, key).data[...] = backend.to_device(value, base.weight.device)
        parent, _, attribute = name.rpartition(".")
        setattr(modules[parent], attribute, lora)
    return model


def write_arrays(path: PathLike, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    """Write the arrays to a safetensors file, with `header` as JSON in its metadata. The write is atomic.

    The header in the file also has a checksum of names, values and the other entries of the header. `read_arrays`
    verifies it.
    """
    own = {name: np.asarray(backend.to_numpy(a), order="C") for name, a in arrays.items()}
    text = json.dumps(header | {"crc32": checksum(own, header)})
    write_atomically(path, to_bytes(own, metadata={"nnscratch": text}))


def checksum(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> str:
    """Return a CRC-32 of `header` and of the names, dtypes, shapes and values of `arrays`, in hexadecimal."""
    crc = zlib.crc32(json.dumps(header).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8), crc)
    return f"{crc:08x}"


def read_arrays(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the header of a safetensors file. The header is empty if nnscratch did not write it."""
    if Path(path).is_dir():
        raise FileNotFoundError(f"{path} is a folder: name a file in it, such as model.safetensors")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            header = json.loads((file.metadata() or {}).get("nnscratch", "{}"))
    except (SafetensorError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a complete safetensors file: {reason(error)}") from None
    except ValueError as error:  # a shape that NumPy does not support, for example 65 axes
        raise ValueError(f"{path} has an array that NumPy does not support: {reason(error)}") from None
    except (TypeError, AttributeError) as error:  # for example bfloat16
        raise ValueError(f"{path} has an array of a dtype that NumPy does not support: {reason(error)}") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path} is not a file of nnscratch: its header must be a dictionary, got {header!r:.50}")
    written = header.pop("crc32", None)  # older files have no checksum
    if written is not None and written != checksum(arrays, header):
        raise ValueError(f"{path} is damaged: its values do not match the checksum in it")
    return arrays, header


def write_atomically(path: PathLike, content: bytes, exist_ok: bool = True) -> None:
    """Write `content` to a temporary file, then rename it to `path`.

    A program that reads `path` gets the complete old file or the complete new one. With ``exist_ok=False``, an existing
    file is not replaced: FileExistsError is raised. Of several processes, only one can create the file.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with error_names(path), os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if sys.platform != "emscripten":  # in a browser, the umask is always 0o777: no program could read the file
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes a private file: give it the usual permissions
        if exist_ok:
            os.replace(temporary, path)
        else:
            _rename_to_new(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def error_names(path: PathLike) -> Iterator[None]:
    """Inside the block, add the name `path` to each OSError that names no file, for example if the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)
        raise


def _rename_to_new(temporary: str, path: Path) -> None:
    """Rename a file, or raise FileExistsError if `path` exists."""
    try:
        os.link(temporary, path)  # unlike os.replace, it fails if the path exists
    except FileExistsError:
        raise FileExistsError(f"{path} exists") from None
    except (OSError, AttributeError):  # the file system, or a browser, has no hard links
        path.touch(exist_ok=False)
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
