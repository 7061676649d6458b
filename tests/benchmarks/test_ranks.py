"""The benchmark on two ranks: the formula, its fit, the page, and one short run."""

import json
import math

import pytest

from benchmarks import ranks
from nnscratch.bench.jobs import JOBS


def job(key, one, half, two, all_cores):
    turns = {"all cores": [all_cores, 2 * all_cores], "one core": [one], "half": [half], "two ranks": [two, 2 * two]}
    turns |= {"PyTorch": [0.02], "PyTorch DDP": []}
    return {"key": key, "title": JOBS[key].title, "turns": turns, "why": {"PyTorch DDP": "no torch"}, "losses": {}}


def test_an_embedding_with_more_rows_than_tokens_travels_as_rows():
    weights = sum(4 * w.size for w in JOBS["c"].weights().values())
    assert ranks.bytes_of(JOBS["c"]) == weights  # 65 rows and 2,048 tokens
    words = JOBS["a"].weights()
    embedding = words.pop("embedding.weight")
    assert ranks.bytes_of(JOBS["a"]) == sum(4 * w.size for w in words.values()) + 700 * (4 * embedding.shape[1] + 8)


def test_the_formula_gives_the_times_that_it_was_made_from():
    assert ranks.seconds_on(1, 3.0, 2.0, 10**6, 1.0, 1e6) == 3.0  # one rank sends nothing
    assert ranks.seconds_on(2, 3.0, 2.0, 10**6, 0.0, 1e6) == 2.0 + 1.0
    assert ranks.seconds_on(4, 3.0, 2.0, 10**6, 1e-3, 1e6) == pytest.approx(1.5 + 3 * 4e-3 + 1.5)
    assert ranks.seconds_on(64, 3.0, 1.0, 0, 0.0, 1.0) == 3.0 / 64  # noise must not make a negative


def test_ratios_are_taken_within_a_turn():
    entry = job("c", 0.02, 0.012, 0.013, 0.018)
    assert ranks.ratio(entry, "two ranks", "all cores") == pytest.approx(0.013 / 0.018)
    assert math.isnan(ranks.ratio(entry, "two ranks", "PyTorch DDP"))


def test_the_page_answers_for_each_job_and_names_what_is_missing():
    machine = {"blas": {}, "load_average": None, "processor": "CPU", "instructions": "", "threads": 2, "cores": 2}
    machine |= {"system": "Linux", "python": "3", "numpy": "2"}
    jobs = [job("c", 0.02, 0.012, 0.0126, 0.018), job("a", 0.5, 0.4, 0.3, 0.27)]
    page = ranks.markdown({"machine": machine, "rounds": 2, "messages": [(8, 1e-5), (10**6, 1e-3)], "jobs": jobs})
    assert "batch 32, 64 steps: two ranks take 0.70 times as long as one process. They are faster." in page
    assert "batch 20, 35 steps: two ranks take 1.11 times as long as one process. They are slower." in page
    assert "Not measured: PyTorch DDP: no torch." in page
    rows = [line for line in page.splitlines() if line.startswith("| (c) 100 Gb/s")]
    speed_ups = [float(cell) for cell in rows[0].split("|")[2:-1]]
    assert len(speed_ups) == 6 and speed_ups == sorted(speed_ups) and speed_ups[0] == 1.7


@pytest.mark.thorough
def test_a_short_run_writes_the_page(tmp_path, monkeypatch):
    pytest.importorskip("mpi4py", reason="needs mpi4py")
    monkeypatch.setattr(
        "sys.argv", ["ranks", "--jobs", "c", "--rounds", "1", "--seconds", "0.1", "--out", str(tmp_path)]
    )
    assert ranks.main() == 0
    (found,) = json.loads((tmp_path / "ranks.json").read_text())["jobs"]
    assert all(len(found["turns"][name]) == 1 for name in ("all cores", "one core", "half", "two ranks"))
    assert found["losses"]["two ranks"] == pytest.approx(found["losses"]["all cores"], rel=1e-4)
