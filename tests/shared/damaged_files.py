"""Damaged files for every reader of the package, and what a reader must do with them.

Each reader has a folder with good files. One of them is changed: its bytes, its JSON, or the JSON in the header of a
safetensors file. The reader may accept the changed file. Otherwise, it must raise ValueError with a short message that
names the folder. A checkpoint that is refused must leave the trainer unchanged. Warnings are errors.
"""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import nnscratch as nn
from nnscratch.data import BPETokenizer, CharTokenizer, WordTokenizer, load_text, read_idx
from nnscratch.description import full_name
from nnscratch.run_settings import Config
from nnscratch.runs import Run
from nnscratch.serialization import write_arrays
from nnscratch.training import EarlyStopping, resume

LONGEST_MESSAGE = 1000  # characters


@dataclass
class Reader:
    """A reader, the file that is changed, and good contents of the file."""

    path: Path
    read: Callable[[], Any]
    seeds: list[bytes]

    def check(self, content: bytes) -> bool:
        """Read a file with this content. Return True if it is accepted, False if it is refused as it should be."""
        self.path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                self.read()
            except ValueError as error:
                message = str(error)
                if str(self.path.parent) not in message:
                    raise AssertionError(f"the message does not name the file: {message}") from error
                if len(message) > LONGEST_MESSAGE:
                    raise AssertionError(f"the message is long: {message}") from error
                return False
        return True


# --- the readers ----------------------------------------------------------------------------------------------------


def readers(folder: Path) -> dict[str, Reader]:
    """Return all readers, each with good files in a new folder inside `folder`."""
    found: dict[str, Reader] = {}

    def add(name: str, file: str, read: Callable[[Path], Any], *seeds: Callable[[Path], Any]) -> None:
        where, contents = folder / name, []
        where.mkdir()
        path = where / file
        for write in seeds:
            write(path)
            contents.append(without_checksum(path.read_bytes()))
        found[name] = Reader(path, lambda: read(path), contents)

    text = "the cat sat on the mat. the dog sat on the cat.\n" * 4
    chars, words = CharTokenizer.from_text(text), WordTokenizer.from_text(text)
    bpe = BPETokenizer.from_text(text, 262)

    add("model", "model.safetensors", lambda path: repr(nn.load(path)), *(saves(model) for model in models()))
    into = nn.Sequential(nn.Linear(2, 3, rng=0), nn.BatchNorm1d(3))
    add("model-into", "model.safetensors", lambda path: nn.load(path, into), saves(into))
    lora = nn.Sequential(nn.LoRA(nn.Linear(2, 2, rng=0), rank=1, rng=0), nn.ReLU(), nn.Linear(2, 1, rng=0))
    add("lora", "lora.safetensors", lambda path: load_lora(path, lora), lambda path: nn.save_lora(lora, path))
    add("checkpoint", "checkpoint.safetensors", *resumed())
    add("idx", "images", read_idx, *(writes(data) for data in idx_files()))
    add("text", "notes.txt", load_text, writes(text.encode()), writes("\ufeffé\r\nΣ".encode()))
    add("char", "tokenizer.json", lambda path: used(CharTokenizer.load(path)), chars.save)
    add("word", "tokenizer.json", lambda path: used(WordTokenizer.load(path)), words.save)
    add("bpe", "tokenizer.json", lambda path: used(BPETokenizer.load(path)), bpe.save)
    for name, file in (("bpe-vocab", "vocab.json"), ("bpe-merges", "merges.txt")):
        add(name, file, lambda path: used(BPETokenizer.load(path.parent)), lambda path: both_files(bpe, path.parent))
    gpt2 = nn.models.TransformerLM(7, 4, num_heads=2, num_layers=1, context=5, tie_weights=True, rng=0)
    for name, file in (("gpt2-config", "config.json"), ("gpt2-weights", "model.safetensors")):
        save = lambda path: nn.save_gpt2(gpt2, path.parent)  # noqa: E731
        add(name, file, lambda path: nn.load_gpt2(path.parent), save)

    source = folder / "source.txt"
    source.write_text(text)

    def new_run(path: Path) -> None:
        if not path.exists():
            settings = {"hidden": 4, "embed": 3, "batch": 2, "seq_len": 4, "epochs": 1.0}
            Run.plan(path.parent, Config(str(source), **settings)).create()

    for name, file in (("run-config", "config.json"), ("run-tokenizer", "tokenizer.json")):
        add(name, file, lambda path: Run.open(path.parent), new_run)
    return found


def models() -> list[Any]:
    lstm = nn.models.LanguageModel(5, 3, 3, num_layers=2, dropout=0.1, tie_weights=True, rng=0)
    cnn = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, rng=0), nn.BatchNorm2d(2), nn.MaxPool2d(2), nn.Flatten())
    shared = nn.Linear(2, 2, rng=0)
    tied = nn.Sequential(shared, nn.GELU(), shared, nn.LeakyReLU(0.1), nn.Linear(2, 2, rng=0))
    tied[4].bias = tied[0].bias
    replaced = nn.models.MLP([2, 3, 2], rng=0)
    setattr(replaced.layers, "1", nn.Softmax())
    return [lstm, cnn, tied, replaced, nn.models.TransformerLM(5, 4, 2, 1, 6, rng=0)]


def saves(model: Any) -> Callable[[Path], None]:
    return lambda path: nn.save(model, path)


def writes(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


def load_lora(path: Path, model: Any) -> Any:
    return nn.load_lora(path, copy.deepcopy(model))


def used(tokenizer: Any) -> Any:
    """Encode and decode with the tokenizer. A text that it cannot encode is no fault of the file."""
    with contextlib.suppress(ValueError):
        return tokenizer.decode(tokenizer.encode("the cat"))


def both_files(tokenizer: Any, folder: Path) -> None:
    tokenizer.save(folder)
    (folder / "tokenizer.json").unlink()


def idx_files() -> list[bytes]:
    small = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)])
    return [small, bytes([0, 0, 13, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]), gzip.compress(small, mtime=0)]


