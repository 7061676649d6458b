"""GPT-2: read and write the weights in the file format of Hugging Face's library ``transformers``.

    config.json         the sizes and settings            model.safetensors   the weights

GPT-2 is a `TransformerLM` whose parameters have other names. In each block, four weights also have a different layout:
the file stores them as (in, out), and `Linear` as (out, in).

    in the file                          here                                      shape here
    wte.weight                           embedding.weight                          (V, D)
    wpe.weight                           position.weight                           (context, D)
    h.0.ln_1.weight, .bias               blocks.0.norm1.weight, .bias              (D,)
    h.0.attn.c_attn.weight, .bias        blocks.0.self_attn.in_proj_weight, _bias  (3D, D), transposed, and (3D,)
    h.0.attn.c_proj.weight, .bias        blocks.0.self_attn.out_proj.weight, .bias (D, D), transposed, and (D,)
    h.0.ln_2.weight, .bias               blocks.0.norm2.weight, .bias              (D,)
    h.0.mlp.c_fc.weight, .bias           blocks.0.linear1.weight, .bias            (F, D), transposed, and (F,)
    h.0.mlp.c_proj.weight, .bias         blocks.0.linear2.weight, .bias            (D, F), transposed, and (D,)
    ln_f.weight, .bias                   norm.weight, .bias                        (D,)
    lm_head.weight                       linear.weight                             (V, D); absent if tied to wte.weight

All names except ``lm_head.weight`` may have the prefix ``transformer.``.

Reference: Radford, Wu, Child, Luan, Amodei and Sutskever (2019), "Language models are unsupervised multitask learners",
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend
from ..checks import check_instance, not_negative, one_of, positive_int, probability, reason, state_value
from ..init import without_drawing
from ..serialization import SafetensorError, safe_open, to_bytes, write_atomically
from .transformer_lm import TransformerLM

SIZES = {"vocab_size": "vocab_size", "n_embd": "embed_size", "n_head": "num_heads", "n_layer": "num_layers"}
SIZES |= {"n_positions": "context"}
"""The required keys of config.json, and the argument of `TransformerLM` for each key."""

DROPOUTS = {"resid_pdrop": "dropout", "embd_pdrop": "embedding_dropout", "attn_pdrop": "attention_dropout"}

ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
ACTIVATIONS |= {"gelu": "gelu", "relu": "relu"}
"""The activations that can be read. The first three are names of one function."""

ONLY = {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False, "add_cross_attention": False}
ONLY |= {"is_encoder_decoder": False, "quantization_config": None, "pruned_heads": {}}
"""Keys of config.json that change the computation. Only the value given here is supported; it is also the default."""

FORM = {"norm_first": True, "bias": True, "positions": "learned"}
"""The arguments of `TransformerLM` that always have these values in GPT-2."""

PREFIX, HEAD = "transformer.", "lm_head.weight"


def load_gpt2(folder: str | os.PathLike) -> TransformerLM:
    """Return the GPT-2 model in a folder that Hugging Face's library ``transformers`` wrote.

    The model is in training mode and has the dropout of its config.json. It is float64 if the weights in the file are
    float64, and float32 otherwise. This function was tested on random weights only.

    Parameters
    ----------
    folder : str or path
        It contains config.json and model.safetensors.

    Raises
    ------
    FileNotFoundError
        The folder or a file is missing.
    ValueError
        A file is damaged, the two files contradict each other, or the model has a setting that is not supported. The
        message names the file or the setting.

    Examples
    --------
    >>> import tempfile, numpy as np, nnscratch as nn
    >>> folder = tempfile.mkdtemp()
    >>> model = nn.models.TransformerLM(50, 8, num_heads=2, num_layers=2, context=16, tie_weights=True, rng=0)
    >>> nn.save_gpt2(model, folder)
    >>> same = nn.load_gpt2(folder)
    >>> tokens = np.array([[1, 2, 3]])
    >>> bool((same(tokens)[0] == model(tokens)[0]).all())
    True
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    config_path, path = folder / "config.json", folder / "model.safetensors"
    arguments = _arguments(_read_config(config_path), config_path)
    if not path.is_file():
        raise _no_weights(folder)
    try:
        with safe_open(path, framework="numpy") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            if arguments["num_layers"] > len(found):
                raise ValueError(f"config.json has n_layer {arguments['num_layers']}, but the file has fewer tensors")
            expected = _expected(arguments, PREFIX if f"{PREFIX}wte.weight" in found else "")
            _check_header(expected, found)  # checked first, so that the model cannot be larger than the file
            values = sum(math.prod(found[name].get_shape()) for name in expected)
            with without_drawing(4 * values):  # some weights are drawn twice, and some are replaced
                model = TransformerLM(**arguments, rng=0)
            if all(found[name].get_dtype() == "F64" for name in expected):
                model.to(dtype=np.float64)
            parameters = dict(model.named_parameters())
            for name, (own, _, transposed) in expected.items():
                value, data = file.get_tensor(name), parameters[own].data
                data[...] = state_value(name, value.T if transposed else value, data)
            if arguments["tie_weights"] and HEAD in found:
                if not np.array_equal(file.get_tensor(HEAD).astype(data.dtype), model.embedding.weight.data):
                    raise ValueError(f"config.json ties {HEAD} to wte.weight, but their values differ")
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file: {reason(error)}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {reason(error)}") from None
    return model


