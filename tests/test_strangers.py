"""Files from strangers: a file may hold anything. It is refused by name, and takes no more memory than its size."""

import gzip
import json
import os
import struct
import tracemalloc

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.data import read_idx
from nnscratch.data.tokenizers.hugging_face import SYMBOLS
from nnscratch.run_settings import Config
from nnscratch.runs import Run
from nnscratch.serialization import read_arrays, write_arrays

DEEP = "[" * 100_000 + "]" * 100_000
LINEAR = {"class": "nnscratch.layers.linear.Linear", "config": {"in_features": 2, "out_features": 2}}


def peak_memory(call):
    tracemalloc.start()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("head", [bytes([0, 0, 8, 1, 0, 0, 0, 10]), b"\0", bytes([0, 0, 8, 1, 0, 0, 1, 0])])
def test_a_small_compressed_file_that_unpacks_to_a_large_one_takes_no_memory(tmp_path, head):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(head + bytes(1 << 26)))
    assert path.stat().st_size < 100_000

    def refuse():
        with pytest.raises(ValueError, match="truncated or too long|not an IDX file"):
            read_idx(path)

    assert peak_memory(refuse) < 8 << 20


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_header_that_promises_more_than_the_file_holds_takes_no_memory(tmp_path, compress):
    path = tmp_path / "images"
    path.write_bytes(compress(bytes([0, 0, 8, 3]) + struct.pack(">III", 1 << 20, 1 << 20, 1) + b"abc"))

    def refuse():
        with pytest.raises(ValueError, match=r"needs 1,099,511,627,792 bytes, and the file has 19"):
            read_idx(path)

    assert peak_memory(refuse) < 4 << 20


def file_with(tmp_path, header, **arrays):
    path = tmp_path / "model.safetensors"
    write_arrays(path, arrays or {"weight": np.zeros((2, 2)), "bias": np.zeros(2)}, header)
    return path


@pytest.mark.parametrize(("model", "message"), [
    (LINEAR | {"tied": [["weight", "bias"]]}, "ties weight and bias, which have different shapes"),
    (LINEAR | {"tied": [["weight", "forward"]]}, "cannot be read"),
    (LINEAR | {"tied": 3}, "cannot be read"),
    (LINEAR | {"replaced": {"": LINEAR}}, "cannot be read"),
    (LINEAR | {"modules": [3]}, "cannot be read"),
    (LINEAR | {"config": {"in_features": 1e308, "out_features": 2}}, "in_features must be an integer"),
    (LINEAR | {"config": {"in_features": 10**30, "out_features": 2}}, "larger than the number of values"),
    (LINEAR | {"class": "nnscratch." + "a." * 100_000}, "must be a short string"),
    (LINEAR | {"class": ["x"]}, "must be a short string"),
    (LINEAR | {"class": "nnscratch.cli.main"}, "is not a Module|has no nnscratch.cli.main"),
    (LINEAR | {"class": "os.system"}, "is not part of nnscratch"),
])  # fmt: skip
def test_a_description_that_cannot_be_right_is_refused(tmp_path, model, message):
    with pytest.raises(ValueError, match=message) as refused:
        nn.load(file_with(tmp_path, {"model": model}))
    assert len(str(refused.value)) < 500


def test_deep_json_is_refused(tmp_path):
    from safetensors.numpy import save

    for text in (DEEP, '{"model":' + DEEP + "}"):
        path = tmp_path / "model.safetensors"
        path.write_bytes(save({"a": np.zeros(2)}, metadata={"nnscratch": text}))
        for read in (nn.load, read_arrays):
            with pytest.raises(ValueError, match="recursion|Stack overflow"):
                read(path)
    (tmp_path / "tokenizer.json").write_text(DEEP)
    with pytest.raises(ValueError, match="nested too deeply"):
        nn.data.BPETokenizer.load(tmp_path)


@pytest.mark.parametrize("lora", [3, None, [], {"0": 3}, {"0": {"rank": "x"}}, {"": {}}, {"0": {"rank": 10**9}}])
def test_a_lora_file_that_cannot_be_right_is_refused_and_changes_nothing(tmp_path, lora):
    model = nn.Sequential(nn.Linear(2, 2, rng=0))
    path = file_with(tmp_path, {"lora": lora}, **{"0.lora_A": np.zeros((1, 2)), "0.lora_B": np.zeros((2, 1))})
    with pytest.raises(ValueError):
        nn.load_lora(path, model)
    assert type(model[0]) is nn.Linear


SETTINGS = json.loads(json.dumps(Config("text.txt").__dict__))