def resumed() -> tuple[Callable[[Path], None], Callable[[Path], None]]:
    """Return a function that resumes from a checkpoint and makes a step, and a function that writes the checkpoint."""
    model = nn.models.LanguageModel(5, 3, 3, dropout=0.1, rng=0)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    stop = EarlyStopping(3)
    trainer = nn.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, callbacks=[stop], max_norm=1.0, progress=False
    )
    batches = nn.data.TextBatches(np.arange(40) % 5, batch_size=2, seq_len=4)
    trainer.fit(batches, valid=batches, steps=3, evaluate_every=2)
    arrays, header = copy.deepcopy(trainer.state_dict())

    def read(path: Path) -> None:
        try:
            resume(trainer, path.parent)
        except ValueError:
            now, now_header = trainer.state_dict()
            different = [name for name in header if now_header[name] != header[name]]
            different += [name for name, a in arrays.items() if not np.array_equal(now[name], a)]
            assert not different, f"a refused checkpoint changed {different}"
            raise
        try:
            with contextlib.suppress(ValueError, FloatingPointError), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the values of the file may be huge
                trainer.fit(batches, valid=batches, steps=trainer.steps_done + 1)
        finally:
            trainer.load_state_dict(arrays, copy.deepcopy(header))

    def write(path: Path) -> None:
        write_arrays(path, arrays, header)

    return read, write


# --- changed files ---------------------------------------------------------------------------------------------------


def unpacked(content: bytes) -> tuple[Any, bytes]:
    """Return the JSON header and the values of a safetensors file. Raise ValueError if it is not one."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= len(content) - 8:
        raise ValueError("no safetensors file")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def packed(header: Any, values: bytes) -> bytes:
    """Return the content of a safetensors file with this header."""
    text = as_json(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + values


def as_json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def without_checksum(content: bytes) -> bytes:
    """Remove the checksum from a file of nnscratch, because no change of the file would get past it."""
    try:
        header, values = unpacked(content)
        own = json.loads(header["__metadata__"]["nnscratch"])
    except (ValueError, LookupError, TypeError):
        return content
    del own["crc32"]
    header["__metadata__"]["nnscratch"] = json.dumps(own)
    return packed(header, values)


def changed(content: bytes, rng: random.Random) -> bytes:
    """Change one to three values of the JSON in a file, or raise ValueError if it has none."""
    try:
        try:
            header, values = unpacked(content)
        except ValueError:
            return as_json(changed_json(json.loads(content), rng))
        if rng.random() < 0.8:  # most of the package's code reads this part
            with contextlib.suppress(ValueError, LookupError, TypeError):
                own = changed_json(json.loads(header["__metadata__"]["nnscratch"]), rng)
                header["__metadata__"]["nnscratch"] = json.dumps(own)
                return packed(header, values)
        return packed(changed_json(header, rng), values)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """Change one to three bytes. One file in three is cut too."""
    made = bytearray(content)
    for _ in range(rng.randrange(1, 4) if made else 0):
        made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made[: rng.randrange(len(made) + 1)] if rng.random() < 1 / 3 else made)


def changed_json(content: Any, rng: random.Random) -> Any:
    """Remove, repeat, rename, move or replace one to three values of `content`."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        inner = list(entries(content))
        if not inner:
            return new_value(None, [], rng)
        owner, key = rng.choice(inner)
        what = rng.randrange(6)
        if what == 0:
            del owner[key]
        elif what == 1 and isinstance(owner, list):
            owner.insert(key, copy.deepcopy(owner[rng.randrange(len(owner))]))
        elif what == 1:
            owner[rng.choice(list(owner) + WORDS)] = owner.pop(key)
        elif what == 2 and isinstance(owner, list):
            rng.shuffle(owner)
        else:
            owner[key] = new_value(owner[key], inner, rng)
    return content


def entries(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each dictionary or list inside `content` together with each of its keys."""
    for key in list(content) if isinstance(content, dict) else range(len(content) if isinstance(content, list) else 0):
        yield content, key
        yield from entries(content[key])


NUMBERS = [0, 1, -1, 2, 3, 7, 1000, 10**6, 2**31, 2**63, 10**12, 10**30, -(10**30), 0.5, 1e308, -0.0, 5e-324]
OTHERS = [None, True, False, float("nan"), float("inf"), "", [], {}, [[]], [1, 1], {"a": 1}, "\0", "\ud800", "é" * 99]
WORDS = ["same", "class", "config", "modules", "replaced", "tied", "module", "a", "weight", "0", "lora", "model"]


def new_value(old: Any, inner: list[tuple[Any, Any]], rng: random.Random) -> Any:
    """Return a value that often breaks a program, a value near the old one, or one from elsewhere in the file."""
    what = rng.randrange(4)
    if what == 0 and inner:
        owner, key = rng.choice(inner)
        return copy.deepcopy(owner[key])
    if what == 1 and isinstance(old, (int, float)):
        return rng.choice([old + 1, old - 1, -old, 2 * old, float(old) if abs(old) < 1e300 else 0, str(old)[:99]])
    if what == 1 and isinstance(old, str):
        return rng.choice([old + old[:50], old[:-1], old[1:], old.upper(), [old]])
    if what == 2:
        return rng.choice(class_names())
    return rng.choice(NUMBERS + OTHERS + WORDS)


def class_names() -> list[str]:
    found, waiting = set(), [nn.Module]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            found.add(full_name(cls))
            waiting.append(cls)
    return sorted(found)
