"""The reader and writer of safetensors files in Python: the same bytes and the same refusals as the library."""

import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnscratch import safetensors_file

CODES = ["bool", "i1", "u1", "i2", "u2", "f2", "i4", "u4", "f4", "f8", "i8", "u8"]
arrays = st.sampled_from(CODES).flatmap(lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, max_side=3)))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = texts.filter(lambda name: name != "__metadata__")


@given(found=st.dictionaries(names, arrays, max_size=5), text=texts)
@example(found={"e": np.zeros((0, 3)), "b": np.zeros(1, "u1"), "a": np.zeros(1, "i1")}, text='é"\\\x7f\x01\n\u2028')
def test_it_writes_the_librarys_bytes(found, text):
    metadata = {"nnscratch": text}
    assert safetensors_file.save(found, metadata=metadata) == safetensors.numpy.save(found, metadata=metadata)


@given(found=st.dictionaries(names, arrays, max_size=5))
def test_it_reads_what_the_library_wrote(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "a.safetensors"
    path.write_bytes(safetensors.numpy.save(found, metadata={"by": "the library"}))
    with safetensors_file.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"by": "the library"}
        assert sorted(file.keys()) == sorted(found)
        for name, array in found.items():
            read = file.get_tensor(name)
            assert read.dtype == array.dtype and tuple(file.get_slice(name).get_shape()) == array.shape
            np.testing.assert_array_equal(read, array)
            assert read.flags.writeable and read.flags.aligned


def content(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape=(2,), offsets=(0, 8), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


DAMAGED = {
    "empty": b"",
    "seven bytes": b"1234567",
    "a length beyond the end": content({}, length=50),
    "a huge length": content({}, length=1 << 60),
    "no JSON": content(b"{nonsense"),
    "no UTF-8": content(b'{"\xff": 1}'),
    "a list": content([1, 2]),
    "an entry that is no dictionary": content({"a": 3}),
    "an entry without a shape": content({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
    "values cut off": content({"a": entry()}, bytes(7)),
    "values left over": content({"a": entry()}, bytes(9)),
    "a gap": content({"a": entry(), "b": entry(offsets=(9, 17))}, bytes(17)),
    "an overlap": content({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
    "a shape of another size": content({"a": entry((3,))}, bytes(8)),
    "a negative size": content({"a": entry((-2,))}, bytes(8)),
    "a fraction as a size": content({"a": entry((2.0,))}, bytes(8)),
    "an unknown dtype": content({"a": entry(dtype="F31")}, bytes(8)),
    "nested too deep": content(b"[" * 100_000),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_both_refuse_a_damaged_file(name, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(DAMAGED[name])
    for library in (safetensors, safetensors_file):
        with pytest.raises(library.SafetensorError):
            library.safe_open(path, framework="numpy")


def test_an_array_of_bfloat16_is_a_type_error_and_text_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content({"a": entry(dtype="BF16", offsets=(0, 4))}, bytes(4)))
    with safetensors_file.safe_open(path) as file, pytest.raises(TypeError, match="BF16"):
        file.get_tensor("a")
    with pytest.raises(safetensors_file.SafetensorError, match="<U1"):
        safetensors_file.save({"a": np.array(["x"])})


BROWSER = """
import os, sys, threading
import numpy
BLOCKED = {"safetensors", "fcntl", "multiprocessing", "ctypes", "resource", "termios", "pwd"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] in BLOCKED]:
    del sys.modules[name]
sys.meta_path.insert(0, Blocker())
import matplotlib.figure
def refuse(*args, **kwargs):
    raise RuntimeError("can't start new thread")
threading.Thread.start, os.umask, os.fork = refuse, lambda mask: 0o777, refuse
sys.platform = "emscripten"

import numpy as np
import nnscratch as nn
from nnscratch.backend.threads import num_threads, run_concurrently
assert num_threads() == 1 and run_concurrently([lambda: 1, lambda: 2]) == [1, 2]
lstm = nn.LSTM(4, 5, num_layers=2, bidirectional=True, rng=0)
x = np.random.default_rng(0).normal(size=(3, 4, 4))
assert nn.gradcheck.check_gradients(lstm, x, mode="directional").ok
images, labels = nn.data.load_digits()
model = nn.models.MLP([64, 10], rng=0)
trainer = nn.Trainer(model, nn.CrossEntropyLoss(), nn.optim.Adam(model.parameters(), lr=0.01))
trainer.fit([(images[:50].reshape(50, 64), labels[:50])], epochs=2)
nn.save(model, "model.safetensors")
same = nn.load("model.safetensors")
assert all((a == b).all() for a, b in zip(model.state_dict().values(), same.state_dict().values(), strict=True))
with open("model.safetensors", "rb") as file:
    print(len(file.read()))
with nn.testing.exercise("1"):
    assert 1 + 1 == 2, "sums"
import nnscratch.cli, nnscratch.runs, nnscratch.exercises.checking
assert not [name for name in sys.modules if name.partition(".")[0] in BLOCKED]
"""


def test_the_package_trains_saves_and_checks_where_a_browser_lacks_libraries_threads_and_file_modes(tmp_path):
    done = subprocess.run([sys.executable, "-c", BROWSER], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Exercise 1: solved." in done.stdout
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o400
