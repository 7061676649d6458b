"""The disk is full while a file is written: the old file stays whole, and the error names the file.

A limit of the size of files stands for the full disk: the system refuses to write more.
"""

import contextlib

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.bench.report import write as write_results
from nnscratch.exercises.folder import ExerciseFolder
from nnscratch.plotting import Animation, plot_history, save_figure

resource = pytest.importorskip("resource", reason="limits the size of files")

SIZES = {"vocab_size": 7, "embed_size": 4, "num_heads": 2, "num_layers": 1, "context": 5, "tie_weights": True}
HISTORY = nn.training.History(loss=[2.0, 1.0], lr=[0.1, 0.1], norm=[1.0, 1.0])
RESULTS = {"libraries": {}, "runs": [], "seconds": 1.0, "repeats": 1}


def train(folder):
    model = nn.Linear(3, 2, rng=0)
    optimizer = nn.optim.Adam(model.parameters())
    trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[nn.training.Checkpoint(folder)], progress=False)
    if (folder / "checkpoint.safetensors").exists():
        nn.training.resume(trainer, folder)
    batch = np.ones((2, 3), dtype=np.float32), np.ones((2, 2), dtype=np.float32)
    trainer.fit([batch], steps=trainer.steps_done + 2)


def bpe():
    return nn.data.BPETokenizer.from_text("the cat sat on the mat", 258)


WRITERS = {
    "a model": lambda folder: nn.save(nn.Linear(9, 9), folder / "model.safetensors"),
    "LoRA": lambda folder: nn.save_lora(nn.Sequential(nn.LoRA(nn.Linear(9, 9), rank=2)), folder / "lora.safetensors"),
    "GPT-2": lambda folder: nn.save_gpt2(nn.models.TransformerLM(**SIZES), folder),
    "a checkpoint": train,
    "characters": lambda folder: nn.data.CharTokenizer.from_text("abcdefghij" * 9).save(folder / "tokenizer.json"),
    "BPE in a file": lambda folder: bpe().save(folder / "tokenizer.json"),
    "BPE in a folder": lambda folder: bpe().save(folder),
    "a picture": lambda folder: save_figure(plot_history(HISTORY), folder / "loss.png"),
    "an animation": lambda folder: Animation(lambda figure, k: None, ["a", "b"], (1, 1)).save(folder / "film.gif"),
    "measurements": lambda folder: write_results(RESULTS, folder),
    "exercises": lambda folder: ExerciseFolder.start(folder, ["sigmoid"]),
}


@contextlib.contextmanager
def full_disk():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", WRITERS)
def test_the_old_files_stay_whole_and_the_error_names_the_file(name, tmp_path):
    WRITERS[name](tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(), pytest.raises(OSError, match="File too large") as refused:
        WRITERS[name](tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
