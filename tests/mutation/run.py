"""Mutation testing: change one operation of the package, and see whether a test fails. ``make mutate`` runs this file.

    python tests/mutation/run.py FOLDER [--sample 5] [--seed 0] [--budget 10] [--files "layers/l*"]

For each file of the folder, ``--sample`` of its mutants (mutants.py) are drawn with ``--seed``. A mutant is killed if
one of the tests that execute the changed line fails. The fastest case of each test function runs first, then the next
case of each, until the tests take ``--budget`` seconds. FOLDER.md shows the outcome. equivalent.toml lists the mutants
that no test can or should kill.

All tests of the folder run once, and coverage records their lines. Then each mutant runs in a forked process, in which
only the code of one function is replaced. So a mutant costs the time of its tests, and no import.

Why not mutmut or cosmic-ray: mutmut 3 makes no mutants of decorated functions, such as the kernels of optimisers.
cosmic-ray starts a process for each mutant. Its imports of NumPy, pytest and the package take longer than most tests.
"""

import argparse
import ast
import fnmatch
import gc
import importlib
import itertools
import json
import os
import random
import signal
import sys
import time
import tomllib
import types
from collections import Counter, defaultdict
from pathlib import Path

import coverage
import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item
from mutants import Mutant, sites

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EQUIVALENT = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))
GENERAL = ["tests/test_gradients.py", "tests/test_defaults.py", "tests/test_wrong_calls.py"]
TWO_DEVICES = "tests/gpu/test_further_paths.py::test_a_prediction_and_a_target_on_two_devices_are_refused"
TESTS = {
    "layers": ["tests/layers", "tests/privacy/test_per_example.py", "tests/gpu/test_fast_products.py", *GENERAL],
    "losses": ["tests/test_losses.py", "tests/layers/test_contract.py", TWO_DEVICES, *GENERAL],
    "optim": ["tests/optim", *GENERAL[1:]],
    "models": ["tests/models", *GENERAL],
    "training": ["tests/training", "tests/test_progress.py", "tests/test_run_folder.py",
                 "tests/test_record_and_summary.py", "tests/privacy/test_dpsgd.py", *GENERAL[1:]],
    "data": ["tests/data", "tests/models/test_masked_lm.py", "tests/models/test_word_vectors.py", *GENERAL[1:]],
    "gradcheck": ["tests/gradcheck/parts", *(f"tests/gradcheck/test_{name}.py" for name in (
        "checker", "completeness", "course_functions", "course_numbers", "course_objects", "diagnosis", "directional",
        "false_alarms", "kinks", "mistakes", "numerics", "parts", "planted", "small_constants", "traps",
        "unusual_code", "vacuous"))],
}  # fmt: skip
LEFT_OUT = {  # {files: why they have no mutants}
    "gradcheck/command/orphans.py": "a mutant could kill processes that the tests did not start",
    **dict.fromkeys(
        ("training/gradient_sum.py", "training/ranks.py", "training/together.py"),
        "the code runs in several processes, which a mutant of this process does not reach",
    ),
    "training/async_steps.py": "the code runs on a GPU: make test-gpu tests it",
    "gradcheck/adapters/[jt]*_forms.py": "the code needs PyTorch, JAX or TensorFlow: make test-oracle tests it",
}


