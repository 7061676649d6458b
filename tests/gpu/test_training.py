"""Whole models, the Trainer, generation, the gradient checker and checkpoints on "cuda"."""

import numpy as np
import pytest
import strict_cupy
from cases import LAYERS, LOSSES

import nnscratch as nn
from nnscratch import backend
from nnscratch.gradcheck import check_gradients
from nnscratch.training import Checkpoint, TrainingDiverged, accuracy, confusion_matrix, resume

TOKENS = np.random.default_rng(0).integers(0, 11, 400)
MODELS = {
    "LSTM": lambda: nn.models.LanguageModel(11, 6, 8, 2, dropout=0.3, rng=1),
    "tied GRU": lambda: nn.models.LanguageModel(11, 8, 8, 1, tie_weights=True, cell="gru", rng=1),
    "RNN": lambda: nn.models.LanguageModel(11, 6, 8, 2, cell="rnn", rng=1),
    "Transformer": lambda: nn.models.TransformerLM(11, 8, 2, 2, 16, dropout=0.3, rng=1),
}
every_model = pytest.mark.parametrize("name", MODELS)


def text():
    return nn.data.TextBatches(TOKENS, batch_size=4, seq_len=9)


def trainer_for(name, device, dtype=np.float64, **settings):
    model = MODELS[name]().to(device, dtype=dtype)
    optimizer = nn.optim.Adam(model.parameters(), lr=0.01)
    return nn.Trainer(model, nn.CrossEntropyLoss(), optimizer, max_norm=1.0, **settings)


@every_model
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_training_gives_on_cuda_what_it_gives_on_the_cpu(name, dtype, tolerance, on_cuda, on_cpu):
    here, there = trainer_for(name, "cpu", dtype), trainer_for(name, "cuda", dtype)
    one, other = here.fit(text(), text(), steps=15), there.fit(text(), text(), steps=15)
    np.testing.assert_allclose(other.loss, one.loss, rtol=tolerance)
    np.testing.assert_allclose(other.norm, one.norm, rtol=10 * tolerance)
    assert other.valid[-1]["loss"] == pytest.approx(one.valid[-1]["loss"], rel=tolerance)
    for p in there.model.parameters():
        assert p.device == "cuda"


@pytest.mark.parametrize(
    ("build", "shape"),
    [(lambda: nn.models.MLP([64, 9, 3], rng=1), (6, 64)), (lambda: nn.models.CNN((1, 8, 8), 3, rng=1), (6, 1, 8, 8))],
    ids=["MLP", "CNN"],
)
def test_classifiers_train_on_cuda_as_on_the_cpu(build, shape, rng, on_cuda):
    batch = rng.normal(size=shape), rng.integers(0, 3, shape[0])
    losses, shares = [], []
    for device, move in (("cpu", lambda nest: nest), ("cuda", on_cuda)):
        model = build().to(device, dtype=np.float64)
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses.append(nn.Trainer(model, nn.CrossEntropyLoss(), optimizer).fit([batch], steps=5).loss)
        x, y = move(batch)
        shares.append(accuracy(model.eval()(x), y))
        confusion_matrix(model(x), y)
    np.testing.assert_allclose(*losses, rtol=1e-9)
    assert shares[0] == shares[1]


@every_model
def test_the_same_seed_writes_the_same_text_on_cuda(name, on_cuda):
    tokenizer = nn.data.CharTokenizer.from_text("abcdefghijk")
    here, there = MODELS[name](), MODELS[name]().to("cuda")
    for settings in (
        {"temperature": 0},
        {"top_k": 5, "rng": 3},
        {"top_p": 0.8, "rng": 3},
        {"n": 2, "min_p": 0.01, "rng": 3},
    ):
        texts = [nn.generate(model, tokenizer, "abc", 20, **settings) for model in (here, there)]
        assert texts[0] == texts[1]


# make test checks one case of each layer, and make test-thorough all of them
CASES = [
    pytest.param(case, marks=[pytest.mark.thorough] * (k > 0), id=repr(case))
    for cases in LAYERS.values()
    for k, case in enumerate(cases)
]


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_checker_checks_a_layer_on_cuda(case, rng, on_cuda):
    layer = case.build().to("cuda", dtype=np.float64)
    report = check_gradients(layer, *on_cuda(case.inputs(rng)), mode="sampled", samples=4)
    assert report.ok and report.max_error < 1e-6, report


