"""Compare this package with the library transformers on a GPT-2 of 124 million random weights.

    python -m benchmarks.gpt2            writes docs/results/gpt2.json and gpt2.md; needs torch and transformers

It compares the logits, the loss and all gradients of one batch, the time and memory of a training step, and the time of
a token in greedy generation with a cache. Each library runs in a process of its own. The two take turns, so both meet
the same load of the machine. One library waits while the other computes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path("docs/results/gpt2.json")
OURS, THEIRS = "nnscratch", "transformers"
PROMPT, TOKENS = 32, 64  # tokens that are given, and tokens that are generated, in each turn
BATCH, LENGTH = 1, 256  # of the training step
FULL = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12}


def peak() -> float:
    """Return the largest memory that this process has used, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_model(folder: str, sizes: dict[str, int]) -> None:
    """Write a GPT-2 with random weights to `folder`."""
    import torch
    import transformers

    torch.manual_seed(0)
    end = {"bos_token_id": None, "eos_token_id": None}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **end)).save_pretrained(folder)


def batch(sizes: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    length = min(LENGTH, sizes["n_positions"])
    return tuple(np.random.default_rng(0).integers(0, sizes["vocab_size"], (2, BATCH, length)))


def import_ours() -> None:
    import nnscratch  # noqa: F401


def import_theirs() -> None:
    import torch  # noqa: F401
    from transformers import GPT2LMHeadModel  # noqa: F401


class Ours:
    def __init__(self, folder: str, sizes: dict[str, int]):
        import nnscratch as nn

        self.nn, self.sizes, self.model = nn, sizes, nn.load_gpt2(folder)
        self.tokens, self.targets = batch(sizes)

    def outputs(self) -> dict[str, Any]:
        """Return the logits, and the loss and gradients under the names in the file."""
        from nnscratch.models.gpt2 import PREFIX, _expected

        logits = self.model.eval()(self.tokens)[0]
        loss = self.step()
        gradients = {name: p.grad for name, p in self.model.named_parameters()}
        names = _expected(self.model.config(), PREFIX)
        found = {name: gradients[own].T if moved else gradients[own] for name, (own, _, moved) in names.items()}
        return {"logits": logits, "loss": loss} | found

    def step(self) -> float:
        """Compute the loss and all gradients without dropout, so that both libraries compute the same."""
        self.model.train()
        for module in self.model.modules():
            if isinstance(module, self.nn.Dropout):
                module.p = 0.0
            elif isinstance(module, self.nn.MultiheadAttention):
                module.dropout = 0.0
        self.model.zero_grad()
        return self.model.loss_and_backward(self.tokens, self.targets)[0]

    def generate(self, cached: bool = True) -> list[int]:
        from nnscratch.generation import generate_ids

        class NoTokenizer:
            vocabulary = ()

        prompt, count = self.tokens[0, :PROMPT], TOKENS
        if cached:
            return list(generate_ids(self.model, NoTokenizer(), prompt, count, temperature=0))
        model, written = self.model.eval(), prompt[None]
        for _ in range(count):
            written = np.concatenate([written, model(written)[0][:, -1].argmax(axis=1)[:, None]], axis=1)
        return written[0, len(prompt) :].tolist()


class Theirs:
    def __init__(self, folder: str, sizes: dict[str, int]):
        import torch
        import transformers

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.torch, self.model = torch, transformers.GPT2LMHeadModel.from_pretrained(folder)
        self.tokens, self.targets = (torch.tensor(a) for a in batch(sizes))

    def outputs(self) -> dict[str, Any]:
        with self.torch.no_grad():
            logits = self.model.eval()(self.tokens).logits.numpy()
        loss = self.step()
        return {"logits": logits, "loss": loss} | {name: p.grad.numpy() for name, p in self.model.named_parameters()}

    def step(self) -> float:
        self.model.eval()  # without dropout
        self.model.zero_grad()
        logits = self.model(self.tokens).logits
        loss = self.torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.targets.flatten())
        loss.backward()
        return loss.item()

    def generate(self, cached: bool = True) -> list[int]:
        prompt = self.tokens[:, :PROMPT]
        settings = {"max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "do_sample": False, "use_cache": cached}
        with self.torch.no_grad():
            found = self.model.eval().generate(
                prompt, attention_mask=self.torch.ones_like(prompt), pad_token_id=0, **settings
            )
        return found[0, prompt.shape[1] :].tolist()


def serve(connection: Connection, library: str, folder: str, sizes: dict[str, int]) -> None:
    """Load the model, then call the methods that the other process names, and return results and measurements."""
    (import_ours if library == OURS else import_theirs)()  # not part of the time and memory of loading
    start = peak()
    clock, cpu = time.perf_counter(), time.process_time()
    worker = (Ours if library == OURS else Theirs)(folder, sizes)
    connection.send((start, time.perf_counter() - clock, time.process_time() - cpu, peak()))
    while (call := connection.recv()) is not None:
        method, arguments = call
        clock, cpu = time.perf_counter(), time.process_time()
        result = getattr(worker, method)(*arguments)
        connection.send((result, time.perf_counter() - clock, time.process_time() - cpu, peak()))


def start(library: str, folder: str, threads: int, sizes: dict[str, int]) -> tuple[Callable, tuple, Callable]:
    """Start a process.

    Return a function that calls a method in the process, the figures of loading, and a function that ends the process.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = str(threads)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, library, folder, sizes))
    process.start()

    def call(method: str, *arguments: Any) -> tuple[Any, float, float, float]:
        here.send((method, arguments))
        return here.recv()

    def end() -> None:
        here.send(None)
        process.join()

    return call, here.recv(), end


def difference(a: Any, b: Any) -> float:
    """Return the largest difference of two arrays, divided by the largest absolute value of the second."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())


def measure(folder: str, sizes: dict[str, int], threads: int, turns: int, compare: bool) -> dict[str, Any]:
    """Return the measurements with this number of threads for each library."""
    started = {library: start(library, folder, threads, sizes) for library in (OURS, THEIRS)}
    calls = {library: call for library, (call, _, _) in started.items()}
    found: dict[str, Any] = {"load": {library: loaded for library, (_, loaded, _) in started.items()}}
    if compare:
        ours, theirs = (calls[library]("outputs")[0] for library in (OURS, THEIRS))
        gradients = {name: difference(ours[name], theirs[name]) for name in theirs if name not in ("logits", "loss")}
        worst = max(gradients, key=gradients.get)
        found["differences"] = {
            "logits": float(np.abs(ours["logits"] - theirs["logits"]).max()),
            "loss": abs(ours["loss"] - theirs["loss"]),
            "gradients": gradients[worst],
            "worst": worst,
        }
    texts = {library: calls[library]("generate")[0] for library in calls}  # also the first call, which is slower
    found["same text"] = texts[OURS] == texts[THEIRS]
    for name, method in (("generate", "generate"), ("step", "step")):
        if name == "step":
            for library in calls:
                calls[library]("step")
        rows: dict[str, list] = {library: [] for library in calls}
        for _ in range(turns):
            for library, call in calls.items():
                _, seconds, cpu, memory = call(method)
                rows[library].append((seconds, cpu, memory))
        found[name] = rows
    if compare:
        found["uncached"] = {OURS: calls[OURS]("generate", False)[1:]}
    for _, _, end in started.values():
        end()
    return found


def report(found: dict[str, Any]) -> str:
    """Return the page of the results."""
    threads = sorted((key for key in found if key.startswith("threads ")), key=lambda key: int(key.split()[1]))
    names = {key: "one thread" if key == "threads 1" else f"{key.split()[1]} threads" for key in threads}
    one = found[threads[0]]
    tokens, length = found["tokens"], found["length"]

    def median(key: str, what: str, library: str, column: int) -> float:
        return float(np.median([row[column] for row in found[key][what][library]]))

    rows = [
        ("processor time of loading, s", *(f"{one['load'][library][2]:.1f}" for library in (OURS, THEIRS))),
        (
            "largest memory, after all calls, MB",
            *(f"{max(row[2] for row in one['step'][library]):,.0f}" for library in (OURS, THEIRS)),
        ),
    ]
    for key in threads:
        speed = [tokens / median(key, "generate", library, 0) for library in (OURS, THEIRS)]
        rows.append((f"generating, {names[key]}: tokens per second", *(f"**{value:.1f}**" for value in speed)))
    for what, named, unit in (("generate", "generating", tokens / 1000), ("step", "training step", 1 / 1000)):
        times = [median(threads[0], what, library, 1) / unit for library in (OURS, THEIRS)]
        per = "ms per token" if what == "generate" else "ms"
        rows.append((f"{named}, one thread: processor time, {per}", *(f"{value:,.0f}" for value in times)))
    uncached = one["uncached"][OURS][1] / tokens * 1000
    rows.append(("generating without a cache, one thread: processor time, ms per token", f"{uncached:,.0f}", "–"))
    ratios = {key: median(key, "generate", THEIRS, 0) / median(key, "generate", OURS, 0) for key in threads}
    cpu = median(threads[0], "generate", THEIRS, 1) / median(threads[0], "generate", OURS, 1)
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    differences = one["differences"]
    same = (
        f"Both libraries generate the same {tokens} tokens."
        if all(found[key]["same text"] for key in threads)
        else f"The {tokens} tokens that they write differ: two scores are equal up to rounding."
    )
    faster = " ".join(
        f"With {names[key]}, this package generates {ratio:.2f} times as many tokens per second as transformers."
        for key, ratio in ratios.items()
    )
    return f"""# GPT-2 compared with transformers

`python -m benchmarks.gpt2` wrote this page; the figures are from its latest run.

The model has the shape of the smallest GPT-2: 12 blocks, 768 features, 12 heads, a vocabulary of 50,257 and a context
of 1024. Its weights are random, and its file takes {found["file"]:.0f} MB. `nn.load_gpt2` and
`transformers.GPT2LMHeadModel.from_pretrained` read the same folder. Each library runs in its own process. The
two processes take turns: one waits while the other computes. The figures are medians of
{len(one["generate"][OURS])} turns. Everything is float32.

For one batch of 1 x {length} tokens, the logits differ by at most {differences["logits"]:.1e}, and the losses by
{differences["loss"]:.1e}. The largest difference of a gradient is in `{differences["worst"]}`:
{differences["gradients"]:.1e} of its largest element. {same}

| | {OURS} | {THEIRS} |
|---|---|---|
{table}

Generating is greedy, with a cache: {tokens} tokens after a prompt of {found["prompt"]} tokens. {faster} In processor
time, with one thread, this package is {cpu:.2f} times as fast. For each token, all weights are read from memory once,
so both libraries wait for the memory most of the time. The training step is forward, loss and backward, without an
optimiser. When transformers loads a model, it only maps the file into memory. It reads the weights later.

Machine: {found["machine"]}, NumPy {found["numpy"]}, PyTorch {found["torch"]}, transformers
{found["transformers"]}, Python {found["python"]}. Other programs ran on the same cores: the load average was
{found["load average"]:.0f}. So compare only the two columns with each other: on an idle machine, all times are shorter.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TARGET, help="the JSON file (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    from .transformer_or_lstm import cpu_name

    found: dict[str, Any] = {"machine": f"{cpu_name()}, {os.cpu_count()} cores", "numpy": np.__version__}
    found |= {"python": platform.python_version(), "tokens": TOKENS, "prompt": PROMPT, "length": LENGTH}
    found |= {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(target=write_model, args=(folder, FULL))
        process.start()
        process.join()
        found["file"] = (Path(folder) / "model.safetensors").stat().st_size / 1e6
        for threads in (1, os.cpu_count()):
            found[f"threads {threads}"] = measure(folder, FULL, threads, arguments.turns, compare=threads == 1)
            print(json.dumps(found[f"threads {threads}"]), flush=True)
    found["load average"] = os.getloadavg()[0]
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(report(found), encoding="utf-8")


if __name__ == "__main__":
    main()
