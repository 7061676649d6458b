"""The code in docs/gpu.md runs."""

import re
from pathlib import Path


def test_the_code_of_the_page_runs(on_cuda, tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "gpu.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks), {"__name__": "page"})
