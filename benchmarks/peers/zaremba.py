"""A training step of a Zaremba preset, with this package and with PyTorch. Unlike the other jobs, it uses SGD.

The variant is "preset" for this package and "preset torch" for PyTorch. The sizes of the job contain the settings.
"""

from typing import Any


def build(job: Any, variant: str) -> dict[str, Any]:
    import bench.pytorch

    lr, max_norm = float(job.sizes["lr"]), job.sizes["clip"]
    if variant == "preset torch":
        import torch
        from bench.worker import threads

        torch.set_num_threads(threads())
        jobs = bench.pytorch.Jobs(torch, job, False)
        model = jobs.language_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, fused=True)
        peer = jobs.training(model, optimizer, max_norm, recurrent=True)
        return {"version": torch.__version__, "threads": torch.get_num_threads(), **peer}
    import nnscratch as nn
    from nnscratch.bench import ours

    peer = ours.training(job, ours.language_model(job), lambda p: nn.optim.SGD(p, lr=lr), max_norm)
    return {"version": nn.__version__, **peer}
