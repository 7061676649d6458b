"""A complete LSTM language model, written as in PyTorch except for two calls of backward."""

from seed_program import PROGRAM


def test_the_seed_program_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(PROGRAM, "seed program", "exec"), names)
    assert capsys.readouterr().out.startswith("it is a truth ")
    assert names["loss"] < 7.5  # the initial loss is log 6,500 = 8.8
    assert [p.name for p in tmp_path.iterdir()] == ["language_model.safetensors"]
