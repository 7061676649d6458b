"""Each lane of a text continues from batch to batch, and shuffled batches contain every row once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnscratch.data import Batches, TextBatches


@st.composite
def texts_and_sizes(draw):
    """Tokens, a batch size and a length that make at least one whole batch."""
    lanes, steps = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    length = lanes * steps + 1 + draw(st.integers(0, 60))
    return np.array(draw(st.lists(st.integers(0, 99), min_size=length, max_size=length))), lanes, steps


# --- TextBatches -----------------------------------------------------------------------------------------------------


@given(texts_and_sizes())
def test_lanes_laid_end_to_end_are_the_text_in_order(drawn):
    tokens, lanes, steps = drawn
    batches = TextBatches(tokens, lanes, steps)
    inputs = np.concatenate([x for x, _ in batches], axis=1)  # (N, L): each lane from its batches
    targets = np.concatenate([y for _, y in batches], axis=1)
    np.testing.assert_array_equal(inputs.ravel(), tokens[: batches.num_tokens])
    np.testing.assert_array_equal(targets.ravel(), tokens[1 : batches.num_tokens + 1])


@given(texts_and_sizes())
def test_targets_are_the_inputs_one_step_on_also_from_batch_to_batch(drawn):
    tokens, lanes, steps = drawn
    before = None
    for inputs, targets in TextBatches(tokens, lanes, steps):
        np.testing.assert_array_equal(targets[:, :-1], inputs[:, 1:])
        if before is not None:
            np.testing.assert_array_equal(before[:, -1], inputs[:, 0])
        before = targets


@given(texts_and_sizes())
def test_all_batches_are_whole_but_the_last_and_fewer_tokens_than_lanes_are_left_out(drawn):
    tokens, lanes, steps = drawn
    batches = TextBatches(tokens, lanes, steps)
    shapes = [inputs.shape for inputs, _ in batches]
    assert len(shapes) == len(batches)
    assert all(shape == (lanes, steps) for shape in shapes[:-1])
    assert shapes[-1][0] == lanes and 1 <= shapes[-1][1] <= steps
    assert batches.num_tokens == sum(n * t for n, t in shapes)
    assert 0 <= len(tokens) - 1 - batches.num_tokens < lanes


@given(texts_and_sizes())
def test_any_batch_can_be_taken_by_its_number_and_any_number_of_times(drawn):
    batches = TextBatches(*drawn)
    first, second = list(batches), list(batches)
    for number in range(len(batches)):
        for again in (second[number], batches[number], batches[number - len(batches)]):
            np.testing.assert_array_equal(again, first[number])
    for number in (len(batches), -len(batches) - 1):
        with pytest.raises(IndexError, match=rf"there are {len(batches)} batches"):
            batches[number]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16])
def test_batches_are_int64_and_read_only_and_the_tokens_stay_the_callers(dtype):
    tokens = np.arange(20, dtype=dtype)
    for array in TextBatches(tokens, 2, 3)[0]:
        assert array.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 7
    tokens[0] = 7  # the caller may still write to it


def test_int64_tokens_are_not_copied():
    tokens = np.arange(20)
    inputs, targets = TextBatches(tokens, 2, 3)[0]
    assert np.shares_memory(inputs, tokens) and np.shares_memory(targets, tokens)


def test_a_transform_changes_the_inputs_of_each_pass_anew_and_never_the_targets():
    tokens = np.arange(1, 102)
    batches = TextBatches(tokens, 4, 5, transform=lambda x, rng: np.where(rng.random(x.shape) < 0.5, 0, x), rng=0)
    plain = TextBatches(tokens, 4, 5)
    passes = [list(batches), list(batches)]
    for one_pass in passes:
        for (inputs, targets), (whole, right) in zip(one_pass, plain, strict=True):
            np.testing.assert_array_equal(targets, right)
            assert ((inputs == 0) | (inputs == whole)).all() and (inputs == 0).any()
    assert any((first[0] != second[0]).any() for first, second in zip(*passes, strict=True))
    np.testing.assert_array_equal(batches[0][0], plain[0][0])
    with pytest.raises(TypeError, match="transform must be a function"):
        TextBatches(tokens, 4, 5, transform=0.5)


def test_a_text_shorter_than_one_batch_is_refused_with_the_length_it_needs():
    assert len(TextBatches(np.arange(7), 2, 3)) == 1
    with pytest.raises(ValueError, match="has 6 tokens, too few for one batch: .* needs 7"):
        TextBatches(np.arange(6), 2, 3)
    with pytest.raises(ValueError, match="has 0 tokens"):
        TextBatches([], 1, 1)


def test_wrong_tokens_and_sizes_are_refused():
    with pytest.raises(TypeError, match="tokens must be integers, got float64"):
        TextBatches(np.arange(20.0), 2, 3)
    with pytest.raises(TypeError, match="tokens must be integers, got bool"):
        TextBatches(np.ones(20, dtype=bool), 2, 3)
    with pytest.raises(TypeError, match="tokens must be integers, got <U"):
        TextBatches(list("a text that has not been encoded"), 2, 3)
    with pytest.raises(ValueError, match="tokens must be 0 or more, got -5 at position 2"):
        TextBatches([0, 1, -5, 2, -7], 1, 1)
    with pytest.raises(ValueError, match=r"shape \(length,\), got shape \(4, 5\)"):
        TextBatches(np.arange(20).reshape(4, 5), 2, 3)
    for sizes, name in (((0, 3), "batch_size"), ((2, -1), "seq_len"), ((2.0, 3), "batch_size"), ((2, True), "seq_len")):
        with pytest.raises(ValueError, match=f"{name} must be an integer of 1 or more"):
            TextBatches(np.arange(20), *sizes)


# --- Batches ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 12), st.booleans(), st.integers(0, 5))
def test_an_epoch_carries_every_row_once_with_its_own_label(rows, size, shuffle, seed):
    x, y = np.arange(rows * 2.0).reshape(rows, 2), np.arange(rows)
    batches = Batches(x, y, size, shuffle=shuffle, rng=seed)
    seen = list(batches)
    assert len(seen) == len(batches)
    assert [len(labels) for _, labels in seen[:-1]] == [size] * (len(seen) - 1)
    for rows_of_x, labels in seen:
        np.testing.assert_array_equal(rows_of_x, x[labels])
    labels = np.concatenate([labels for _, labels in seen])
    np.testing.assert_array_equal(np.sort(labels) if shuffle else labels, y)


def test_a_tuple_of_inputs_gives_the_same_rows_of_each():
    tokens, lengths, y = np.arange(20).reshape(10, 2), np.arange(10), np.arange(10) * 3
    for (rows, counts), labels in Batches((tokens, lengths), y, 4, rng=1):
        np.testing.assert_array_equal(rows[:, 0], 2 * counts)
        np.testing.assert_array_equal(labels, 3 * counts)
    cut = Batches((tokens, lengths), y, 4, transform=lambda x, rng: (x[0][:, :1], x[1]), shuffle=False)
    assert next(iter(cut))[0][0].tolist() == [[0], [2], [4], [6]]
    ((only,), _) = next(iter(Batches((tokens,), y, 4)))
    assert only.shape == (4, 2)
    with pytest.raises(ValueError, match=r"x\[0\] and x\[1\] and y must have the same .*, got 10 and 9 and 10"):
        Batches((tokens, lengths[1:]), y, 4)
    with pytest.raises(TypeError, match=r"x\[1\]: expected a NumPy or CuPy array, got list"):
        Batches((tokens, [1]), y, 4)
    with pytest.raises(ValueError, match="y must have the same number of rows"):
        Batches((), y, 4)


@pytest.mark.parametrize(("rows", "size", "sizes"), [(10, 4, [4, 4]), (8, 4, [4, 4]), (4, 4, [4])])
def test_drop_last_leaves_out_a_batch_that_is_not_full(rows, size, sizes):
    batches = Batches(np.zeros(rows), np.arange(rows), size, rng=0, drop_last=True)
    assert [len(labels) for _, labels in batches] == sizes and len(batches) == len(sizes)
    with pytest.raises(ValueError, match="drop_last leaves no batch: there are 3 rows, and batch_size is 4"):
        Batches(np.zeros(3), np.zeros(3), 4, drop_last=True)


@pytest.mark.parametrize("size", [0, -2, 1.5, True])
def test_a_batch_size_that_is_changed_later_is_checked(size):
    batches = Batches(np.zeros(3), np.zeros(3), 2)
    batches.batch_size = size
    with pytest.raises(ValueError, match="batch_size must be"):
        next(iter(batches))


def epoch(batches):
    return np.concatenate([labels for _, labels in batches]).tolist()


def test_each_epoch_has_an_order_of_its_own_and_a_seed_fixes_them_all():
    x = y = np.arange(50)
    batches, twin = Batches(x, y, 8, rng=3), Batches(x, y, 8, rng=3)
    first, second = epoch(batches), epoch(batches)
    assert first != second
    assert [epoch(twin), epoch(twin)] == [first, second]


def test_the_generators_state_put_back_gives_the_epoch_again():
    x = y = np.arange(50)
    batches = Batches(x, y, 8, rng=3)
    epoch(batches)
    state = batches.rng.bit_generator.state
    second = epoch(batches)
    batches.rng.bit_generator.state = state
    assert epoch(batches) == second


@pytest.mark.parametrize("shuffle", [True, False])
def test_writing_into_a_batch_leaves_the_data_alone(shuffle):
    x, y = np.zeros((6, 2)), np.zeros(6)
    for rows, labels in Batches(x, y, 4, shuffle=shuffle):
        rows += 1
        labels += 1
    assert not x.any() and not y.any()


def test_wrong_rows_and_sizes_are_refused():
    with pytest.raises(ValueError, match="same number of rows, 1 or more, got 3 and 4"):
        Batches(np.zeros((3, 2)), np.zeros(4), 2)
    with pytest.raises(ValueError, match="same number of rows, 1 or more, got 0 and 0"):
        Batches(np.zeros((0, 2)), np.zeros(0), 2)
    with pytest.raises(ValueError, match="batch_size must be an integer of 1 or more, got 0"):
        Batches(np.zeros((3, 2)), np.zeros(3), 0)
    with pytest.raises(TypeError, match="y: expected a NumPy or CuPy array, got list"):
        Batches(np.zeros((3, 2)), [0, 1, 2], 2)
    with pytest.raises(ValueError, match="y must have rows"):
        Batches(np.zeros((3, 2)), np.array(1.0), 2)
    with pytest.raises(TypeError, match="rng must be"):
        Batches(np.zeros((3, 2)), np.zeros(3), 2, rng="seed")