class Mutation:
    """The pytest plugin that runs each test once, and then the mutants."""

    def __init__(self, options):
        self.options, self.sound, self.outcomes = options, set(), []
        self.paths = {p.relative_to(ROOT / "nnscratch").as_posix(): p
                      for p in sorted((ROOT / "nnscratch" / options.folder).rglob("*.py"))}  # fmt: skip
        self.page = (HERE / f"{options.folder}.md").read_text(encoding="utf-8") if options.again else ""
        for pattern in LEFT_OUT:
            self.paths = {name: path for name, path in self.paths.items() if not fnmatch.fnmatch(name, pattern)}
        self.out = os.fdopen(os.dup(1), "w", buffering=1)  # pytest captures file 1

    def pytest_configure(self):
        """Let hypothesis draw the same examples in each run, and stop at the first that fails."""
        from hypothesis import HealthCheck, Phase, settings  # pytest must import its plugins first

        settings.register_profile("mutation", database=None, derandomize=True, deadline=None, max_examples=20,
                                  phases=[Phase.explicit, Phase.generate],
                                  suppress_health_check=list(HealthCheck))  # fmt: skip
        settings.load_profile("mutation")

    def pytest_runtestloop(self, session):
        self.items = {item.nodeid: item for item in session.items}
        for name in self.paths:  # also modules that the package imports only when it needs them
            importlib.import_module("nnscratch." + name.removesuffix(".py").replace("/", "."))
        self.caches, self.found = [], defaultdict(list)
        for o in gc.get_objects():
            if isinstance(o, types.FunctionType):
                self.found[o.__code__.co_filename, o.__code__.co_qualname, o.__code__.co_firstlineno].append(o)
            elif hasattr(type(o), "cache_clear"):
                self.caches.append(o)
        seconds, self.lines = self.in_child(self.trace)
        self.fast = quick_and_different(seconds)
        self.seconds = seconds
        print(f"{len(seconds)} tests: {sum(seconds.values()):.0f} s of processor time", file=self.out)
        for name, path in self.paths.items():
            if fnmatch.fnmatch(name, self.options.files):
                self.mutate(name, path)
        return True

    def in_child(self, function, *arguments):
        """Return the result of a function that runs in a forked process, or None if that process ended early."""
        read, write = os.pipe()
        if child := os.fork():
            os.close(write)
            with os.fdopen(read, "rb") as pipe:
                result = pipe.read()
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3:
                raise RuntimeError(f"{function.__name__} failed: {result.decode()}")
            return json.loads(result) if result else None
        status = 3
        try:
            with os.fdopen(write, "wb") as pipe:
                try:
                    pipe.write(json.dumps(function(*arguments)).encode())
                    status = 0
                except Exception as error:
                    pipe.write(repr(error).encode())
        finally:
            os._exit(status)

    def trace(self):
        """Run all tests. Return the seconds of each, and {file: {line: tests that execute it}}."""
        os.environ["COVERAGE_CORE"] = "ctrace"  # sys.monitoring reports a line once, and not once for each test
        cov = coverage.Coverage(data_file=None, include=[str(path) for path in self.paths.values()], config_file=False)
        cov.start()
        seconds = {}
        for name, item in self.items.items():
            cov.switch_context(name)
            for cache in self.caches:  # otherwise only the first test would execute a function with a cache
                cache.cache_clear()
            start = time.process_time()
            if fails(item):  # as a few tests of the gradient checker do while coverage traces them
                print(f"not used, because it fails without a mutant: {name}", file=self.out)
            else:
                seconds[name] = time.process_time() - start
        cov.stop()
        return seconds, {str(path): cov.get_data().contexts_by_lineno(str(path)) for path in self.paths.values()}

    def mutate(self, name, path):
        """Run the drawn mutants of one file."""
        count = len(sites(ast.parse(path.read_text(encoding="utf-8"))))
        draw = random.Random(f"{self.options.seed} {name}")
        for number in sorted(draw.sample(range(count), min(self.options.sample, count))):
            mutant = Mutant(path, number)
            by = ""
            if mutant.text in EQUIVALENT.get(name, {}):
                outcome = "equivalent"
            elif self.options.again and f"- {name}: `{mutant.text}`" not in self.page:
                outcome = "killed"
            else:
                by = self.killer(mutant)
                outcome = "killed" if by else "survived"
            self.outcomes.append((name, outcome, mutant.text))
            print(f"{outcome:10} {name} {mutant.text}  ({by})", file=self.out)

    def killer(self, mutant):
        """Return the name of the first test that fails because of a mutant, "timeout", or "" if all tests pass."""
        tests = self.tests_of(mutant)
        name = self.in_child(self.first_failure, tests, mutant)
        if name is None:
            return "timeout"
        if name and name not in self.sound:
            if self.in_child(self.first_failure, tests[: tests.index(name) + 1], None) == name:
                self.fast.remove(name)  # the test fails in this order also without the mutant
                return self.killer(mutant)
            self.sound.add(name)
        return name

    def tests_of(self, mutant):
        """Return the first tests that execute the changed line (or else the function), up to the budget."""
        by_line = self.lines[str(mutant.path)]
        body = range(mutant.function.body[0].lineno, mutant.function.end_lineno + 1)
        for lines in (mutant.lines, body):
            names = {name for line in lines for name in by_line.get(str(line), ())}
            tests = [name for name in self.fast if name in names]
            if tests:
                break
        total = itertools.accumulate(self.seconds[name] for name in tests)
        return [name for name, seconds in zip(tests, total, strict=True) if seconds <= self.options.budget] or tests[:1]

    def first_failure(self, tests, mutant):
        """Return the name of the first test that fails with the mutant, or "" if all pass."""
        signal.setitimer(signal.ITIMER_PROF, 3 * self.options.budget)
        signal.alarm(60 + int(30 * self.options.budget))  # for a mutant that waits forever
        if mutant:
            mutant.install(self.found)
        for cache in self.caches:
            cache.cache_clear()
        return next((name for name in tests if fails(self.items[name])), "")


