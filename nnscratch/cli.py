"""The nnscratch command: train, evaluate, generate, explain, bench, gradcheck, exercises, course, grade, info."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nnscratch as nn

from . import backend, blas, data, info, launch, run_settings, runs
from .bench import command as bench_command
from .bench import runner
from .course.command import add_arguments as add_grade_arguments
from .course.command import run_grade
from .course.course_command import add_arguments as add_course_arguments
from .course.course_command import run_course
from .exercises.arguments import add_arguments as add_exercises_arguments
from .gradcheck.command import add_arguments as add_gradcheck_arguments
from .gradcheck.command import run_gradcheck
from .models.gpt2 import is_gpt2

END_OF_TEXT = "<|endoftext|>"  # the token with which GPT-2 ends a text
DEFAULT_SOURCE = f"{runs.AUSTEN_PREFIX}pride_and_prejudice"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 130 after Ctrl-C, or 2 after an error (printed to stderr)."""
    if argv is None:  # called from the shell, not from Python, so this process may be restarted
        blas.restart_with_better_kernel()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # print "?" for a character that the terminal cannot show
    arguments = parser().parse_args(argv)
    arguments.argv = sys.argv[1:] if argv is None else list(argv)
    try:
        code = arguments.run(arguments) or 0
        if sys.stdout is not None:  # sys.stdout is None if its descriptor is closed
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The program that reads the pipe, such as head, has ended. Python flushes stdout again when it exits. So
        # connect stdout to the null device. A shell returns 128 + 13 for a program that was ended by SIGPIPE, which is
        # signal 13. Return this number too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except (ValueError, TypeError, OSError, ArithmeticError, backend.DeviceError) as error:
        print(f"nnscratch {arguments.command}: {launch.rank_in_words()}{_one_line(error)}", file=sys.stderr)
        return launch.end_all_ranks(2)
    except MemoryError as error:
        print(
            f"nnscratch {arguments.command}: {launch.rank_in_words()}out of memory: {_one_line(error)} "
            f"A smaller --batch, --seq-len or --hidden needs less memory.",
            file=sys.stderr,
        )
        return launch.end_all_ranks(2)
    except KeyboardInterrupt:
        print(f"\nnnscratch {arguments.command}: {launch.rank_in_words()}interrupted", file=sys.stderr)
        return launch.end_all_ranks(130)
    except Exception as error:
        failure = backend.gpu_error(error)
        if failure is None:
            raise
        print(f"nnscratch {arguments.command}: the GPU failed: {failure}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="nnscratch",
        description="Neural networks from scratch: train a language model, generate text, check gradients.",
    )
    top.add_argument("--version", action="version", version=f"nnscratch {nn.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a language model on a text")
    train.set_defaults(run=run_train)
    train.add_argument(
        "text",
        nargs="?",
        metavar="TEXT_FILE",
        help="a UTF-8 file, austen:TITLE, or austen:six for all six novels (default: austen:pride_and_prejudice)",
    )
    train.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the results (default: runs/NAME)")
    train.add_argument("--resume", action="store_true", help="continue the run in --out")
    how_long = train.add_mutually_exclusive_group()
    how_long.add_argument(
        "--epochs", type=float, help="passes over the text (default: 6 with characters, 10 with words)"
    )
    how_long.add_argument("--minutes", type=float, help="train for about this many minutes")
    how_long.add_argument("--steps", type=int, help="train for exactly this many steps")
    train.add_argument(
        "--level",
        choices=("char", "word", "split", "bpe"),
        help="what a token is: a character, a word, any text between two spaces (for prepared corpora), "
        "or a part of a word that byte-pair encoding finds; default: char",
    )
    train.add_argument(
        "--preset",
        choices=run_settings.PRESETS,
        help="use the settings of a published model; other options override them",
    )
    train.add_argument("--valid", metavar="FILE", help="validate on this text, and train on all of TEXT_FILE")
    train.add_argument("--test", metavar="FILE", help="the test text; needed with --valid")
    train.add_argument(
        "--cell", choices=("lstm", "gru", "rnn", "transformer"), help="the kind of network (default: lstm)"
    )
    train.add_argument("--heads", type=int, help="attention heads of a transformer (default: 4)")
    train.add_argument("--embed", type=int, help="size of the embedding vectors")
    train.add_argument("--hidden", type=int, help="size of the hidden state, or of a transformer's vectors")
    train.add_argument("--layers", type=int, help="number of layers")
    train.add_argument("--dropout", type=float, help="dropout probability between layers")
    train.add_argument(
        "--tie",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="use the embedding's weights as the output layer's weights",
    )
    train.add_argument("--vocab", type=int, help="largest vocabulary size (default: 10000 with words, 2000 with bpe)")
    train.add_argument("--batch", type=int, help="batch size: sequences read in parallel")
    train.add_argument("--seq-len", type=int, help="time steps of backpropagation through time")
    train.add_argument("--lr", type=float, help="initial learning rate; it falls to 0 along a cosine")
    train.add_argument("--clip", type=float, help="clip the norm of the gradient to this value (default: 5)")
    train.add_argument("--patience", type=int, help="stop after this many validations without a lower loss")
    train.add_argument("--seed", type=int, help="the same seed gives the same run (default: 0)")
    train.add_argument(
        "--ranks", type=int, help="train with this number of processes, started with MPI's mpiexec (default: 1)"
    )
    add_device(train)

    evaluate = commands.add_parser("evaluate", help="compute the loss of a trained model on a text")
    evaluate.set_defaults(run=run_evaluate)
    evaluate.add_argument("folder", type=Path, metavar="RUN", help="the folder of the run")
    evaluate.add_argument("text", nargs="?", metavar="TEXT_FILE", help="default: the run's validation and test parts")
    add_device(evaluate)

    generate = commands.add_parser("generate", help="generate text with a trained model, or with GPT-2")
    generate.set_defaults(run=run_generate)
    generate.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="the folder of a run, or a folder of Hugging Face's library transformers with a GPT-2 and its tokenizer",
    )
    generate.add_argument(
        "--prompt",
        help=f"start of the text (default: {runs.PROMPT!r}, or a new line if the model does not know these letters)",
    )
    generate.add_argument("--tokens", type=int, default=500, help="number of tokens to generate (default: %(default)s)")
    generate.add_argument(
        "--temperature", type=float, default=0.8, help="0: always the most likely token (default: %(default)s)"
    )
    generate.add_argument("--top-k", type=int, help="sample from the K most likely tokens")
    generate.add_argument("--top-p", type=float, help="sample from the smallest set of tokens with total probability P")
    generate.add_argument(
        "--min-p", type=float, help="sample from tokens with at least this fraction of the largest probability"
    )
    generate.add_argument(
        "--repetition-penalty", type=float, default=1.0, help="above 1: repeat fewer tokens (default: %(default)s)"
    )
    generate.add_argument(
        "--stop", action="append", help=f"stop before this text or token; default with GPT-2: {END_OF_TEXT}"
    )
    generate.add_argument(
        "--n",
        type=int,
        default=1,
        help="generate this number of texts, with a line of dashes between them (default: 1)",
    )
    generate.add_argument("--seed", type=int, help="the same seed gives the same text")
    add_device(generate)

    explain = commands.add_parser("explain", help="show which tokens of a prompt led to the next token")
    explain.set_defaults(run=run_explain)
    explain.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of a run, or of a GPT-2")
    explain.add_argument("--prompt", required=True, help="the text whose next token is explained")
    explain.add_argument("--next", metavar="TOKEN", help="explain this next token (default: the most likely one)")
    explain.add_argument(
        "--method",
        choices=sorted(nn.explain.prompt.METHODS),
        default="integrated_gradients",
        help="how to compute the contributions (default: %(default)s)",
    )
    add_device(explain)

    bench = commands.add_parser("bench", help="measure the speed on this machine, and PyTorch's if it is installed")
    bench.set_defaults(run=run_bench)
    bench_command.add_options(bench, bench_libraries(), kernel="best")
    bench.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda runs larger jobs on a GPU")
    bench.add_argument("--out", type=Path, metavar="FOLDER", help="write results.md and results.json there")

    gradcheck = commands.add_parser("gradcheck", help="check the gradients of the layers in a Python file")
    gradcheck.set_defaults(run=run_gradcheck)
    add_gradcheck_arguments(gradcheck)

    exercises = commands.add_parser("exercises", help="learn backpropagation in small exercises, with feedback")
    exercises.set_defaults(run=run_exercises)
    add_exercises_arguments(exercises)

    course = commands.add_parser("course", help="prepare a course with exercises")
    course.set_defaults(run=run_course)
    add_course_arguments(course)

    grade = commands.add_parser("grade", help="mark the submissions of a course")
    grade.set_defaults(run=run_grade)
    add_grade_arguments(grade)

    info = commands.add_parser(
        "info", help="show versions, BLAS, devices and the speed of matrix products, with advice"
    )
    info.set_defaults(run=run_info)
    return top


