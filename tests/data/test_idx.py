"""IDX files are read, compressed or not, and damaged files raise an error."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnscratch.data import load_idx, read_idx

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array):
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim])
    return header + np.array(array.shape, ">u4").tobytes() + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_folder(folder, *, count=5, compress=False, dotted=False):
    rng = np.random.default_rng(0)
    written = {}
    for part in ("train", "t10k"):
        for what, array in (("images-idx3", rng.integers(0, 256, (count, 4, 3), "u1")),
                            ("labels-idx1", rng.integers(0, 10, count, "u1"))):  # fmt: skip
            name = f"{part}-{what}-ubyte"
            written[name], data = array, idx_bytes(array)
            name = name.replace("-idx", ".idx") if dotted else name
            (folder / (f"{name}.gz" if compress else name)).write_bytes(gzip.compress(data) if compress else data)
    return written


@given(data=st.data(), code=st.sampled_from(list(CODES)), compress=st.booleans())
def test_what_is_written_is_read(tmp_path_factory, data, code, compress):
    array = data.draw(hnp.arrays(np.dtype(code), hnp.array_shapes(max_dims=3, max_side=4)))
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx_bytes(array)) if compress else idx_bytes(array))
    result = read_idx(path)
    np.testing.assert_array_equal(result, array)
    assert result.dtype == array.dtype


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_a_folder_gives_images_between_0_and_1_and_labels(tmp_path, compress, dotted):
    written = write_folder(tmp_path, compress=compress, dotted=dotted)
    for (images, labels), part in zip(load_idx(tmp_path), ("train", "t10k"), strict=True):
        assert images.dtype == np.float32 and labels.dtype == np.int64
        np.testing.assert_allclose(images * 255, written[f"{part}-images-idx3-ubyte"], atol=1e-4)
        np.testing.assert_array_equal(labels, written[f"{part}-labels-idx1-ubyte"])


def test_a_small_compressed_file_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes(32 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is truncated or too long: .* needs 11 bytes, and the file has more"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_folder_or_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder"):
        load_idx(tmp_path / "nowhere")
    write_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        FileNotFoundError, match="holds neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz; it hold"
    ):
        load_idx(tmp_path)


def test_images_and_labels_that_do_not_fit_together_are_refused(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(4, "u1")))
    with pytest.raises(ValueError, match="train images and labels do not match"):
        load_idx(tmp_path)


WHOLE = idx_bytes(np.arange(12, dtype="u1").reshape(3, 4))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is not an IDX file: its first bytes are missing"),
    (b"\x89PNG\r\n", "is not an IDX file: its first bytes are 89 50 4e 47"),
    (WHOLE[:6], "is truncated: its header needs 12 bytes, and the file has 6"),
    (WHOLE[:-1], r"is truncated or too long: shape \(3, 4\) of uint8 needs 24 bytes, and the file has 23"),
    (WHOLE + b"\0", "is truncated or too long"),
    (gzip.compress(WHOLE, mtime=0)[:-9], "is damaged or truncated"),
])  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_idx(tmp_path / "other")
