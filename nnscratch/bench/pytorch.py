"""The jobs, written with PyTorch as a user would write them, with fast settings.

The settings are fused Adam, batch-first nn.LSTM, all cores, and inference_mode for evaluation and generation. The
variant "compile" wraps the model in torch.compile.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np


def build(job: Any, variant: str) -> dict[str, Any]:
    """Build `job`: see worker.py."""
    import torch

    from .worker import threads

    torch.set_num_threads(threads())
    jobs = Jobs(torch, job, variant == "compile", "cuda" if variant == "cuda" else "cpu")
    if variant == "cuda":
        if not torch.cuda.is_available():
            raise NotImplementedError("this PyTorch sees no GPU")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32, as in ours.py
        version = f"{torch.__version__}, cuDNN {torch.backends.cudnn.version()}"
        return {"version": version, **getattr(jobs, job.kind)()}
    if variant == "compile" and job.kind in ("generate", "gradcheck"):
        raise NotImplementedError("timed only for training and evaluation, which compile a model once and run it often")
    return {"version": torch.__version__, "threads": torch.get_num_threads(), **getattr(jobs, job.kind)()}


class Jobs:
    """One method for each kind of job. A method returns ``step`` and, if needed, ``check``: see worker.py."""

    def __init__(self, torch: Any, job: Any, compiled: bool, device: str = "cpu"):
        self.torch, self.nn, self.F = torch, torch.nn, torch.nn.functional
        self.job, self.compiled, self.device = job, compiled, device

    def load(self, model: Any, weights: dict[str, np.ndarray] | None = None) -> Any:
        weights = self.job.weights() if weights is None else weights
        model.load_state_dict({name: self.torch.from_numpy(w) for name, w in weights.items()})
        return model.to(self.device)

    def maybe_compiled(self, model: Any) -> Any:
        return self.torch.compile(model) if self.compiled else model

    def training(self, model: Any, optimizer: Any, max_norm: float | None, recurrent: bool = False) -> dict:
        run, torch = self.maybe_compiled(model), self.torch
        on_gpu = self.device == "cuda"
        data = [tuple(map(torch.from_numpy, batch)) for batch in self.job.batches()]
        if on_gpu:  # from pinned memory, a batch is copied without waiting for the GPU
            data = [(x.pin_memory(), y.pin_memory()) for x, y in data]
        batches, state, losses = itertools.cycle(data), None, []

        def step() -> float | None:
            nonlocal state
            x, y = (tensor.to(self.device, non_blocking=True) for tensor in next(batches))
            optimizer.zero_grad()
            if recurrent:
                logits, state = run(x, state)
                state = tuple(s.detach() for s in state)
            else:
                logits = run(x)
            loss = self.F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))
            loss.backward()
            if max_norm is not None:
                self.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            if on_gpu:  # finish() reads the loss: reading it here would wait for the GPU
                return losses.append(loss.detach())
            return loss.item()

        def finish() -> list[float]:
            values = torch.stack(losses).tolist()
            losses.clear()
            return values

        return {"step": step, "finish": finish} if on_gpu else {"step": step}

    def adam(self, model: Any) -> Any:
        return self.torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def language_model(self) -> Any:
        nn, s = self.nn, self.job.sizes

        class LanguageModel(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(s["vocab"], s["embed"])
                self.lstm = nn.LSTM(s["embed"], s["hidden"], s["layers"], batch_first=True)
                self.linear = nn.Linear(s["hidden"], s["vocab"])

            def forward(self, tokens, state=None):
                h, state = self.lstm(self.embedding(tokens), state)
                return self.linear(h), state

        return self.load(LanguageModel())

    def lm(self) -> dict[str, Callable]:
        model = self.language_model()
        return self.training(model, self.adam(model), 5.0, recurrent=True)

    def mlp(self) -> dict[str, Callable]:
        nn = self.nn
        model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
        self.load(model)
        return self.training(model, self.torch.optim.SGD(model.parameters(), lr=0.1, fused=True), None)

    def cnn(self) -> dict[str, Callable]:
        nn = self.nn
        model = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 7 * 7, 10)),
        )
        self.load(model)
        return self.training(model, self.adam(model), None)

    def transformer(self) -> dict[str, Callable]:
        nn, F, torch, s = self.nn, self.F, self.torch, self.job.sizes
        D, heads = s["embed"], s["heads"]

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
                # Only the weights and their names are used: forward calls the faster scaled_dot_product_attention.
                self.self_attn = nn.MultiheadAttention(D, heads, batch_first=True)
                self.linear1, self.linear2 = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

            def forward(self, x):
                N, T, _ = x.shape
                qkv = F.linear(self.norm1(x), self.self_attn.in_proj_weight, self.self_attn.in_proj_bias)
                q, k, v = (a.view(N, T, heads, D // heads).transpose(1, 2) for a in qkv.split(D, dim=2))
                a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + self.self_attn.out_proj(a.transpose(1, 2).reshape(N, T, D))
                return x + self.linear2(F.gelu(self.linear1(self.norm2(x)), approximate="tanh"))

        class TransformerLM(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.position = nn.Embedding(s["vocab"], D), nn.Embedding(s["steps"], D)
                self.blocks = nn.Sequential(*(Block() for _ in range(s["layers"])))
                self.norm, self.linear = nn.LayerNorm(D), nn.Linear(D, s["vocab"], bias=False)

            def forward(self, tokens):
                x = self.embedding(tokens) + self.position(torch.arange(tokens.shape[1], device=tokens.device))
                return self.linear(self.norm(self.blocks(x)))

        model = self.load(TransformerLM())
        return self.training(model, self.adam(model), 5.0)

    def generate(self) -> dict[str, Callable]:
        torch, model = self.torch, self.language_model().eval()
        prompt = torch.arange(5)

        @torch.inference_mode()
        def step() -> int:
            tokens, state = prompt[None], None
            for _ in range(self.job.per):
                logits, state = model(tokens, state)
                p = (logits[0, -1] / 0.8).softmax(dim=0)
                tokens = torch.multinomial(p, 1)[None]
                token = tokens.item()  # a user reads each token as soon as it is generated
            return token

        @torch.inference_mode()
        def check() -> list[float]:
            state, largest = None, []
            for token in prompt:
                logits, state = model(token.view(1, 1), state)
                largest.append(logits.max().item())
            return largest

        return {"step": step, "check": check}

    def evaluate(self) -> dict[str, Callable]:
        torch, s = self.torch, self.job.sizes
        model = self.language_model().eval()
        run = self.maybe_compiled(model)
        tokens, N = torch.from_numpy(self.job.text()), s["batch"]
        length = (len(tokens) - 1) // N
        inputs, targets = tokens[: N * length].view(N, length), tokens[1 : N * length + 1].view(N, length)

        @torch.inference_mode()
        def step() -> float:
            total, state = 0.0, None
            for start in range(0, length, s["steps"]):
                part = slice(start, start + s["steps"])
                logits, state = run(inputs[:, part], state)
                y = targets[:, part].reshape(-1)
                total += self.F.cross_entropy(logits.reshape(len(y), -1), y, reduction="sum").item()
            return total / (N * length)

        return {"step": step, "check": lambda: [step()]}

    def gradcheck(self) -> dict[str, Callable]:
        torch, model = self.torch, self.language_model().double()
        (tokens, targets), *_ = self.job.batches(1)
        tokens, targets = torch.from_numpy(tokens), torch.from_numpy(targets).reshape(-1)
        names, parameters = zip(*model.named_parameters(), strict=True)

        def loss(*values: Any) -> Any:
            logits, _ = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (tokens,))
            return self.F.cross_entropy(logits.reshape(len(targets), -1), targets)

        def step() -> None:
            torch.autograd.gradcheck(loss, parameters)

        def check() -> list[float]:
            step()
            return [loss(*parameters).item()]

        return {"step": step, "check": check}