def run_exercises(arguments: argparse.Namespace) -> int:
    from .exercises.command import run_exercises  # imported here, because only this command needs the 35 exercises

    return run_exercises(arguments)


def add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    command.add_argument(
        "--tf32", action="store_true", help="on a GPU: faster matrix products, with 3 correct digits instead of 7"
    )


def usable_device(arguments: argparse.Namespace) -> str:
    """Return ``--device``, or raise if it cannot be used. Turn on TF32 if ``--tf32`` is given."""
    if arguments.tf32:
        if arguments.device == "cpu":
            raise ValueError("--tf32 needs --device cuda")
        backend.allow_tf32()
    backend.module_for(arguments.device)
    return arguments.device


# --- train -----------------------------------------------------------------------------------------------------------


def run_train(arguments: argparse.Namespace) -> int:
    if launch.needs_start(arguments.ranks):
        return launch.start(arguments.ranks, arguments.argv)
    communicator = launch.communicator()
    with launch.only_rank_0_prints(communicator):
        return _train(arguments, communicator)


def _train(arguments: argparse.Namespace, communicator: Any) -> int:
    arguments.device = launch.device_of_rank(communicator, arguments.device)
    start, device = time.perf_counter(), usable_device(arguments)
    if arguments.resume:
        run = _open_to_resume(arguments)
    else:
        run = _create(arguments, communicator)
    steps, total = len(run.batches("train")), run.total_steps()
    print(
        f"{run.config.source}: {sum(map(len, run.parts.values())):,} characters, "
        f"{len(run.tokenizer):,} different tokens; "
        f"{steps} steps per epoch, {total} steps in total -> {run.folder}"
    )
    stopped = run.train(resumed=arguments.resume, device=device, communicator=communicator)
    if not launch.is_rank_0(communicator):
        return 0  # even after Ctrl-C: after another exit code, mpiexec would kill rank 0, which may still write files
    if stopped == "interrupted":
        print(f"\nStopped at step {run.history.steps} of {total}; the run is saved. To resume it:")
        print(f"    {_command()} train --out {shlex.quote(str(run.folder))} --resume")
        return 130
    if stopped:
        print(f"stopped early: {stopped}")
    model = run.model().to(device)
    sample = run.sample(model)
    best = run.history.best
    print(f"\n{sample[:600].strip()}\n")
    print(f"validation         {run.show(best['loss'], run.batches('valid'))} (step {best['step']:.0f} of {total})")
    print(f"known words        {run.known_words(sample):.1%} of the words of the sample also occur in the text")
    print(f"time               {run.history.seconds:.0f} s of training, {time.perf_counter() - start:.0f} s in all")
    print(f"{run.folder}/    loss.png  sample.txt  model.safetensors  checkpoint.safetensors  history.json")
    prompt = f" --prompt {shlex.quote(runs.PROMPT)}" if runs.default_prompt(run.tokenizer) == runs.PROMPT else ""
    print(f"write more         {_command()} generate {shlex.quote(str(run.folder))}{prompt}")
    return 0


