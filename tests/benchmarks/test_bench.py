"""The benchmark: its arithmetic, the same work for each library, and its tables. No speed is tested."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import nnscratch as nn
from nnscratch import blas
from nnscratch.bench import command, ours, report, runner
from nnscratch.bench.jobs import JOBS, parameter_shapes, select
from nnscratch.bench.runner import Library, Result, Worker, agree, measure_job
from nnscratch.cli import main

PEER = """
import itertools

def build(job, variant):
    if variant == "cannot":
        raise NotImplementedError("has no LSTM")
    if variant == "missing":
        import a_library_that_nobody_has
    if variant == "broken":
        raise ZeroDivisionError("oh no")
    numbers = itertools.count(1)
    peer = {"version": "9.9", "step": lambda: 1 / next(numbers)}
    if variant == "prints":
        print("hello from a library that prints when it is imported")
    if variant == "dies":
        import os
        return {"step": lambda: os._exit(7), "check": lambda: [1.0, 1 / 2, 1 / 3]}
    if variant == "later":  # a GPU's steps: nothing is done before finish()
        import time
        losses = []
        def finish():
            time.sleep(0.01 * len(losses))
            values = losses[:]
            losses.clear()
            return values
        return {"step": lambda: losses.append(1 / next(numbers)), "finish": finish}
    return peer | ({"check": lambda: [1.0, 0.6, 1 / 3]} if variant == "other" else {})