@pytest.mark.parametrize(("name", "value"), [
    *((name, value) for name in SETTINGS for value in ([], {})),
    ("level", "x" * 1000), ("cell", "x"), ("optimizer", 3), ("lr", "x"), ("hidden", -1), ("patience", 0),
    ("source", None), ("valid", 3), ("tie", 1), ("tie", None), ("batch", None), ("batch", True), ("batch", 2.0),
    ("seq_len", 0), ("heads", 0), ("layers", 10**9), ("hidden", 10**30), ("seed", 1 << 70), ("steps", 10**4000),
    ("lr", float("nan")), ("lr", float("inf")), ("decay", float("nan")), ("hold", float("inf")), ("clip", 10**400),
])  # fmt: skip
def test_a_setting_of_another_type_or_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be ") as refused:
        Config(**SETTINGS | {name: value}).check()
    assert len(str(refused.value)) < 400


def test_the_settings_of_every_kind_of_run_pass():
    from nnscratch.run_settings import DEFAULTS, PRESETS, TRANSFORMER

    for settings in (*DEFAULTS.values(), *PRESETS.values(), TRANSFORMER | {"cell": "transformer"}, {"seed": 0}):
        Config(**settings | {"source": "text.txt"}).check()


@pytest.mark.parametrize("form", ["the library", "the description", "the JSON"])
def test_the_message_about_a_file_does_not_repeat_a_long_part_of_it(tmp_path, form):
    long = "x" * 5000
    if form == "the JSON":
        (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": long}}))
        read, path = nn.data.BPETokenizer.load, tmp_path
    elif form == "the library":
        path = tmp_path / "model.safetensors"
        header = json.dumps({"a": {"dtype": long, "shape": [1], "data_offsets": [0, 4]}}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
        read = nn.load
    else:
        config = {"in_features": 2, "out_features": 2, "bias": long}
        read, path = nn.load, file_with(tmp_path, {"model": LINEAR | {"config": config}})
    with pytest.raises(ValueError, match=r"safetensors|tokenizer\.json") as refused:
        read(path)
    assert len(str(refused.value)) < 1000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
@pytest.mark.parametrize("link", [True, False])
def test_a_pipe_or_a_device_is_not_read(tmp_path, link):
    """Reading /dev/zero or a pipe never ends. A link to a device can be part of an archive."""

    def put(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if link:
            path.symlink_to("/dev/zero")
        else:
            os.mkfifo(path)
        return path

    file = put(tmp_path / "file.json")
    loads = [tokenizer.load for tokenizer in (nn.data.CharTokenizer, nn.data.WordTokenizer, nn.data.BPETokenizer)]
    for read in (*loads, nn.data.load_text):
        with pytest.raises(ValueError, match=r"file\.json is not a regular file"):
            read(file)
    for read in (nn.load, nn.data.read_idx):
        with pytest.raises(FileNotFoundError, match=r"file\.json"):
            read(file)
    config = Config(**SETTINGS | {"source": "text.txt"})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(config.__dict__))
    put(tmp_path / "run" / "tokenizer.json")
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a regular file"):
        Run.open(tmp_path / "run")
    put(tmp_path / "gpt2" / "config.json")
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        nn.load_gpt2(tmp_path / "gpt2")


@pytest.mark.parametrize("shape", [[0] * 65, [0, 2**62]])
def test_a_shape_that_numpy_does_not_support_is_refused_by_name(tmp_path, shape):
    path = tmp_path / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match=r"model\.safetensors has an array that NumPy does not support"):
        nn.load(path)
    path = tmp_path / "images"
    sizes = [min(size, 2**32 - 1) for size in [*shape, *[2**32 - 1] * 2]]
    path.write_bytes(bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes))
    with pytest.raises(ValueError, match="images has an array that NumPy does not support"):
        read_idx(path)


def test_many_special_tokens_take_time_proportional_to_their_number():
    """If each token of the vocabulary is compared with each special token, 60,000 special tokens take minutes."""
    comparisons = 0

    class Counted(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal comparisons
            comparisons += 1
            return str.__eq__(self, other)

    special = [Counted(f"<{number}>") for number in range(300)]
    tokenizer = nn.data.BPETokenizer([*SYMBOLS, *map(str, special)], [], special)
    assert tokenizer.encode("a<7>").tolist() == [SYMBOLS.index("a"), 256 + 7]
    assert comparisons < 20 * len(special)


def test_a_lora_file_needs_a_model_and_all_its_arrays(tmp_path):
    path = file_with(tmp_path, {"lora": {"0": {"rank": 1}}})
    with pytest.raises(TypeError, match="load_lora: model must be an instance of Module"):
        nn.load_lora(path, "model")
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold 0\.lora_A, which its header names"):
        nn.load_lora(path, nn.Sequential(nn.Linear(2, 2)))