def _create(arguments: argparse.Namespace, communicator: Any) -> runs.Run:
    source = DEFAULT_SOURCE if arguments.text is None else arguments.text
    preset = run_settings.PRESETS[arguments.preset] if arguments.preset else {}
    level = arguments.level or preset.get("level", "char")
    if preset and not arguments.level and source.startswith(runs.AUSTEN_PREFIX):
        level = "word"  # the presets' corpora are already split into tokens, the novels are not
    asked = {name: value for name in _settings() if (value := getattr(arguments, name, None)) is not None}
    of_cell = run_settings.TRANSFORMER if arguments.cell == "transformer" else {}
    settings = (preset or run_settings.DEFAULTS[level]) | of_cell | asked
    if arguments.steps is not None:
        settings["epochs"] = None
    folder = arguments.out or runs.free_folder(source, level)
    config = run_settings.Config(**settings | {"source": source, "level": level})
    folder = launch.of_rank_0(communicator, folder)
    run = runs.Run.plan(folder, config)
    if arguments.minutes is not None:
        steps = runs.steps_in(arguments.minutes, run, arguments.device, communicator)
        config.steps = launch.of_rank_0(communicator, steps)
        print(f"{arguments.minutes:g} minutes are about {config.steps} steps (--steps {config.steps} repeats this run)")
    # Each rank checks in `plan` that the folder is new. Wait for these checks before rank 0 creates the folder.
    launch.wait_for_all_ranks(communicator)
    if launch.is_rank_0(communicator):
        run.create()
    launch.wait_for_all_ranks(communicator)
    return run


