"""The benchmark beside another program: the page, and one short run."""

import json

import pytest

from benchmarks import busy
from nnscratch.bench.jobs import JOBS


def test_the_page_divides_by_the_quiet_time_and_names_what_is_missing():
    machine = {"blas": {}, "load_average": None, "processor": "CPU", "instructions": "", "threads": 2, "cores": 2}
    machine |= {"system": "Linux", "python": "3", "numpy": "2"}
    turns = {
        "fit": [[0.02, 0.08, 0.1], [0.01, 0.04, 0.05], [0.03, 0.12, 0.15]],
        "nnscratch train": [[0.02, 0.03, 0.05]],
        "PyTorch": [],
    }
    job = {"key": "c", "title": JOBS["c"].title, "turns": turns, "why": {"PyTorch": "no torch"}}
    results = {"machine": machine, "rounds": 3, "seconds": 4.0, "products": [[128, 32, 6e-5, 3.5e-5]], "jobs": [job]}
    page = busy.markdown(results)
    (row,) = [line for line in page.splitlines() if line.startswith("| (c)")]
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert cells == ["20.0", "4.00", "5.00", "20.0", "1.50", "2.50", "–", "–", "–"]
    assert "Not measured: PyTorch: no torch." in page
    (row,) = [line for line in page.splitlines() if line.startswith("| (512, 128)")]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["2.10", "60", "35"]


@pytest.mark.thorough
def test_a_short_run_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["busy", "--jobs", "e", "--rounds", "1", "--seconds", "0.2", "--out", str(tmp_path)]
    )
    assert busy.main() == 0
    found = json.loads((tmp_path / "busy.json").read_text())
    (job,) = found["jobs"]
    assert len(job["turns"]["fit"]) == len(job["turns"]["nnscratch train"]) == 1
    assert len(found["products"]) == len(busy.PRODUCTS)
