"""Fits, verdicts and the list of libraries in benchmarks/."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from nnscratch.bench.jobs import JOBS

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks/ is not part of an installation")


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize(
    ("kind", "curve"),
    [
        ("linear", lambda x: 5 + 3 * x),
        ("quadratic", lambda x: 5 + 3 * x**2),
        ("inverse", lambda x: 5 + 3 / x),
        ("power", lambda x: 5 * x**1.7),
    ],
)
def test_a_fit_finds_the_curve_that_made_the_numbers(load, kind, curve):
    x = np.array([1, 3, 10, 30, 100])
    found = load("growth").fit(x, curve(x))
    assert found.kind == kind and found.error < 1e-8
    assert (found.a, found.b) == pytest.approx((5, 1.7 if kind == "power" else 3))
    np.testing.assert_allclose(found(x), curve(x))


def test_the_growth_page_has_every_size_and_a_picture(load, tmp_path):
    growth = load("growth")
    sweeps = []
    for sweep in growth.SWEEPS:
        x = [sweep.x(value) for value in sweep.values]
        y = [2.0 * v for v in x]
        fits = {name: vars(growth.fit(x, y)) for name in ("time_fit", "memory_fit")}
        entry = {"name": sweep.name, "label": sweep.label, "base": sweep.base, "x": x}
        sweeps.append(entry | {"microseconds_a_token": y, "peak_mib": y} | fits)
        assert sweep.job(sweep.values[0]).tokens > 0
    machine = {
        "processor": "Fast CPU", "instructions": "", "cores": 2, "threads": 2, "system": "Linux", "python": "3.11",
        "numpy": "2.4", "load_average": [0.1, 0.1, 0.1], "blas": {"library": "Intel MKL", "version": None},
    }  # fmt: skip
    results = {"schema": 1, "machine": machine, "import_bytes": 40 * 2**20, "sweeps": sweeps}
    text = growth.markdown(json.loads(json.dumps(results)))
    for sweep in growth.SWEEPS:
        assert f"| {sweep.label}" in text
    assert "all logits at once" in text and "Intel MKL" in text and "40 MiB" in text
    growth.draw(results, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_the_check_is_about_ratios_and_their_thresholds(load):
    check = load("check")
    rows = check.verdicts({"a": 0.60, "c": 0.90, "d": None}, {"a": 0.65, "c": 0.8, "d": 0.8, "e": 0.6})
    assert [row[-1] for row in rows] == ["ok", "slower", "not measured", "not measured"]
    thresholds = json.loads(check.THRESHOLDS.read_text())
    assert {"a", "c", "d", "e", "f", "ga", "gc", "h", "j"} == set(thresholds) <= set(JOBS)
    assert all(0 < limit <= 2.5 for limit in thresholds.values())


def test_every_library_has_a_module_that_builds(load):
    libraries = load("libraries").LIBRARIES
    assert len({library.key for library in libraries}) == len(libraries) == 8
    for library in libraries[3:]:
        assert callable(importlib.import_module(library.module).build)
