"""The benchmark on a GPU: equal work for each library, its arithmetic and its table. No speed is tested."""

from dataclasses import replace

import pytest
import strict_cupy

from nnscratch import backend
from nnscratch.bench import ours, pytorch, report, runner
from nnscratch.bench.jobs import GPU_JOBS, select
from nnscratch.bench.runner import Result
from nnscratch.cli import main

SMALL = replace(GPU_JOBS["m"], sizes={"vocab": 11, "embed": 6, "hidden": 8, "layers": 2, "batch": 4, "steps": 5})


def test_the_jobs_are_of_the_sizes_that_a_gpu_is_for():
    assert [job.key for job in select(None, GPU_JOBS)] == ["b", "m", "n", "o", "p"]
    assert select("o", GPU_JOBS)[0].tokens == 128 * 128
    with pytest.raises(ValueError, match="there is no job 'a'; the jobs are b, m, n, o, p"):
        select("a", GPU_JOBS)


def test_the_operations_of_a_step_are_six_for_each_weight_and_token():
    lstm = (4 * 8 * 6 + 4 * 8 * 8) + (4 * 8 * 8 + 4 * 8 * 8)
    assert SMALL.flops == 6 * (lstm + 11 * 8) * (4 * 5)


def test_the_operations_of_a_transformer_count_its_weights_and_the_products_of_attention():
    job = replace(GPU_JOBS["p"], sizes={"vocab": 11, "embed": 8, "heads": 2, "layers": 3, "batch": 4, "steps": 5})
    block = 3 * 8 * 8 + 8 * 8 + 2 * 4 * 8 * 8  # the weights of attention, and of the two layers after it
    products = 2 * 5 * 8  # of a query with 5 keys, and of 5 weights with 5 values
    assert job.flops == 6 * (3 * (block + products) + 11 * 8) * (4 * 5)


def losses_of_three(peer):
    for _ in range(3):
        assert peer["step"]() is None
    return peer["finish"]()


def test_the_steps_on_cuda_do_not_wait_before_the_end(monkeypatch):
    monkeypatch.setattr(ours, "product_on_gpu", lambda: 1e12)
    with strict_cupy.installed():
        peer = ours.build(SMALL, "cuda")
        losses_of_three(peer)
        with strict_cupy.counted() as counts:
            for _ in range(5):
                peer["step"]()
        assert counts.waits == counts.sorts  # CuPy 14 does not wait when it sorts
        with strict_cupy.counted() as counts:
            assert len(peer["finish"]()) == 5
        assert counts.waits == 1


def test_a_transformers_step_on_cuda_has_the_losses_of_one_on_the_cpu(on_cuda, monkeypatch):
    monkeypatch.setattr(ours, "product_on_gpu", lambda: 1e12)
    job = replace(GPU_JOBS["p"], sizes={"vocab": 11, "embed": 8, "heads": 2, "layers": 2, "batch": 4, "steps": 5})
    there, here = ours.build(job, "cuda"), ours.build(job, "")
    assert losses_of_three(there) == pytest.approx([here["step"]() for _ in range(3)], rel=1e-4)


def test_a_step_on_cuda_has_the_losses_of_one_on_the_cpu(on_cuda, monkeypatch):
    monkeypatch.setattr(ours, "product_on_gpu", lambda: 1e12)
    there, here = ours.build(SMALL, "cuda"), ours.build(SMALL, "")
    expected = [here["step"]() for _ in range(6)]
    assert losses_of_three(there) == pytest.approx(expected[:3], rel=1e-4)
    assert losses_of_three(there) == pytest.approx(expected[3:], rel=1e-4)  # only the new ones
    assert there["gpu"].startswith("cuda:0") and there["product"] == 1e12


def test_the_speed_of_a_product_waits_for_the_gpu_before_it_reads_the_clock():
    with strict_cupy.installed(), strict_cupy.counted() as counts:
        assert ours.product_on_gpu(8, 3) > 0
    assert counts.waits == 6


def test_pytorch_without_a_gpu_says_so():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(NotImplementedError, match="this PyTorch sees no GPU"):
        pytorch.build(SMALL, "cuda")


def test_pytorchs_steps_on_cuda_keep_their_losses_until_the_end(on_cuda, monkeypatch):
    torch = pytest.importorskip("torch")
    if backend.module_for("cuda") is strict_cupy.CUPY:  # PyTorch's CPU, which takes the name "cuda"
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
        for cls in (torch.Tensor, torch.nn.Module):
            monkeypatch.setattr(cls, "to", lambda self, device, non_blocking=False: self)
    elif not torch.cuda.is_available():
        pytest.skip("this PyTorch sees no GPU")
    expected = [step() for step in [pytorch.build(SMALL, "")["step"]] * 6]
    peer = pytorch.Jobs(torch, SMALL, False, "cuda").lm()
    assert losses_of_three(peer) == pytest.approx(expected[:3], rel=1e-4)
    assert losses_of_three(peer) == pytest.approx(expected[3:], rel=1e-4)


def test_the_table_holds_times_ratios_and_shares_and_says_why_a_place_is_empty():
    job = GPU_JOBS["m"]
    one, two = Result("nnscratch", rounds=[[0.02]]), Result("torch", rounds=[[0.025]])
    one.info = {"version": "1.0", "gpu": "cuda:0  Some GPU", "product": job.flops / 0.01}
    two.info = {"version": "2.0, cuDNN 9"}
    failed = Result("torch", why="this PyTorch sees no GPU")
    text = report.gpu_markdown([(job, [one, two]), (job, [one, failed])], {k.key: k.title for k in runner.GPU})
    assert not text.startswith("#")  # docs/gpu.md includes it below a heading of its own
    assert "cuda:0  Some GPU; nnscratch 1.0, PyTorch 2.0, cuDNN 9; " in text
    first, second = (line.split("|") for line in text.splitlines() if line.startswith("| (m)"))
    assert [part.strip() for part in first[2:-1]] == ["20.0", "50%", "25.0", "40%", "0.80"]
    assert [part.strip() for part in second[2:-1]] == ["20.0", "50%", "–", "–", "–"]
    assert "- PyTorch, m: this PyTorch sees no GPU" in text


def test_the_command_without_a_gpu_says_so_in_one_line(capsys, monkeypatch):
    def missing(device):
        raise backend.DeviceError("device 'cuda' needs CuPy")

    monkeypatch.setattr("nnscratch.bench.command.module_for", missing)
    assert main(["bench", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == "nnscratch bench: device 'cuda' needs CuPy\n"
