"""A complete LSTM language model, written as in PyTorch except for two calls of backward."""

import pytest
from seed_program import PROGRAM

SIZES = "embed_size=256, hidden_size=512"


@pytest.mark.parametrize(
    "sizes", [pytest.param(SIZES, marks=pytest.mark.thorough), "embed_size=128, hidden_size=128"]
)  # make test trains a smaller model
def test_the_seed_program_runs_as_it_stands(sizes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    assert SIZES in PROGRAM
    exec(compile(PROGRAM.replace(SIZES, sizes), "seed program", "exec"), names)
    assert capsys.readouterr().out.startswith("it is a truth ")
    assert names["loss"] < 7.5  # the initial loss is log 6,500 = 8.8
    assert [p.name for p in tmp_path.iterdir()] == ["language_model.safetensors"]