def save_gpt2(model: TransformerLM, folder: str | os.PathLike) -> None:
    """Write a model to a folder that ``transformers.GPT2LMHeadModel.from_pretrained`` reads.

    Parameters
    ----------
    model : TransformerLM
        GPT-2 has no dropout after the activation, so config.json does not contain `hidden_dropout`.
    folder : str or path
        The folder is created if it does not exist. To write the tokenizer's files too, call ``tokenizer.save(folder)``.

    Raises
    ------
    TypeError
        `model` is not a TransformerLM.
    ValueError
        `model` cannot be stored as a GPT-2: it has layers without biases, post-norm blocks or sinusoidal positions.

    Examples
    --------
    >>> import pathlib, tempfile, nnscratch as nn
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> nn.save_gpt2(nn.models.TransformerLM(50, 8, num_heads=2, num_layers=2, context=16), folder)
    >>> sorted(path.name for path in folder.iterdir())
    ['config.json', 'model.safetensors']
    """
    check_instance("save_gpt2", "model", model, TransformerLM)
    for name, value in FORM.items():
        if model.config()[name] != value:
            raise ValueError(f"save_gpt2: GPT-2 needs a model with {name}={value!r}, got {model.config()[name]!r}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state, arrays = model.state_dict(), {}
    for name, (own, _, transposed) in _expected(model.config(), PREFIX).items():
        array = backend.to_numpy(state[own])
        arrays[name] = np.ascontiguousarray(array.T if transposed else array)
    write_atomically(folder / "model.safetensors", to_bytes(arrays, metadata={"format": "pt"}))
    write_atomically(folder / "config.json", (json.dumps(_config_of(model), indent=2) + "\n").encode())


def is_gpt2(folder: str | os.PathLike) -> bool:
    """Return True if the config.json in `folder` names a model type, as the files of ``transformers`` do."""
    try:
        return "model_type" in _read_config(Path(folder) / "config.json")
    except (OSError, ValueError):
        return False


# --- config.json -----------------------------------------------------------------------------------------------------


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} holds no config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a JSON file: {reason(error)}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(config).__name__}")
    return config