def quick_and_different(seconds):
    """Return the tests in the order in which they run: first the fastest case of each test function, then the next.

    The cases of one function often execute the same lines. So other functions find more mutants in the same time.
    """
    cases = defaultdict(list)
    for name in sorted(seconds, key=seconds.get):
        cases[name.partition("[")[0]].append(name)
    rounds = itertools.zip_longest(*cases.values())
    return [name for case in rounds for name in sorted(filter(None, case), key=seconds.get)]


def fails(item):
    # runtestprotocol ignores the filterwarnings marks of a test. Without them, an expected warning is an error.
    with catch_warnings_for_item(config=item.config, ihook=item.ihook, when="runtest", item=item):
        try:
            return any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))
        except KeyboardInterrupt:  # a test interrupts the code, and the mutant does not catch the interrupt
            return True


def page(options, outcomes):
    """Return the page of a folder: its score, a table of its files, and its survivors and equivalent mutants."""
    total, files = Counter(o for _, o, _ in outcomes), Counter((name, o) for name, o, _ in outcomes)
    killed, all_others = total["killed"], total["killed"] + total["survived"]
    lines = [f"# Mutants of {options.folder}", "",
             f"`make mutate FOLDERS={options.folder} SAMPLE={options.sample} SEED={options.seed}` wrote this page. "
             f"It drew {options.sample} mutants of each file, or all mutants of a small file.", "",
             f"Score: {killed} of {all_others} mutants that are not equivalent were killed, "
             f"{100 * killed / max(all_others, 1):.1f} %.", "",
             *(f"Left out: {pattern}: {why}.\n" for pattern, why in LEFT_OUT.items() if options.folder in pattern),
             "| File | Mutants | Killed | Survived | Equivalent |", "|---|---|---|---|---|"]  # fmt: skip
    for name in sorted({name for name, _, _ in outcomes}):
        row = [files[name, outcome] for outcome in ("killed", "survived", "equivalent")]
        lines.append(f"| {name} | {sum(row)} | {' | '.join(map(str, row))} |")
    for title in ("Survived", "Equivalent"):
        chosen = [(name, text) for name, outcome, text in outcomes if outcome == title.lower()]
        lines += ["", f"## {title}", ""] + ([] if chosen else ["None."])
        lines += [f"- {name}: `{text}`. {EQUIVALENT.get(name, {}).get(text, '')}".rstrip() for name, text in chosen]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", choices=TESTS)
    parser.add_argument("--sample", type=int, default=5, help="mutants of each file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=10, help="seconds of tests of one mutant")
    parser.add_argument("--files", default="*", help="only the files that match; then no page is written")
    parser.add_argument("--tests", nargs="*", help="other tests; then a page is written only with --again")
    parser.add_argument("--again", action="store_true", help="run only the mutants that FOLDER.md lists as survived")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))  # as python -m pytest does: the tests import the folder benchmarks
    plugin = Mutation(options)
    modules = [f"nnscratch.{name.removesuffix('.py').replace('/', '.')}" for name in plugin.paths]
    tests = options.tests or [
        *TESTS[options.folder],
        *(f"tests/test_docstrings.py::test_the_examples_hold[{name.removesuffix('.__init__')}]" for name in modules),
    ]
    status = pytest.main(["-q", "-p", "no:cacheprovider", *tests], [plugin])
    if status == 0 and options.files == "*" and (options.again or not options.tests):
        (HERE / f"{options.folder}.md").write_text(page(options, plugin.outcomes), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
