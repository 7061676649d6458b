"""No link of a notebook is dead in JupyterLite: the linked files of the repository are copied to its contents."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "docs" / "lite").is_dir():
    pytest.skip("docs/ is not part of an installation", allow_module_level=True)
spec = importlib.util.spec_from_file_location("lite_build", ROOT / "docs" / "lite" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)
LOCAL = re.compile(r"\]\((?!https?:|#)([^)\s#]+)[^)\s]*\)")  # the path of a link to a file


def markdown(notebook):
    cells = json.loads(notebook)["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return re.sub(r"^```.*?^```|`[^`\n]*`|\$[^$\n]*\$", "", "\n".join(texts), flags=re.DOTALL | re.MULTILINE)


def test_every_link_of_every_notebook_leads_to_a_file_of_the_contents(tmp_path):
    for notebook in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        if not notebook.name.startswith(build.LEFT_OUT):
            text = build.for_the_browser(notebook, tmp_path)
            (tmp_path / notebook.name).write_text(text, encoding="utf-8")
    links = [
        (file, path) for file in tmp_path.rglob("*.ipynb") for path in LOCAL.findall(markdown(file.read_text("utf-8")))
    ]
    assert len(links) > 100
    assert [(file.name, path) for file, path in links if not (file.parent / path).is_file()] == []
    assert not (tmp_path / "nnscratch").exists()  # Python would import it instead of the installed package


def test_code_in_a_notebook_is_no_link_and_a_page_is_copied_as_a_notebook(tmp_path):
    text = "`model[0](x)`, [Linear](../docs/derivations/linear.md#backward), [layers](../nnscratch/layers/), "
    text += "[16](16_the_gpu.ipynb)"
    copied = build.with_copied_files(text, tmp_path)
    assert copied == "`model[0](x)`, [Linear](repository/docs/derivations/linear.ipynb), layers, 16"
    page = markdown((tmp_path / "repository/docs/derivations/linear.ipynb").read_text("utf-8"))
    assert page.startswith("# Linear") and "{literalinclude}" not in page
    build.with_copied_files("[LSTM](../docs/derivations/lstm.md)", tmp_path)
    page = markdown((tmp_path / "repository/docs/derivations/lstm.ipynb").read_text("utf-8"))
    assert "![Length of" in page and ":::" not in page
