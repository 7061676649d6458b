"""The bundled data sets equal the originals; other texts are read, or a clear error is raised."""

import hashlib
import re
from importlib.resources import files

import numpy as np
import pytest

from nnscratch.data import AUSTEN, austen_split, load_austen, load_digits, load_text

FOLDER = files("nnscratch.data") / "files"
SHA256 = dict(
    (name, digest)
    for digest, name in re.findall(r"([0-9a-f]{64})  (\S+)", (FOLDER / "README.md").read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("title", AUSTEN)
def test_a_novel_is_the_original_to_the_byte(title):
    assert hashlib.sha256(load_austen(title).encode("utf-8")).hexdigest() == SHA256[f"{title}.txt"]


def test_the_digits_are_the_original_to_the_byte():
    assert hashlib.sha256((FOLDER / "digits.csv.gz").read_bytes()).hexdigest() == SHA256["digits.csv.gz"]


def test_the_six_novels_have_the_size_that_figures_are_reported_on():
    texts = [load_austen(title) for title in AUSTEN]
    assert sum(map(len, texts)) == 4_025_028
    assert len(set("".join(texts))) == 81


def test_an_unknown_title_is_refused_with_the_list_of_titles():
    with pytest.raises(ValueError, match="mansfield_park.*got 'Emma'"):
        load_austen("Emma")


def test_the_split_cuts_each_novel_after_the_last_line_break_before_90_and_95_percent():
    train, valid, test = austen_split()
    for title in AUSTEN:  # computed again here, line by line, to find a mistake in the code
        text = load_austen(title)
        lines, cuts, place = text.splitlines(keepends=True), [0, 0], 0
        for line in lines:
            place += len(line)
            for number, limit in enumerate((0.90 * len(text), 0.95 * len(text))):
                if place <= limit:
                    cuts[number] = place
        first, second = cuts
        assert text[first - 1] == text[second - 1] == "\n"
        head, train = train[:first], train[first:]
        middle, valid = valid[: second - first], valid[second - first :]
        tail, test = test[: len(text) - second], test[len(text) - second :]
        assert (head, middle, tail) == (text[:first], text[first:second], text[second:])
    assert train == valid == test == ""


def test_the_digits_are_floats_between_0_and_1_with_all_ten_labels():
    images, labels = load_digits()
    assert images.shape == (1797, 8, 8) and images.dtype == np.float32
    assert labels.shape == (1797,) and labels.dtype == np.int64
    assert images.min() == 0 and images.max() == 1
    assert set(labels.tolist()) == set(range(10))
    np.testing.assert_array_equal(images[0, 0] * 16, [0, 0, 5, 13, 9, 1, 0, 0])  # the first row of the first zero


def test_load_text_reads_utf8_without_its_mark_and_with_plain_line_breaks(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_bytes("\ufeffÄ rose\r\nis — a\rrose\n".encode())
    assert load_text(path) == load_text(str(path)) == "Ä rose\nis — a\nrose\n"


def test_load_text_names_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt: there is no such file"):
        load_text(tmp_path / "nothing.txt")


def test_load_text_refuses_a_folder(tmp_path):
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))} is a folder"):
        load_text(tmp_path)


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf"])
def test_load_text_refuses_a_file_without_text(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        load_text(path)


@pytest.mark.parametrize(
    ("content", "place"), [("café".encode("latin-1"), r"byte 3 \(0xe9\)"), ("a".encode("utf-16"), "byte 0")]
)
def test_load_text_says_which_byte_is_not_utf8(tmp_path, content, place):
    path = tmp_path / "old.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"old\.txt is not UTF-8 text: {place}"):
        load_text(path)