def _arguments(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the arguments of `TransformerLM` for a config.json, or raise if a setting is not supported."""
    if config.get("model_type", "gpt2") != "gpt2":
        raise ValueError(f"{path}: model_type must be 'gpt2', got {config['model_type']!r}")
    for key, value in ONLY.items():
        if config.get(key, value) != value:
            raise ValueError(f"{path}: {key} must be {value!r}, got {config[key]!r}: nothing else is supported")
    missing = [key for key in SIZES if key not in config]
    if missing:
        raise ValueError(f"{path} does not hold {', '.join(missing)}")
    tied = config.get("tie_word_embeddings", True)
    if not isinstance(tied, bool):
        raise ValueError(f"{path}: tie_word_embeddings must be true or false, got {tied!r}")
    try:
        arguments: dict[str, Any] = {own: positive_int(key, config[key]) for key, own in SIZES.items()}
        if arguments["context"] < 2:
            raise ValueError(f"n_positions must be 2 or more, got {arguments['context']}")
        if arguments["embed_size"] % arguments["num_heads"]:
            raise ValueError(f"n_head must divide n_embd, got {config['n_head']} and {config['n_embd']}")
        activation = one_of("activation_function", config.get("activation_function", "gelu_new"), ACTIVATIONS)
        arguments["activation"] = ACTIVATIONS[activation]
        inner = config.get("n_inner")
        arguments["dim_feedforward"] = 4 * arguments["embed_size"] if inner is None else positive_int("n_inner", inner)
        arguments["layer_norm_eps"] = not_negative("layer_norm_epsilon", config.get("layer_norm_epsilon", 1e-5))
        for key, own in DROPOUTS.items():
            arguments[own] = probability(key, config.get(key, 0.1))
    except ValueError as error:
        raise ValueError(f"{path}: {reason(error)}") from None
    return arguments | {"tie_weights": tied, "hidden_dropout": 0.0}


def _config_of(model: TransformerLM) -> dict[str, Any]:
    """Return the content of config.json."""
    settings = model.config()
    # The last token of GPT-2's own vocabulary ends a text. In another vocabulary, it is unknown which token ends a
    # text.
    end = 50256 if model.vocab_size == 50257 else None
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **{key: settings[own] for key, own in SIZES.items()},
        "n_inner": settings["dim_feedforward"],
        "activation_function": next(name for name, own in ACTIVATIONS.items() if own == settings["activation"]),
        "layer_norm_epsilon": settings["layer_norm_eps"],
        **{key: settings[own] for key, own in DROPOUTS.items()},
        "tie_word_embeddings": settings["tie_weights"],
        "bos_token_id": end,
        "eos_token_id": end,
    }


# --- model.safetensors -----------------------------------------------------------------------------------------------


def _expected(arguments: dict[str, Any], prefix: str) -> dict[str, tuple[str, tuple[int, ...], bool]]:
    """Return, for each name in the file, our name and shape, and True if the file has the transpose."""
    V, D, F = arguments["vocab_size"], arguments["embed_size"], arguments["dim_feedforward"]
    names = {"wte.weight": ("embedding.weight", (V, D)), "wpe.weight": ("position.weight", (arguments["context"], D))}
    norms, products = {"ln_f": "norm"}, {}
    for k in range(arguments["num_layers"]):
        theirs, ours = f"h.{k}", f"blocks.{k}"
        norms |= {f"{theirs}.ln_1": f"{ours}.norm1", f"{theirs}.ln_2": f"{ours}.norm2"}
        products |= {
            f"{theirs}.attn.c_attn": (f"{ours}.self_attn.in_proj_", (3 * D, D)),
            f"{theirs}.attn.c_proj": (f"{ours}.self_attn.out_proj.", (D, D)),
            f"{theirs}.mlp.c_fc": (f"{ours}.linear1.", (F, D)),
            f"{theirs}.mlp.c_proj": (f"{ours}.linear2.", (D, F)),
        }
    for theirs, ours in norms.items():
        names |= {f"{theirs}.weight": (f"{ours}.weight", (D,)), f"{theirs}.bias": (f"{ours}.bias", (D,))}
    found = {prefix + name: (own, shape, False) for name, (own, shape) in names.items()}
    for theirs, (ours, shape) in products.items():
        found[f"{prefix}{theirs}.weight"] = f"{ours}weight", shape, True
        found[f"{prefix}{theirs}.bias"] = f"{ours}bias", shape[:1], False
    if not arguments["tie_weights"]:
        found[HEAD] = "linear.weight", (V, D), False
    return found


def _check_header(expected: dict[str, tuple[str, tuple[int, ...], bool]], found: dict[str, Any]) -> None:
    """Raise unless the file has exactly the tensors that config.json describes."""
    if missing := sorted(expected.keys() - found.keys()):
        raise ValueError(f"the file does not hold {missing[0]}, which is part of the model that config.json describes")
    masks = (".attn.bias", ".attn.masked_bias")  # old files contain the causal mask too
    unknown = [name for name in found if name not in expected and name != HEAD and not name.endswith(masks)]
    if unknown:
        raise ValueError(f"the file holds {unknown[0]}, which is not part of the model that config.json describes")
    for name, (_, shape, transposed) in expected.items():
        came, dtype = tuple(found[name].get_shape()), found[name].get_dtype()
        shape = shape[::-1] if transposed else shape
        if came != shape:
            raise ValueError(f"{name} has the shape {came}, but config.json requires {shape}")
        if dtype not in ("F16", "F32", "F64"):
            raise ValueError(
                f"{name} has the dtype {dtype}; convert the weights to float32, for example with "
                f"model.float().save_pretrained(folder) of transformers"
            )


def _no_weights(folder: Path) -> Exception:
    if (folder / "pytorch_model.bin").is_file():
        return ValueError(
            f"{folder} holds its weights in pytorch_model.bin, a pickle file: reading it can run any program. If you "
            f"trust the file, convert it once: transformers.GPT2LMHeadModel.from_pretrained(folder)"
            f".save_pretrained(folder) writes model.safetensors"
        )
    if (folder / "model.safetensors.index.json").is_file():
        return ValueError(
            f"{folder} holds its weights in several files; write them into one with "
            f'model.save_pretrained(folder, max_shard_size="100GB") of transformers'
        )
    return FileNotFoundError(f"{folder} holds no model.safetensors")