"""


@pytest.fixture
def peers(tmp_path):
    (tmp_path / "a_fake_peer.py").write_text(PEER)

    def measured(*variants):
        libraries = [Library(v or "same", v or "same", "a_fake_peer", "import json", v) for v in variants]
        results = measure_job(JOBS["c"], libraries, 2, 1e-4, dict(os.environ), roots=[tmp_path])
        return {result.library: result for result in results}

    return measured


def test_the_ratio_is_that_of_the_medians_over_all_steps():
    one = Result("one", rounds=[[1.0, 3.0], [2.0, 100.0, 2.0]])
    two = Result("two", rounds=[[4.0], [4.0, 5.0]])
    results = {r.library: r.to_dict() for r in (one, two, Result("three", why="not installed"))}
    assert one.median == 2.0 and report.ratio({"results": results}, "one", "two") == 0.5
    assert report.ratio({"results": results}, "one", "three") is None


def test_only_equal_numbers_are_the_same_work():
    assert agree([9.21034, 9.2], [9.21035, 9.2])
    assert not agree([9.210, 9.2], [9.212, 9.2])
    assert not agree([9.21], [9.25])
    assert not agree([9.21], [9.21, 9.2])
    assert not agree([], [])
    assert not agree([float("nan")], [float("nan")])


def test_a_peer_with_other_losses_gets_no_number(peers):
    found = peers("", "other")
    assert found["same"].median > 0
    assert found["other"].median is None
    assert "different values: [1, 0.6, 0.333333], and same computes [1, 0.5, 0.333333]" in found["other"].why


def test_a_peer_that_cannot_is_told_from_one_that_is_missing_or_broken(peers):
    found = peers("", "cannot", "missing", "broken", "dies")
    assert found["cannot"].why == "has no LSTM"
    assert found["missing"].why.startswith("not installed") and "a_library_that_nobody_has" in found["missing"].why
    assert found["broken"].why == "failed: ZeroDivisionError: oh no"
    assert "stopped with code 7" in found["dies"].why
    assert found["same"].median > 0 and len(found["same"].rounds) == 2


class OneStepTakes:
    """A worker whose steps take a given time, and that counts its steps."""

    def __init__(self, seconds):
        self.seconds, self.steps = seconds, []

    def run(self, count, warm=0):
        self.steps.append(count)
        return {"seconds": [self.seconds] * count, "memory": 1}


def test_a_step_longer_than_its_share_of_time_is_not_run_twice_to_learn_that():
    slow, quick = OneStepTakes(9.0), OneStepTakes(0.1)
    results = [Result("slow"), Result("quick")]
    runner.take_turns({0: slow, 1: quick}, results, repeats=2, seconds=2.0, say=lambda turn: None)
    assert slow.steps == [1, 1, 1]  # one warm-up step, then one per round
    assert quick.steps[:2] == [1, 2] and quick.steps[2:] == [11, 11]  # ten measured steps and one to warm up
    assert results[0].median == 9.0 and len(results[1].rounds[0]) == 10


def test_steps_that_a_gpu_makes_later_are_timed_with_the_wait_for_them(tmp_path):
    (tmp_path / "a_fake_peer.py").write_text(PEER)
    libraries = [Library(variant, variant, "a_fake_peer", "import json", variant) for variant in ("same", "later")]
    same, later = measure_job(JOBS["c"], libraries, 2, 0.5, dict(os.environ), roots=[tmp_path])
    assert later.why is None and later.median >= 0.01 and len(later.rounds) == 2
    assert all(len(turn) > 1 and len(set(turn)) == 1 for turn in later.rounds)  # the mean of the turn
    assert same.median < 0.01 and len(set(same.rounds[0])) > 1


def test_the_warm_up_of_steps_that_are_made_later_is_timed_on_its_own(tmp_path):
    (tmp_path / "a_fake_peer.py").write_text(PEER)
    later = Library("later", "later", "a_fake_peer", "import json", "later")
    with Worker(later, JOBS["c"], dict(os.environ), [tmp_path]) as process:
        assert process.read_answer()["check"] == [1.0, 1 / 2, 1 / 3]
        seconds = process.run(5, warm=2)["seconds"]
    assert len(seconds) == 5 and len(set(seconds[:2])) == len(set(seconds[2:])) == 1 and seconds[0] != seconds[2]


def test_what_a_library_prints_does_not_disturb_its_answers(peers):
    assert peers("", "prints")["prints"].why is None


def test_without_our_own_numbers_the_others_are_still_measured(peers):
    found = peers("broken", "")
    assert found["broken"].median is None and found["same"].median > 0


def test_our_own_jobs_start_from_the_weights_given_and_are_what_they_say():
    for key in ("c", "e", "gc"):
        peer = ours.build(JOBS[key], "")
        assert peer["version"] == nn.__version__ and np.isfinite(peer["step"]())
    job = JOBS["c"]
    model = nn.models.LanguageModel(65, 64, 128, 1, rng=0)
    shapes = {name: shape for name, (shape, _) in parameter_shapes(job).items()}
    assert {name: p.shape for name, p in model.named_parameters()} == shapes
    model.load_state_dict(job.weights())
    (tokens, targets), *_ = job.batches(1)
    logits, _ = model(tokens)
    assert ours.build(job, "")["step"]() == pytest.approx(nn.CrossEntropyLoss()(logits, targets), rel=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="no way to ask for the peak there")
def test_a_worker_measures_its_own_memory_not_its_parents():
    held = np.ones(50_000_000 // 8)  # 50 MB that the worker does not have
    with Worker(runner.OURS, JOBS["e"], {**os.environ, "OPENBLAS_NUM_THREADS": "1"}) as worker:
        first = worker.read_answer()
        assert len(first["check"]) == 3 and len(worker.run(2)["seconds"]) == 2
    assert 10e6 < first["memory"] < 400e6 and held.sum() > 0


def test_imports_are_timed_each_in_a_new_process():
    libraries = [Library("json", "json", "", "import json"), Library("no", "no", "", "import a_library_nobody_has")]
    found, missing = measure_job(JOBS["k"], libraries, 2, 1.0, dict(os.environ))
    assert found.median > 0 and len(found.rounds) == 2
    assert missing.median is None and missing.why.startswith("not installed")


def test_jobs_are_named_by_letter():
    assert [job.key for job in select("g")] == ["ga", "gc"]
    assert [job.key for job in select(" c , a,c")] == ["c", "a"]
    assert len(select(None)) == len(JOBS)
    for text in ("z", "", ","):
        with pytest.raises(ValueError, match="the jobs are a, b"):
            select(text)
    with pytest.raises(ValueError, match="there is no peer theano; the peers are torch, compile"):
        command.choose([runner.OURS, *runner.PYTORCH], "theano")


def test_the_environment_of_a_worker(monkeypatch):
    monkeypatch.setenv(blas.VARIABLE, "SkylakeX")
    assert runner.environment_for(None, None)[blas.VARIABLE] == "SkylakeX"  # the user's choice is kept
    monkeypatch.setenv(blas.OURS, "1")
    assert blas.VARIABLE not in runner.environment_for(None, None)  # as found: without our change
    assert runner.environment_for("Haswell", 2)[blas.VARIABLE] == "Haswell"
    assert runner.environment_for("Haswell", 2)["OPENBLAS_NUM_THREADS"] == "2"


def test_both_kernels_are_run_only_where_another_is_faster(monkeypatch):
    speeds = {"Haswell": {"a": 216.0}, "SkylakeX": {"a": 427.0}}
    monkeypatch.setattr(blas, "compare_kernels", lambda flags: ("Haswell", speeds))
    monkeypatch.setattr(blas, "processor", lambda: blas.Processor("Fast CPU", blas.AVX2))
    assert runner.kernels_to_run("both") == [("as found (Haswell)", None), ("kernel SkylakeX", "SkylakeX")]
    assert runner.kernels_to_run("best") == [("kernel SkylakeX", "SkylakeX")]
    assert runner.kernels_to_run("found") == [("as found", None)]
    assert runner.kernels_to_run("found, Haswell") == [("as found", None), ("kernel Haswell", "Haswell")]
    with pytest.raises(ValueError, match="lacks instructions"):
        runner.kernels_to_run("SkylakeX")
    with pytest.raises(ValueError, match="must be one of these words: found, best, both, "):
        runner.kernels_to_run("Pentium")
    monkeypatch.setattr(blas, "compare_kernels", lambda flags: ("SkylakeX", speeds))
    ((heading, kernel),) = runner.kernels_to_run("both")
    assert kernel is None and "no other kernel is clearly faster" in heading


RESULTS = {
    "schema": 1,
    "libraries": {"nnscratch": "nnscratch", "torch": "PyTorch", "dezero": "DeZero"},
    "repeats": 5,
    "seconds": 5.0,
    "runs": [
        {
            "kernel": "as found",
            "machine": {
                "processor": "Fast CPU", "instructions": "AVX2", "cores": 2, "threads": 2, "system": "Linux",
                "python": "3.11", "numpy": "2.4", "load_average": None,
                "blas": {"library": "OpenBLAS", "version": "0.3.31", "kernel": "Haswell", "threads": 2},
            },
            "jobs": [
                {
                    "key": "ga", "title": "generate", "unit": "ms a token", "per": 100, "kind": "generate",
                    "results": {
                        "nnscratch": {"median_seconds": 0.1, "peak_bytes": 2**20 * 50, "version": "0.1.0"},
                        "torch": {"median_seconds": 0.4, "peak_bytes": 2**20 * 300, "version": "2.13", "threads": 2},
                        "dezero": {"why": "not installed"},
                    },
                }
            ],
        }
    ],
}  # fmt: skip


def test_the_page_shows_times_ratios_memory_and_why_a_place_is_empty(tmp_path):
    text = report.markdown(RESULTS)
    time, over, memory = [line.split("|") for line in text.splitlines() if line.startswith("| (ga)")]
    assert [c.strip() for c in time[2:-1]] == ["1.00", "4.00", "–", "ms a token"]
    assert [c.strip() for c in over[2:-1]] == ["0.25", "–"]
    assert [c.strip() for c in memory[2:-1]] == ["50", "300", "–"]
    assert "- DeZero, ga: not installed" in text and "kernel Haswell, 2 threads" in text
    assert "PyTorch 2.13 (2 threads)" in text
    page, data = report.write(RESULTS, tmp_path / "new")
    assert page.read_text(encoding="utf-8") == text and json.loads(data.read_text()) == RESULTS


def test_the_command_measures_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner, "kernels_to_run", lambda which: [("as found", None)])
    options = ["--jobs", "e", "--peers", "none", "--repeats", "1", "--seconds", "0.001", "--threads", "1"]
    assert main(["bench", *options, "--out", str(tmp_path)]) == 0
    assert "(e) train: MLP" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["schema"] == 1 and results["libraries"] == {"nnscratch": "nnscratch"}
    ((job,), machine) = results["runs"][0]["jobs"], results["runs"][0]["machine"]
    assert job["results"]["nnscratch"]["median_seconds"] > 0 and len(job["results"]["nnscratch"]["check"]) == 3
    assert {"processor", "cores", "threads", "numpy", "blas", "python", "load_average"} <= machine.keys()
    assert main(["bench", "--jobs", "z"]) == 2
    assert main(["bench", "--jobs", "e", "--repeats", "0"]) == 2


def test_jobs_measured_again_take_their_old_places_and_new_ones_come_in_order(tmp_path):
    def results(kernel, **medians):
        jobs = [{"key": key, "results": {"nnscratch": {"median_seconds": m}}} for key, m in medians.items()]
        return RESULTS | {"runs": [{"kernel": kernel, "jobs": jobs}]}

    merged = report.merge(results("as found", a=1.0, h=2.0), results("as found", h=3.0, c=4.0))
    ((run,), shown) = (
        merged["runs"],
        [(j["key"], j["results"]["nnscratch"]["median_seconds"]) for j in merged["runs"][0]["jobs"]],
    )
    assert run["kernel"] == "as found" and shown == [("a", 1.0), ("c", 4.0), ("h", 3.0)]
    both = report.merge(results("as found", a=1.0), results("kernel Haswell", a=2.0))
    assert [run["kernel"] for run in both["runs"]] == ["as found", "kernel Haswell"]
    with pytest.raises(ValueError, match="seconds differ: 5.0 and 1.0"):
        report.merge(RESULTS, RESULTS | {"seconds": 1.0})
    report.write(RESULTS, tmp_path)
    report.write(RESULTS, tmp_path, add=True)
    assert json.loads((tmp_path / "results.json").read_text()) == RESULTS


def test_the_shipped_files_that_workers_load_import_nothing_of_the_package_but_each_other():
    for name in ("jobs", "worker", "pytorch"):
        text = (Path(runner.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        assert "nnscratch" not in "".join(line for line in text.splitlines() if "import" in line.split()[:3])
