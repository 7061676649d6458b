"""The notebooks: each source runs from top to bottom; each exercise says "not yet" as it stands and for a wrong answer,
and "solved" with its hidden solution; and what readers open was made from the source.

Every notebook is executed once, in fast mode, two at a time. Right after an exercise's checking cell the run takes in
the solution and checks again, takes in a wrong answer and checks again, then runs the exercise's own cell, so that what
follows meets the unsolved state.
"""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from wrong_answers import WRONG_ANSWERS, wrong_answers

import nnscratch as nn

ROOT = Path(__file__).parents[1]
if not (ROOT / "notebooks").is_dir():
    pytest.skip("notebooks/ is not part of an installation", allow_module_level=True)
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupytext")
pytest.importorskip("nbclient")

spec = importlib.util.spec_from_file_location("notebooks_build", ROOT / "notebooks" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

TEMPLATE = ROOT / "notebooks" / "template.md"
SOURCES = [TEMPLATE, *build.sources()]
NUMBER_ANSWER = r'^<details class="number" data-answer="([^"]+)"><summary>Answer</summary>$'
ANIMATION = '<div id="animation-'  # how the HTML of an animation starts
SECONDS = 60  # a notebook may take in fast mode
each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
# make test executes the template and notebook 01, make test-thorough executes all the others
IN_MAKE_TEST = ("template", "01_one_neuron")
EXECUTED = [
    pytest.param(source, marks=[] if source.stem in IN_MAKE_TEST else pytest.mark.thorough, id=source.stem)
    for source in SOURCES
]
each_executed = pytest.mark.parametrize("source", EXECUTED)


def with_answers(notebook, number):
    """A copy in which each check runs again with the solution (tag solved-K) and with wrong answers (tag refused-K_I).

    I counts the wrong answers to exercise K from 0. Then the exercise is put back. `number` is the notebook's number,
    such as "03".
    """
    cells, run = notebook.cells, nbformat.v4.new_notebook(metadata=notebook.metadata)
    exercises, checks = build.tagged(notebook, "exercise"), build.tagged(notebook, "check")
    for position, cell in enumerate(cells):
        run.cells.append(cell)
        for name in (name for name in checks if checks[name] == position):
            solution = build.solution(notebook, name) or ""
            answers = {f"solved-{name}": solution}
            if number in WRONG_ANSWERS:
                for i, (answer, _) in enumerate(wrong_answers(number, name, solution)):
                    answers[f"refused-{name}_{i}"] = answer
            for tag, answer in answers.items():
                run.cells.append(nbformat.v4.new_code_cell(answer))
                run.cells.append(nbformat.v4.new_code_cell(cell.source, metadata={"tags": [tag]}))
            run.cells.append(nbformat.v4.new_code_cell(cells[exercises[name]].source))
    return run


def executed_in_a_process(source):
    command = [sys.executable, build.__file__, "--pipe", str(SECONDS)]
    given = build.text(with_answers(build.read(source), source.name[:2]))
    # One core each: OpenBLAS's threads wait for each other by spinning, and two kernels with two each crawl.
    one_core = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    streams = {"input": given, "capture_output": True, "text": True, "encoding": "utf-8"}
    done = subprocess.run(command, **streams, timeout=2 * SECONDS, env=one_core)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return nbformat.reads(done.stdout, as_version=4)


@pytest.fixture(scope="module")
def executed(request):
    """executed(source): the notebook with its outputs. All that the chosen tests need run in the background."""
    wanted = {
        item.callspec.params["source"]: None
        for item in request.session.items
        if item.path == request.path
        and "executed" in item.fixturenames
        and hasattr(item, "callspec")
        and not item.get_closest_marker("skip")
    }
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = {source: pool.submit(executed_in_a_process, source) for source in wanted}
        yield lambda source: (runs[source] if source in runs else pool.submit(executed_in_a_process, source)).result()
        for run in runs.values():
            run.cancel()


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def outputs(notebook):
    """Every text that the cells put out, with the name of its kind."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                yield output.name, output.text
            for kind, content in output.get("data", {}).items():
                if not kind.startswith("image/png"):
                    yield kind, content if isinstance(content, str) else str(content)


@each_executed
def test_it_runs_and_every_exercise_is_unsolved_as_it_stands_and_solved_by_its_solution(source, executed):
    notebook = executed(source)
    unsolved, solved = build.tagged(notebook, "check"), build.tagged(notebook, "solved")
    assert unsolved.keys() == solved.keys()
    for name in unsolved:
        assert f"Exercise {name}: not yet." in printed(notebook.cells[unsolved[name]])
        assert f"Exercise {name}: solved." in printed(notebook.cells[solved[name]])


@each_executed
def test_every_check_refuses_wrong_answers_and_says_why(source, executed):
    notebook, given, number = executed(source), build.read(source), source.name[:2]
    refused = build.tagged(notebook, "refused")
    for name in WRONG_ANSWERS.get(number, {}):
        for i, (answer, words) in enumerate(wrong_answers(number, name, build.solution(given, name))):
            said = printed(notebook.cells[refused[f"{name}_{i}"]])
            assert f"Exercise {name}: not yet." in said, f"exercise {name} accepts a wrong answer: {answer}"
            assert words in said, f"{answer}\n{said}"


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_every_exercise_has_a_wrong_answer(source):
    notebook = build.read(source)
    assert WRONG_ANSWERS[source.name[:2]].keys() == build.tagged(notebook, "exercise").keys()
    for name in WRONG_ANSWERS[source.name[:2]]:
        for answer, _ in wrong_answers(source.name[:2], name, build.solution(notebook, name)):
            compile(answer, f"wrong answer to exercise {name}", "exec")


@pytest.mark.thorough
def test_an_error_in_a_cell_names_its_line_and_the_shapes_in_it(executed):
    source = next(path for path in build.sources() if path.name.startswith("03"))
    notebook = executed(source)
    said = printed(notebook.cells[build.tagged(notebook, "check")["3"]])
    assert "`AnyLinear.backward`, line 6 of its cell:\n        self.weight.grad += dy.T @ x\n" in said
    assert "`dy.T` is (2, 5, 4), `x` is (4, 5, 3)" in said


@each_executed
def test_its_outputs_have_no_warning_no_path_and_no_memory_address(source, executed):
    for kind, content in outputs(executed(source)):
        assert kind != "stderr", f"something was written to stderr: {content}"
        assert not re.search(r"0x[0-9a-f]{6,}|/(home|root|tmp|usr|work|Users|var)/|[A-Z]:\\", content), content


@each_source
def test_it_has_two_or_three_exercises_each_with_a_check_and_a_hidden_solution(source):
    notebook = build.read(source)
    exercises, checks = build.tagged(notebook, "exercise"), build.tagged(notebook, "check")
    assert 2 <= len(exercises) <= 3
    assert exercises.keys() == checks.keys()
    for name in exercises:
        assert checks[name] == exercises[name] + 1, f"check-{name} must follow exercise-{name} directly"
        assert f'nn.testing.exercise("{name}")' in notebook.cells[checks[name]].source
        assert build.solution(notebook, name), f"no hidden solution right after check-{name}"


def right_in_the_text(questions):
    """The right answer to each quick question: the letter of the folded text that starts with "Right.", or a number."""
    found = {}
    parts = re.split(r"^\*\*(\d+)\.\*\* ", questions, flags=re.MULTILINE)
    for number, question in zip(parts[1::2], parts[2::2], strict=True):
        letters = re.findall(r"^- \*\*([A-E])\.\*\* ", question, re.MULTILINE)
        folded = re.findall(r"^<details><summary>([A-E])</summary>\n\n(Right|No)\. ", question, re.MULTILINE)
        assert [letter for letter, _ in folded] == letters and len(letters) != 1, question
        answers = [letter for letter, verdict in folded if verdict == "Right"]
        answers += re.findall(NUMBER_ANSWER, question, re.MULTILINE)
        assert len(answers) == 1, f"one letter must be right, or there must be one number:\n{question}"
        assert not re.search(r"^\d+\. ", question, re.MULTILINE), f"Markdown reads this line as a list:\n{question}"
        found[int(number)] = answers[0]
    return found


@each_source
def test_the_quick_questions_have_the_same_right_answers_in_the_text_and_in_the_kernel(source, capsys):
    cells = build.read(source).cells
    at = next(k for k, cell in enumerate(cells) if "quick-answers" in cell.metadata.get("tags", []))
    _, heading, questions = cells[at - 1].source.partition("## Quick questions\n")
    right = right_in_the_text(questions)
    assert heading and list(right) == list(range(1, len(right) + 1))
    assert len(right) <= 5 and (len(right) >= 3 or source == TEMPLATE)
    names = {"nn": nn}
    exec(cells[at].source, names)
    assert names["quick"] == dict.fromkeys(right, "")
    check = cells[at + 1]
    assert check.metadata["tags"] == ["hide-input", "quick-check"]
    given = ast.literal_eval(ast.parse(check.source).body[0].value.args[1])
    assert {number: str(answer) for number, answer in given.items()} == right  # 3 and 3.0 have different tolerances
    exec(check.source, names | {"quick": right})
    assert capsys.readouterr().out == "".join(f"Question {number}: right.\n" for number in right)


@each_source
def test_it_has_the_sections_of_every_notebook(source):
    notebook = build.read(source)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    number = "0" if source == TEMPLATE else str(int(source.name[:2]))
    needed = [rf"\A# {number}\. \S", r"^\*\*You will be able to\*\*", r"^\*\*You need\*\*", "^## Exercises$",
              "^## What to read next$"]  # fmt: skip
    found = [re.search(pattern, words, re.MULTILINE) for pattern in needed]
    assert all(found), [pattern for pattern, match in zip(needed, found, strict=True) if not match]
    assert [match.start() for match in found] == sorted(match.start() for match in found)
    assert len(re.findall("^# ", re.sub("^```.*?^```", "", words, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)) == 1


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_what_readers_open_was_made_from_the_source(source):
    assert build.built(source).exists(), "run make notebooks"
    made = nbformat.read(build.built(source), as_version=4)
    content = [(cell.cell_type, cell.source, cell.metadata) for cell in made.cells]
    now = build.normalise(build.read(source))
    assert content == [(cell.cell_type, cell.source, cell.metadata) for cell in now.cells], "run make notebooks"
    assert build.text(build.normalise(made)) == build.built(source).read_text(encoding="utf-8")


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_what_readers_open_was_executed_without_error_and_is_small(source):
    made = nbformat.read(build.built(source), as_version=4)
    assert all(output.output_type != "error" for cell in made.cells for output in cell.get("outputs", []))
    assert any("image/png" in output.get("data", {}) for cell in made.cells for output in cell.get("outputs", []))
    for _, content in outputs(made):
        assert not re.search(r"0x[0-9a-f]{6,}|/(home|root|tmp|usr|work|Users|var)/|[A-Z]:\\", content), content
    assert build.built(source).stat().st_size < 400_000


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_every_figure_has_a_caption_and_an_alternative_text_that_says_what_it_shows(source):
    made = nbformat.read(build.built(source), as_version=4)
    for cell in made.cells:
        pictures = [
            output
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {}) or ANIMATION in output.get("data", {}).get("text/html", "")
        ]
        assert bool(pictures) == ("alt" in cell.metadata), f"the text belongs to a figure:\n{cell.source}"
        for picture in pictures:
            if "image/png" in picture.data:
                assert picture.metadata["image/png"]["alt"] == cell.metadata["alt"]
            assert len(cell.metadata["alt"]) > 80, "describe the axes and the curves, and what they do"
            assert 10 < len(cell.metadata["caption"]) < 120


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_cells_that_the_site_folds_are_folded_in_jupyter_too(source):
    made = nbformat.read(build.built(source), as_version=4)
    for cell in made.cells:
        tags = cell.metadata.get("tags", [])
        assert cell.metadata.get("jupyter", {}).get("source_hidden", False) == ("hide-input" in tags), cell.source
        if "hide-input" in tags:
            named = "alt" in cell.metadata or "quick-check" in tags
            assert named, f"only cells that draw a figure or check the quick questions are folded:\n{cell.source}"


@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_the_last_section_links_to_the_neighbours_the_derivations_and_the_glossary(source):
    last = nbformat.read(build.built(source), as_version=4).cells[-1].source
    assert "\n## What to read next\n" in f"\n{last}"
    links = re.findall(r"\[[^\]]+\]\(([^)]+)\)", last.splitlines()[-1])
    everything = build.sources()
    at = everything.index(source)
    neighbours = [*everything[max(at - 1, 0) : at], *everything[at + 1 : at + 2]]
    derivations = {"03": ["linear", "activations"], "12": ["lstm", "gru"], "02": []}.get(source.name[:2])
    assert links[: len(neighbours)] == [build.built(path).name for path in neighbours]
    assert links[-1] == "../docs/glossary.md"
    if derivations is not None:
        assert links[len(neighbours) : -1] == [f"../docs/derivations/{name}.md" for name in derivations]
    assert all((build.HERE / link).is_file() for link in links)


def test_every_executed_notebook_has_a_source():
    assert {path.stem for path in build.HERE.glob("*.ipynb")} == {source.stem for source in build.sources()}


def message_of(node):
    """The message of an assertion or of assert_values_match, if it starts with words."""
    given = node.msg if isinstance(node, ast.Assert) else None
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "assert_values_match" and len(node.args) > 2:
        given = node.args[2]
    if isinstance(given, ast.JoinedStr):
        given = given.values[0]
    return given.value if isinstance(given, ast.Constant) else ""


@each_source
def test_the_message_of_a_check_starts_with_a_capital_letter_or_a_name(source):
    notebook = build.read(source)
    code = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    nodes = [node for tree in code for node in ast.walk(tree)]
    names = {getattr(node, kind, None) for node in nodes for kind in ("id", "attr", "arg", "name")}
    for position in build.tagged(notebook, "check").values():
        for node in ast.walk(ast.parse(notebook.cells[position].source)):
            word = re.match(r"[a-z]+(?![\w(/'])", message_of(node))
            assert not word or word[0] in names, f"{message_of(node)!r} starts with a small letter"
