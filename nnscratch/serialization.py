"""Saving and loading: weights as safetensors, under PyTorch's names, and never a pickle.

A file holds the arrays of ``model.state_dict()`` and, in its text header, what the model is: class and arguments. So
``nn.load`` rebuilds the models of this package from the file alone, and PyTorch's ``safetensors.torch.load_file`` reads
the same file as a state dict.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from . import backend
from .module import Module

PathLike = str | os.PathLike
RENAMED = {  # classes that were renamed or moved: files written before name them so
    "nnscratch.module.Sequential": "nnscratch.sequential.Sequential",
    "nnscratch.layers.attention.MultiHeadAttention": "nnscratch.layers.attention.MultiheadAttention",
}


def save(model: Module, path: PathLike) -> None:
    """Write `model`'s weights and what it takes to rebuild it. The file appears whole or not at all.

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
        raise TypeError(f"nn.save(model, path): model must be a Module, got {type(model).__name__}")
    write_arrays(path, model.state_dict(), {"model": describe(model)})


def load(path: PathLike, model: Module | None = None) -> Module:
    """The model in the file, ready to train on or to use.

    Parameters
    ----------
    path : str or path
    model : Module, optional
        For a class of your own, which cannot be rebuilt by name: build it yourself, and it is filled and returned.

    Raises
    ------
    FileNotFoundError
    ValueError
        The file is no safetensors file, is cut short, or holds another model. Nothing has been changed then.

    Examples
    --------
    >>> import tempfile, pathlib, nnscratch as nn
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "linear.safetensors"
    >>> model = nn.Linear(2, 3)
    >>> nn.save(model, path)
    >>> bool((nn.load(path).weight.data == model.weight.data).all())
    True
    """
    state, header = read_arrays(path)
    if model is None:
        if "optimizer" in header:
            raise ValueError(
                f"{path} is a training checkpoint: load model.safetensors beside it, or go on with "
                f"nn.training.resume or nnscratch train --resume"
            )
        if "model" not in header:
            raise ValueError(
                f"{path} does not say what model it holds (PyTorch wrote it?): build one, and nn.load(path, model)"
            )
        try:
            model = build(header["model"])
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: its description of the model is broken ({error!r})") from None
        for dtype in {a.dtype for a in state.values() if a.dtype.kind == "f"}:
            model.to(dtype=dtype)
    try:
        model.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return model


def describe(model: Module, seen: dict[int, int] | None = None) -> dict[str, Any]:
    """What `build` needs: the class, its arguments and, where these are modules, theirs. JSON can hold it.

    A module met for the second time, whose weights are shared, is given as its number among those in `seen`.
    """
    seen = {} if seen is None else seen
    if id(model) in seen:
        return {"same": seen[id(model)]}
    config = {k: {"class": full_name(v)} if isinstance(v, type) else v for k, v in model.config().items()}
    spec: dict[str, Any] = {"class": full_name(type(model)), "config": config}
    if inner := model.constructor_modules():
        spec["modules"] = [describe(module, seen) for module in inner]
    seen[id(model)] = len(seen)
    return spec


def build(spec: dict[str, Any], made: list[Module] | None = None) -> Module:
    """The module a description speaks of, with new weights. A file can name classes of this package only."""
    made = [] if made is None else made
    if "same" in spec:
        return made[spec["same"]]
    config = {k: find_class(v["class"]) if isinstance(v, dict) else v for k, v in spec["config"].items()}
    made.append(find_class(spec["class"])(*[build(inner, made) for inner in spec.get("modules", ())], **config))
    return made[-1]


def full_name(cls: type) -> str:
    """Module and name of a class: nnscratch.layers.linear.Linear."""
    return f"{cls.__module__}.{cls.__qualname__}"


def find_class(full: str) -> type[Module]:
    """The Module of this package with that full name, or an error that says why there is none."""
    full = RENAMED.get(full, full)
    where, _, name = full.rpartition(".")
    if where != "nnscratch" and not where.startswith("nnscratch."):
        raise ValueError(f"{full} is not part of nnscratch: build it yourself, and nn.load(path, model)")
    try:
        cls = getattr(importlib.import_module(where), name)
    except (ImportError, AttributeError):
        raise ValueError(f"this version of nnscratch has no {full}") from None
    if not (isinstance(cls, type) and issubclass(cls, Module)):
        raise ValueError(f"{full} is no Module")
    return cls


def write_arrays(path: PathLike, arrays: dict[str, Any], header: dict[str, Any]) -> None:
    """A safetensors file of the arrays, `header` kept as JSON in its metadata; written atomically."""
    own = {name: np.asarray(backend.to_numpy(a), order="C") for name, a in arrays.items()}
    write_atomically(path, to_bytes(own, metadata={"nnscratch": json.dumps(header)}))


def read_arrays(path: PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the header of a safetensors file; the header is empty if nnscratch did not write it."""
    if Path(path).is_dir():
        raise FileNotFoundError(f"{path} is a folder: name a file in it, such as model.safetensors")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            header = json.loads((file.metadata() or {}).get("nnscratch", "{}"))
    except (SafetensorError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None
    except (TypeError, AttributeError) as error:  # such as bfloat16
        raise ValueError(f"{path} holds numbers of a type that NumPy does not have: {error}") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path} is no file of nnscratch: its header must be a dictionary, got {header!r:.50}")
    return arrays, header


def write_atomically(path: PathLike, content: bytes) -> None:
    """Write beside `path` and rename: whoever reads `path`, at any moment, finds the old file or the new one."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private; this one is an ordinary file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
