"""The canaries of benchmarks.memory are where its page says, and the page has a row for each number of copies."""

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks/ is not part of an installation")


def test_every_canary_is_in_the_training_examples_only():
    from benchmarks import memory

    tokenizer, canaries, train, clean, others = memory.examples_with_canaries(np.random.default_rng(0))
    texts = [tokenizer.decode(example) for example in train]
    for canary, copies in zip(canaries, memory.COPIES, strict=True):
        assert sum(canary.text in text for text in texts) == copies
    for examples in (clean, others):
        assert not any("the code of" in tokenizer.decode(example) for example in examples)


def test_the_page_is_that_of_the_recorded_results():
    from benchmarks import memory

    results = json.loads((ROOT / memory.TARGET).with_suffix(".json").read_text(encoding="utf-8"))
    written = (ROOT / memory.TARGET).read_text(encoding="utf-8")
    table = [line for line in memory.page(results, (0, 0)).splitlines() if line.startswith("| ")]
    assert len(table) == 10 and all(line in written for line in table)
