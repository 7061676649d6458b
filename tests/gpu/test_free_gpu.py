"""The notebook for free GPUs runs, with a small model and few steps."""

import json
from pathlib import Path

import nnscratch as nn

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "free_gpu.ipynb"
SETTINGS = 'device, hidden_size, batch_size, seq_len, steps = "cuda", 512, 64, 100, 2000'
SMALL = 'device, hidden_size, batch_size, seq_len, steps = "cuda", 8, 16, 5, 4'


def test_the_notebook_runs(on_cuda, tmp_path, monkeypatch, capsys):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in cells)  # nothing was measured
    code = "\n".join(source for source in sources if not source.startswith("!"))
    assert SETTINGS in code
    code = code.replace(SETTINGS, SMALL)
    novel = nn.data.load_austen("pride_and_prejudice")[:3000]
    monkeypatch.setattr(nn.data, "load_austen", lambda title: novel)
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": "notebook"})
    printed = capsys.readouterr().out
    assert "times as fast" in printed and printed.count("bits per character on the validation text") == 4
    assert nn.load("model.safetensors")