def test_the_gradient_checker_replaces_weights_that_are_all_zero_on_cuda(on_cuda):
    layer = nn.Linear(3, 2).to("cuda", dtype=np.float64)
    layer.weight.data.fill(0)
    layer.backward = lambda dy: nn.Linear.backward(layer, dy) * 2
    x = on_cuda(np.ones((4, 3)))
    report = check_gradients(layer, x)
    assert not report.ok and (layer.weight.data == 0).all()


def test_the_gradient_checker_finds_a_mistake_on_cuda(rng, on_cuda):
    class WrongTanh(nn.Tanh):
        def backward(self, dy):
            return 2 * super().backward(dy)

    report = check_gradients(WrongTanh(), on_cuda(rng.normal(size=(2, 3))))
    assert not report.ok and report["x"].diagnosis.mistake == "scaled by a constant"


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
@every_model
def test_a_checkpoint_goes_on_on_the_other_device(name, first, then, tmp_path, on_cuda):
    whole = trainer_for(name, "cpu")
    whole.fit(text(), text(), steps=14)
    begun = trainer_for(name, first, callbacks=[Checkpoint(tmp_path)])
    begun.fit(text(), text(), steps=7)
    gone_on = trainer_for(name, then)
    resume(gone_on, tmp_path)
    gone_on.fit(text(), text(), steps=14)
    np.testing.assert_allclose(gone_on.history.loss, whole.history.loss, rtol=1e-9)


def test_a_saved_model_is_the_same_file_from_either_device(tmp_path, on_cuda):
    nn.save(MODELS["LSTM"](), tmp_path / "here")
    nn.save(MODELS["LSTM"]().to("cuda"), tmp_path / "there")
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()
    assert nn.load(tmp_path / "there").to("cuda").parameters()[0].device == "cuda"


def test_training_that_diverges_on_cuda_says_where(on_cuda):
    trainer = trainer_for("LSTM", "cuda")
    weight = trainer.model.linear.weight.data
    weight[0] = np.inf
    with pytest.raises(TrainingDiverged, match="the weights of linear.weight were not finite before this step"):
        trainer.fit(text(), steps=1)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_diverges_on_cuda_leaves_weights_and_averages_as_they_were(where, on_cuda, on_cpu):
    trainer = trainer_for("RNN", "cuda")
    trainer.fit(text(), steps=2)
    if where == "loss":
        trainer.model.linear.bias.data[0] = np.inf
    else:
        backward = trainer.model.rnn.backward
        trainer.model.rnn.backward = lambda *dy: tuple(d * np.inf for d in backward(*dy))
    kept = [p.data for p in trainer.model.parameters()]
    kept += [a for several in trainer.optimizer.state.values() for a in several]
    before = [on_cpu(a).copy() for a in kept]
    with pytest.raises(TrainingDiverged, match=f"the {where} is not|the {where} is nan at step 3"):
        trainer.fit(text(), steps=3)
    for a, b in zip(kept, before, strict=True):
        np.testing.assert_array_equal(on_cpu(a), b)
    assert trainer.steps_done == trainer.optimizer.steps == trainer.history.steps == 2


class Breaks(nn.Module):
    """y = x, but the gradient is not finite where x is large."""

    def forward(self, x):
        self.save_for_backward(x)
        return x

    def backward(self, dy):
        (x,) = self.saved()
        return dy * backend.array_module(x).where(x > 1e6, np.inf, 1.0)


