"""Damaged files for every reader: see `damaged_files`. ``make fuzz-files`` searches for worse ones, for hours."""

import random

import pytest
from damaged_files import changed, changed_bytes, readers

READERS = sorted(["model", "model-into", "lora", "checkpoint", "idx", "text", "char", "word", "bpe", "bpe-vocab",
                  "bpe-merges", "gpt2-config", "gpt2-weights", "run-config", "run-tokenizer"])  # fmt: skip


def read_damaged_files(reader, count):
    """Change good files `count` times. Some changes are made to files that were changed before."""
    rng, files = random.Random(0), list(reader.seeds)
    assert all(reader.check(content) for content in files)
    for _ in range(count):
        content = rng.choice(files)
        try:
            content = changed(content, rng)
        except ValueError:  # no JSON
            content = changed_bytes(content, rng)
        if reader.check(content):
            files.append(content)


@pytest.fixture(scope="module")
def every_reader(tmp_path_factory):
    return readers(tmp_path_factory.mktemp("readers"))


def test_every_reader_is_tested(every_reader):
    assert sorted(every_reader) == READERS


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_refused_by_name(every_reader, name):
    read_damaged_files(every_reader[name], 40)


@pytest.mark.thorough
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_are_refused_by_name(every_reader, name):
    read_damaged_files(every_reader[name], 1500)