def _open_to_resume(arguments: argparse.Namespace) -> runs.Run:
    if arguments.out is None:
        raise ValueError("--resume needs --out FOLDER, the folder of the run to resume")
    given = [n for n in ("text", "preset", "minutes", *_settings()) if getattr(arguments, n, None) is not None]
    if given:
        raise ValueError(
            f"a resumed run keeps its own settings (in {arguments.out / 'config.json'}): "
            f"leave out {', '.join('--' + name.replace('_', '-') if name != 'text' else 'TEXT_FILE' for name in given)}"
        )
    return runs.Run.open(arguments.out)


def _settings() -> list[str]:
    return [name for name in run_settings.Config.__dataclass_fields__ if name not in ("source", "sha256")]


# --- evaluate, generate, info ----------------------------------------------------------------------------------------


def run_evaluate(arguments: argparse.Namespace) -> None:
    device, run = usable_device(arguments), runs.Run.open(arguments.folder)
    model = run.model().to(device)
    if arguments.text is not None:
        parts = {arguments.text: run.batches_of(data.load_text(arguments.text), arguments.text)}
    else:
        parts = {"validation": run.batches("valid"), "test": run.batches("test")}
    for name, batches in parts.items():
        start = time.perf_counter()
        loss = run.loss(model, batches)
        count, seconds = batches.num_tokens, time.perf_counter() - start
        speed = f"(loss {loss:.4f}, {count:,} tokens, {count / seconds:,.0f} tokens/s)"
        print(f"{name:<12} {run.show(loss, batches)}   {speed}")


def run_generate(arguments: argparse.Namespace) -> None:
    device, a, stop = usable_device(arguments), arguments, arguments.stop
    model, tokenizer = _model_and_tokenizer(a.folder)
    if stop is None and is_gpt2(a.folder) and END_OF_TEXT in tokenizer.vocabulary:
        stop = END_OF_TEXT
    prompt = runs.default_prompt(tokenizer) if a.prompt is None else a.prompt
    settings = {"min_p": a.min_p, "repetition_penalty": a.repetition_penalty, "n": a.n}
    texts = nn.generate(
        model.to(device), tokenizer, prompt, a.tokens, a.temperature, a.top_k, a.top_p, stop, a.seed, **settings
    )
    print(f"\n{'-' * 40}\n".join(texts))


def run_explain(arguments: argparse.Namespace) -> None:
    device, a = usable_device(arguments), arguments
    model, tokenizer = _model_and_tokenizer(a.folder)
    explanation = nn.explain.explain_prompt(model.to(device), tokenizer, a.prompt, a.next, a.method)
    print(explanation.text(colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))


def _model_and_tokenizer(folder: Path) -> tuple[nn.Module, Any]:
    """Return the model and the tokenizer of a run, or of a folder with a GPT-2."""
    if is_gpt2(folder):
        return nn.load_gpt2(folder), data.BPETokenizer.load(folder)
    run = runs.Run.open(folder)
    return run.model(), run.tokenizer


def run_bench(arguments: argparse.Namespace) -> None:
    if arguments.device == "cuda":
        bench_command.run_on_gpu(arguments)
    else:
        bench_command.run(arguments, bench_libraries(), arguments.out)


def bench_libraries() -> list[runner.Library]:
    return [runner.OURS, *runner.PYTORCH]


def run_info(arguments: argparse.Namespace) -> None:
    print(info.report(nn.__version__, backend.devices()))


def _command() -> str:
    """Return the words that call this command: its name if the PATH contains it, else its path."""
    return "nnscratch" if shutil.which("nnscratch") else os.path.relpath(sys.argv[0])


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
