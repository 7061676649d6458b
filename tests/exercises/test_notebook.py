"""`nn.exercises.check` in a notebook, and the notebooks that `nnscratch exercises start --notebooks` writes."""

import ast
import json
import subprocess
import sys

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.cli import main
from nnscratch.exercises import LADDER
from nnscratch.exercises.notebook_files import notebook_of, task_and_code


def named(name):
    return next(exercise for exercise in LADDER if exercise.name == name)


def code_of(name, old="", new=""):
    """Run the solution of an exercise, with `old` replaced by `new`, and return what it defines."""
    found = {}
    exec(compile(named(name).solution.replace(old, new), f"<cell of {name}>", "exec"), found)
    return found


def relu_forward(x):
    print("called")
    return np.maximum(x, 0), x


def no_backward(dout, x):
    return dout


def test_a_report_prints_as_text_and_shows_as_html():
    report = nn.exercises.check("relu", relu_forward, no_backward, seed=0)
    assert not report.solved
    text, html = repr(report), report._repr_html_()
    for expected in ("Exercise 4: relu", "Not yet. The values of forward are right.", "mask not applied", "seed=0"):
        assert expected in text and expected in html
    assert "  | called\n" in text and html.count("<div") == html.count("</div>") == 1


def test_a_solved_exercise_shows_the_model_solution_and_what_to_read():
    report = nn.exercises.check("relu", relu_forward, lambda dout, x: dout * (x > 0))
    assert report.solved and "Solved." in repr(report)
    html = report._repr_html_()
    assert "dout * (x &gt; 0)" in html and named("relu").reading in html


def test_text_of_the_student_is_escaped():
    def forward(x):
        print("<script>alert(1)</script>")
        raise ValueError("<img src=x onerror=alert(2)>")

    html = nn.exercises.check("relu", forward, no_backward)._repr_html_()
    assert "&lt;script&gt;" in html and "&lt;img" in html
    assert "<script" not in html and "<img" not in html


def test_an_error_names_the_line_of_the_cell():
    def forward(x):
        return x.maximum(0), x

    report = nn.exercises.check("relu", relu_forward, lambda dout, x: dout.maximum(0))
    assert "AttributeError" in report.headline and "your line" in repr(report)
    assert "AttributeError" in nn.exercises.check("relu", forward, no_backward).headline


@pytest.mark.parametrize(("exercise", "code"), [
    ("lstm_step", ["lstm_step_forward", "lstm_step_backward"]),  # two functions
    ("lstm_step", ["lstm_step_backward", "lstm_step_forward"]),  # in another order, with the names of the exercise
    ("linear_class", ["Linear"]),
    ("masked_loss", ["temporal_softmax_loss"]),
    ("adam", ["adam"]),
])  # fmt: skip
def test_functions_and_classes_are_accepted(exercise, code):
    found = code_of(exercise)
    report = nn.exercises.check(exercise, *(found[name] for name in code))
    assert report.solved, report


@pytest.mark.thorough
def test_mistakes_get_the_same_diagnosis_as_in_a_file():
    for mistake in named("lstm_step").mistakes:
        found = code_of("lstm_step", mistake.old, mistake.new)
        report = nn.exercises.check("lstm_step", found["lstm_step_forward"], found["lstm_step_backward"], seed=0)
        assert mistake.expected in report.headline


def test_wrong_calls_are_explained():
    with pytest.raises(TypeError, match="relu needs relu_forward, relu_backward; got relu_forward"):
        nn.exercises.check("relu", relu_forward)
    with pytest.raises(ValueError, match="no exercise called 'rely'. Did you mean relu?"):
        nn.exercises.check("rely", relu_forward)


def test_ctrl_c_and_the_stop_button_reach_the_notebook():
    def forward(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nn.exercises.check("relu", forward, no_backward)


def test_start_writes_notebooks_and_keeps_those_that_exist(tmp_path, capsys):
    (tmp_path / "01_sigmoid.ipynb").write_text("mine")
    assert main(["exercises", "start", str(tmp_path), "--notebooks"]) == 0
    assert f"{len(LADDER) - 1} exercises written, 1 files existed already" in capsys.readouterr().out
    assert (tmp_path / "01_sigmoid.ipynb").read_text() == "mine"
    assert len(list(tmp_path.glob("*.ipynb"))) == len(LADDER)


@pytest.mark.parametrize("exercise", LADDER, ids=lambda exercise: exercise.name)
def test_a_notebook_has_the_task_the_code_and_a_check_of_what_the_code_defines(exercise):
    nbformat = pytest.importorskip("nbformat")
    notebook = notebook_of(exercise)
    nbformat.validate(nbformat.from_dict(json.loads(json.dumps(notebook))))
    task, code, hints, check = (cell["source"] for cell in notebook["cells"])
    assert f"# Exercise {exercise.number}: " in task and "What is checked: " in task and "nnscratch" not in task
    defined = {node.name for node in ast.parse(code).body if hasattr(node, "name")}
    call = ast.parse(check).body[-1].value
    assert call.args[0].value == exercise.name and {name.id for name in call.args[1:]} <= defined
    assert hints.count("<details>") == 2


def test_the_cells_run_and_the_check_passes_with_the_solution():
    exercise = named("word_embedding")
    cells = notebook_of(exercise)["cells"]
    found = {}
    exec(cells[1]["source"], found)
    tree = ast.parse(cells[3]["source"])
    call = compile(ast.Expression(tree.body[-1].value), "check", "eval")
    exec(compile(ast.Module(tree.body[:-1], []), "check", "exec"), found)
    assert "There is a TODO left" in repr(eval(call, found))
    exec(task_and_code(exercise.solution)[1], found)
    assert eval(call, found).solved


def test_a_notebook_runs_in_jupyter_and_names_lines_of_the_cell():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.from_dict(notebook_of(named("word_embedding")))
    solution = nbformat.v4.new_code_cell(task_and_code(named("word_embedding").solution)[1])
    check = notebook.cells[3]
    notebook.cells += [solution, nbformat.v4.new_code_cell(check.source)]
    nbclient.NotebookClient(notebook, timeout=120).execute()
    (first,), (last,) = check.outputs, notebook.cells[-1].outputs
    assert "There is a TODO left" in first.data["text/html"]
    assert "your line 7: raise NotImplementedError" in first.data["text/html"]
    assert "Solved." in last.data["text/html"] and "Solved." in last.data["text/plain"]


def test_the_ladder_is_imported_on_use():
    code = "import sys, nnscratch.cli; print(*(m for m in sys.modules if m.startswith('nnscratch.exercises')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(loaded) == ["nnscratch.exercises", "nnscratch.exercises.arguments"]
    assert nn.exercises.LADDER is LADDER and "check" in dir(nn.exercises)
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        _ = nn.exercises.chekc