@pytest.mark.parametrize("broken", [0, 5, 63, 64, 69])
@pytest.mark.parametrize(("factor", "what"), [(np.inf, "the loss is nan"), (1e9, "the gradient is not finite")])
def test_a_step_found_broken_late_was_not_made_nor_any_after_it(broken, factor, what, rng, on_cuda, on_cpu):
    """On the CPU each loss is read before the step. The state after the error, and a resumed run, must be the same."""
    good = [(rng.normal(size=(4, 5)), rng.normal(size=(4, 3))) for _ in range(70)]
    bad = [(x * factor if k == broken else x, y) for k, (x, y) in enumerate(good)]
    left = []
    for device in ("cpu", "cuda"):
        layers = nn.Linear(5, 8, rng=1), Breaks(), nn.Tanh(), nn.Dropout(0.4, rng=2), nn.Linear(8, 3, rng=3)
        model = nn.Sequential(*layers).to(device, dtype=np.float64)
        optimizer = nn.optim.AdamW(model.parameters(), lr=0.1)
        scheduler = nn.optim.lr_scheduler.LinearWarmup(optimizer, 100)
        trainer = nn.Trainer(model, nn.MSELoss(), optimizer, scheduler=scheduler, max_norm=0.5)
        with pytest.raises(TrainingDiverged, match=f"{what} at step {broken + 1}: ") as raised:
            trainer.fit(bad, steps=70)
        state = [on_cpu(p.data).copy() for p in model.parameters()]
        counts = trainer.steps_done, optimizer.steps, trainer.history.steps, optimizer.lr, scheduler.state_dict()
        trainer.fit(good, steps=75)
        left.append((str(raised.value), counts, state, trainer.history.loss, trainer.history.lr))
    (*said, state, loss, lr), (*said_there, state_there, loss_there, lr_there) = left
    assert said == said_there and lr == lr_there
    assert said[1][:3] == (broken, broken, broken)
    for a, b in zip(state, state_there, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9)
    np.testing.assert_allclose(loss_there, loss, rtol=1e-9)


class BreaksOnce(nn.CrossEntropyLoss):
    """The loss is infinite where the first target is 10."""

    def forward(self, logits, target):
        return super().forward(logits, target) * backend.array_module(target).where(target[0, 0] == 10, np.inf, 1.0)


def test_a_state_that_went_past_a_broken_step_is_put_back_too(on_cuda, on_cpu):
    """The next run starts at the failed step, with the hidden state from before it and new dropout masks."""
    tokens = np.random.default_rng(1).integers(0, 10, 4 * 9 * 20 + 1)
    tokens[9 * 7 + 1] = 10  # the first target of the eighth batch
    batches = nn.data.TextBatches(tokens, batch_size=4, seq_len=9)
    left = []
    for device in ("cpu", "cuda"):
        trainer = trainer_for("LSTM", device)
        trainer.criterion = BreaksOnce()
        with pytest.raises(TrainingDiverged, match="the loss is inf at step 8"):
            trainer.fit(batches, steps=20)
        trainer.criterion = nn.CrossEntropyLoss()
        left.append(trainer.fit(batches, steps=20).loss)
    assert len(left[0]) == 20
    np.testing.assert_allclose(left[1], left[0], rtol=1e-9)


@pytest.mark.parametrize("max_norm", [None, 0.01])
def test_a_gradient_in_another_order_trains_on_cuda_as_on_the_cpu(max_norm, rng, on_cuda):
    class Transposes(nn.Linear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.weight.grad = backend.array_module(dy).ascontiguousarray(self.weight.grad.T).T
            return dx

    losses, batch = [], (rng.normal(size=(4, 5)), rng.normal(size=(4, 3)))
    for device in ("cpu", "cuda"):
        model = Transposes(5, 3, rng=1).to(device, dtype=np.float64)
        optimizer = nn.optim.Adam(model.parameters(), lr=0.1)
        losses.append(nn.Trainer(model, nn.MSELoss(), optimizer, max_norm=max_norm).fit([batch], steps=5).loss)
    np.testing.assert_allclose(*losses, rtol=1e-10)


def test_an_optimizer_of_ones_own_is_waited_for(rng, on_cuda):
    class SignSGD(nn.optim.Optimizer):
        def update(self, w, g):
            w -= self.lr * backend.array_module(w).sign(g)

    model = nn.Linear(5, 3, rng=1).to("cuda", dtype=np.float64)
    trainer = nn.Trainer(model, nn.MSELoss(), SignSGD(model.parameters(), lr=0.1))
    batch = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    with pytest.raises(TrainingDiverged, match="the loss is nan at step 2"):
        trainer.fit([batch, (batch[0] * np.inf, batch[1])], steps=2)
    assert backend.to_numpy(backend.array_module(model.weight.data).isfinite(model.weight.data)).all()


def test_a_criterion_that_reads_its_loss_itself_trains_on_cuda_too(rng, on_cuda):
    class Waits(nn.MSELoss):
        def forward(self, prediction, target):
            return float(super().forward(prediction, target))

    losses, batch = [], (rng.normal(size=(4, 5)), rng.normal(size=(4, 3)))
    for criterion in (nn.MSELoss(), Waits()):
        model = nn.Linear(5, 3, rng=1).to("cuda", dtype=np.float64)
        losses.append(nn.Trainer(model, criterion, nn.optim.SGD(model.parameters(), lr=0.1)).fit([batch], steps=3).loss)
    np.testing.assert_allclose(*losses, rtol=1e-12)


def test_a_token_out_of_range_is_refused_before_it_goes_to_the_gpu(on_cuda):
    trainer = trainer_for("LSTM", "cuda")
    tokens, targets = next(iter(text()))
    beyond = np.full_like(tokens, 11)
    message = "LanguageModel: tokens and targets must be in 0..10, got 11..11"
    with pytest.raises(ValueError, match=message):
        trainer.train_step(beyond, targets)
    with pytest.raises(ValueError, match=message):
        nn.evaluate(trainer.model, trainer.criterion, [(tokens, beyond)])
    assert trainer.steps_done == 0


def test_arrays_of_two_devices_are_refused_by_name(rng, on_cuda):
    layer = nn.Linear(3, 2).to("cuda")
    with pytest.raises(TypeError, match="Linear is on 'cuda' and got x on 'cpu'; move one of them"):
        layer(np.ones((4, 3), dtype=np.float32))


# --- the cost of a step, counted on the stand-in only ---------------------------------------------------------------


@every_model
def test_a_training_step_copies_only_its_batch_and_waits_for_nothing(name):
    with strict_cupy.installed():
        trainer = trainer_for(name, "cuda", np.float32)
        trainer.fit(text(), steps=3)  # allocate buffers and compile kernels
        batch = next(iter(text()))
        with strict_cupy.counted() as counts:
            trainer.enqueue_step(*batch)
        assert counts.copies == 2
        assert counts.waits == 1  # to sort tokens, in CuPy 13 only
        with strict_cupy.counted() as counts:
            trainer.train_step(*batch)
        assert counts.waits == 2  # and to read the loss


@pytest.mark.parametrize("case", [case for cases in LOSSES.values() for case in cases], ids=repr)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_step_with_any_loss_waits_only_for_who_looks_and_an_evaluation_once_for_all_batches(case, batch_norm, rng):
    x, target = case.inputs(rng)
    with strict_cupy.installed():
        criterion = case.build()
        model = nn.Sequential(nn.Linear(x.shape[-1], x.shape[-1], rng=1), nn.Tanh())
        if batch_norm:
            model = nn.Sequential(*model.layers, nn.BatchNorm1d(x.shape[-1]))
        if isinstance(criterion, nn.KLDivLoss):
            model = nn.Sequential(*model.layers, nn.LogSoftmax())
        model.to("cuda", dtype=x.dtype)
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        trainer = nn.Trainer(model, criterion, optimizer, max_norm=0.01)
        with strict_cupy.counted() as counts:
            for _ in range(3):
                trainer.enqueue_step(x, target)
        assert counts.waits == (3 if batch_norm else 0)  # BatchNorm is not asynchronous
        with strict_cupy.counted() as counts:
            assert all(type(loss) is float for loss in trainer.history.loss) and trainer.history.steps == 3
        assert counts.waits == (0 if batch_norm else 1)
        with strict_cupy.counted() as counts:
            loss = nn.evaluate(model, criterion, [(x, target)] * 3)
        assert counts.waits == 1
        here = case.build()
        assert loss == pytest.approx(here(model.eval().to("cpu")(x), target), rel=1e-10)
        assert type(loss) is float


def test_a_progress_bar_waits_only_when_it_shows_something(rng):
    batch = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    with strict_cupy.installed():
        model = nn.Linear(5, 3, rng=1).to("cuda", dtype=np.float64)
        optimizer = nn.optim.SGD(model.parameters(), lr=0.1)
        trainer = nn.Trainer(model, nn.MSELoss(), optimizer, callbacks=[nn.training.ProgressBar()])
        with strict_cupy.counted() as counts:
            trainer.fit([batch], steps=30)
    assert counts.waits == 1  # at the end; on a terminal, five times a second


def test_large_batches_are_not_held_for_many_steps(rng, monkeypatch):
    x, y = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    monkeypatch.setattr("nnscratch.training.async_steps.AsyncSteps.MAX_BYTES", 3 * (x.nbytes + y.nbytes))
    with strict_cupy.installed():
        model = nn.Linear(5, 3, rng=1).to("cuda", dtype=np.float64)
        trainer = nn.Trainer(model, nn.MSELoss(), nn.optim.SGD(model.parameters(), lr=0.1))
        waits = []
        for _ in range(8):
            with strict_cupy.counted() as counts:
                trainer.enqueue_step(x, y)
            waits.append(counts.waits)
    assert waits == [0, 0, 0, 1, 0, 0, 0, 1]


def test_a_loss_called_by_itself_is_a_number_of_pythons(rng, on_cuda):
    for case in (case for cases in LOSSES.values() for case in cases):
        assert type(case.build()(*on_cuda(case.inputs(rng)))) is float, case
    model, (tokens, targets) = MODELS["LSTM"]().to("cuda"), next(iter(text()))
    assert type(model.loss_and_backward(*on_cuda((tokens, targets)))[0]) is float


@pytest.mark.parametrize(("layer", "expected"), [(nn.LSTM, 4), (nn.GRU, 5), (nn.RNN, 4)])
def test_each_step_over_time_is_a_kernel_and_a_product_forward_and_backward(layer, expected, monkeypatch):
    monkeypatch.setattr("nnscratch.backend.graphs._ON", False)
    launches = []  # the GRU also adds a product to the gradient of its state
    for steps in (10, 20):
        with strict_cupy.installed() as cp:
            recurrent, x = layer(3, 4, rng=1).to("cuda"), cp.ones((2, steps, 3), dtype=np.float32)
            for _ in range(2):
                with strict_cupy.counted() as counts:
                    recurrent.backward(cp.ones_like(recurrent(x)[0]))
            launches.append(counts.launches)
    assert (launches[1] - launches[0]) / 10 == expected


@pytest.mark.parametrize("form", ["none", "tanh"])
def test_gelu_is_one_kernel_forward_and_one_backward(form):
    with strict_cupy.installed() as cp:
        layer, x = nn.GELU(form), cp.ones((3, 4))
        with strict_cupy.counted() as counts:
            layer.backward(layer(x))
    assert (counts.launches, counts.copies, counts.waits) == (2, 0, 0)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_long_sequence_is_one_chunk(cell):
    launches = []  # of 64 sequences: two of their steps are a chunk on the CPU
    for steps in (2, 12, 22):
        with strict_cupy.installed() as cp:
            recurrent, x = cell(3, 4, rng=1).to("cuda"), cp.ones((64, steps, 3), dtype=np.float32)
            with strict_cupy.counted() as counts:
                recurrent.backward(cp.ones_like(recurrent(x)[0]))
        launches.append(counts.launches)
    assert launches[2] - launches[1] == launches[1] - launches[0] == 10 * (5 if cell is nn.GRU else 4)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_chunk_that_is_shorter_than_the_buffer_is_not_copied(cell, monkeypatch):
    monkeypatch.setattr(backend, "chunk_size", lambda like, elements: 0)  # as little memory as on a CPU
    launches = []  # 64 and 129 steps of two sequences: one chunk, and three chunks of which the last has one step
    for steps in (63, 64, 128, 129):
        with strict_cupy.installed() as cp:
            recurrent, x = cell(3, 4, rng=1).to("cuda"), cp.ones((2, steps, 3), dtype=np.float32)
            with strict_cupy.counted() as counts:
                recurrent.backward(cp.ones_like(recurrent(x)[0]))
        launches.append(counts.launches)
    each_step = launches[1] - launches[0]
    each_chunk = launches[2] - launches[1] - 64 * each_step
    assert launches[3] - launches[2] == each_step + each_chunk
