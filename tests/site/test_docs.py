"""Test the sources of the site: every public name is in the reference, and the Python code of the pages runs."""

import importlib.util
import inspect
import json
import re
from pathlib import Path

import matplotlib
import pytest

import nnscratch as nn

DOCS = Path(__file__).parents[2] / "docs"
if not DOCS.is_dir():
    pytest.skip("docs/ is not part of an installation", allow_module_level=True)

MODULES = (nn, nn.data, nn.gradcheck, nn.models, nn.optim, nn.plotting, nn.testing, nn.training)
PAGES = ["index", "coming-from-pytorch"]


def listed_in_the_reference():
    names = set()
    for page in (DOCS / "reference").glob("*.md"):
        for block in re.findall(
            r"^```\{eval-rst\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            names.update(re.findall(r"^   (\w+)$", block, re.MULTILINE))
    return names


def is_listed(value):
    return callable(value) and not inspect.ismodule(value)  # the module nn.gradcheck can be called


def test_every_public_class_and_function_is_in_the_reference():
    public = {name for module in MODULES for name in module.__all__ if is_listed(getattr(module, name))}
    assert sorted(public - listed_in_the_reference()) == []


def test_every_layer_and_loss_has_its_backward_derived_beside_its_code():
    derived = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "derivations").glob("*.md"))
    classes = {getattr(nn, name) for name in nn.__all__ if inspect.isclass(getattr(nn, name))} - {nn.Module}
    layers = [cls for cls in classes if issubclass(cls, nn.Module)]
    written = [f"{cls.__name__}.{way}" for cls in layers for way in ("backward", "layer_backward") if way in vars(cls)]
    assert sorted(name for name in written if f":pyobject: {name}\n" not in derived) == []


def test_every_piece_of_source_that_a_page_includes_exists():
    for page in DOCS.glob("**/*.md"):
        found = re.findall(
            r"\{literalinclude\} (\S+)\n:language: python\n:pyobject: (\S+)", page.read_text(encoding="utf-8")
        )
        for path, name in found:
            source = (page.parent / path).resolve()
            module = __import__(".".join(source.relative_to(DOCS.parent).with_suffix("").parts), fromlist=["_"])
            for part in name.split("."):
                module = inspect.getattr_static(module, part)
            assert inspect.getsourcefile(inspect.unwrap(module)) == str(source)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "# PyTorch\n" not in b]
    assert blocks
    names = {}
    with matplotlib.rc_context():
        for block in blocks:
            exec(compile(block, page, "exec"), names)
    assert names["loss"] < 0.3


def test_the_front_pages_pictures_are_the_notebooks_own():
    chosen = docs_module("pictures").chosen()
    assert {path.name for path in (DOCS / "images").glob("*")} == {path.name for path in chosen}
    for path, content in chosen.items():
        assert path.read_bytes() == content, "run python docs/pictures.py"


def test_a_mention_of_a_notebook_becomes_a_link_outside_of_code_and_links():
    pages = tutorial_pages()
    found = {"03": Path("03_layer.ipynb"), "11": Path("11_rnn.ipynb")}
    text = "See notebook 3, notebooks 03 and 11, `notebook 3`, [notebook 3](x) and notebook 99."
    assert pages.with_links(text, found, "n/") == (
        "See [notebook 3](n/03_layer.ipynb), notebooks [03](n/03_layer.ipynb) and [11](n/11_rnn.ipynb), `notebook 3`, "
        "[notebook 3](x) and notebook 99."
    )
    text = "You need notebooks 3 (layers, 2 of them) and 11. Notebook 3, 11 times."
    assert pages.with_links(text, found) == (
        "You need notebooks [3](03_layer.ipynb) (layers, 2 of them) and [11](11_rnn.ipynb). "
        "[Notebook 3](03_layer.ipynb), 11 times."
    )


def test_a_file_of_the_package_becomes_a_link_that_leads_to_its_source_page_on_the_site():
    pages = tutorial_pages()
    text = "`linear.py`, `nnscratch/layers/linear.py`, `relu.py`, `no.py`, `nnscratch/no.py`, `x`, `nnscratch/layers/`"
    linked = pages.with_file_links(text)
    assert linked == (
        "`linear.py`, [`nnscratch/layers/linear.py`](../nnscratch/layers/linear.py), "
        "[`relu.py`](../nnscratch/layers/relu.py), `no.py`, `nnscratch/no.py`, `x`, "
        "[`nnscratch/layers/`](../nnscratch/layers/)"
    )
    address = "../_modules/nnscratch/layers/linear.html"
    assert f'<a class="reference internal" href="{address}">`nnscratch/layers/linear.py`</a>' in (
        pages.with_repository_links(linked, "../")
    )
    assert pages.with_repository_links("[words](../nnscratch/layers/)", "../") == "words"
    assert pages.with_repository_links("the [README](../README.md)", "") == "the README"
    assert pages.with_repository_links("[no page](../nnscratch/layers/windows.py)", "../") == "no page"


def test_every_link_of_a_notebook_to_the_repository_leads_to_a_file():
    pages = tutorial_pages()
    for path in pages.notebooks(DOCS.parent / "notebooks").values():
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                text = re.sub(r"```.*?```", "", "".join(cell["source"]), flags=re.DOTALL)
                for address in re.findall(r"\]\(((?!https?:|#)[\w./-]+)\)", text):
                    assert (path.parent / address).exists(), f"{path.name}: {address}"


def test_a_figure_of_a_notebook_has_its_caption_and_its_alternative_text_on_the_page():
    pages = tutorial_pages()
    found = pages.notebooks(DOCS.parent / "notebooks")
    cells = json.loads(pages.page("19", found, False, ""))["cells"]
    (given,) = (cell["metadata"] for cell in cells if "alt" in cell["metadata"])
    assert given["mystnb"] == {"image": {"alt": given["alt"]}, "figure": {"caption": given["caption"]}}


def test_every_picture_of_a_page_is_a_figure_with_a_caption_and_an_alternative_text():
    figure = re.compile(r"^:::\{figure-md\}\n!\[([^\]]{60,})\]\(\S+\)\n\n(?!:::)\S.*?\n:::$", re.MULTILINE | re.DOTALL)
    for page in DOCS.glob("**/*.md"):
        text = page.read_text(encoding="utf-8")
        assert len(figure.findall(text)) == len(re.findall(r"!\[", text)), page


def test_an_animation_of_a_notebook_has_its_caption_and_its_alternative_text_on_the_page():
    pages = tutorial_pages()
    found = pages.notebooks(DOCS.parent / "notebooks")
    cells = json.loads(pages.page("09", found, False, ""))["cells"]
    outputs = [(cell["metadata"], output) for cell in cells for output in cell.get("outputs", [])]
    ((given, html),) = [(m, o["data"]["text/html"]) for m, o in outputs if "<script>" in str(o.get("data"))]
    assert f'alt="{given["alt"]}"' in html
    assert given["mystnb"]["figure"] == {"caption": given["caption"]}


def test_no_line_of_a_page_breaks_between_a_number_and_its_per_cent_sign():
    with_whole_percentages = tutorial_pages().with_whole_percentages
    assert with_whole_percentages("99.5 % of `5 %`, a % b") == "99.5\u00a0% of `5 %`, a % b"


def test_a_tutorial_links_to_binder_and_colab_if_the_repository_has_an_address():
    line = tutorial_pages().links_line("05", Path("05_mlp.ipynb"), False, "someone/nnscratch")
    assert "https://mybinder.org/v2/gh/someone/nnscratch/HEAD?labpath=notebooks%2F05_mlp.ipynb" in line
    assert "https://colab.research.google.com/github/someone/nnscratch/blob/main/notebooks/05_mlp.ipynb" in line
    assert "%pip install git+https://github.com/someone/nnscratch" in line
    without = tutorial_pages().links_line("05", Path("05_mlp.ipynb"), False, "")
    assert "Binder" not in without and "Colab" not in without


def test_a_tutorial_links_to_jupyterlite_if_it_runs_in_the_browser_and_the_site_has_jupyterlite():
    links_line = tutorial_pages().links_line
    run = '<a class="run" href="../lite/notebooks/index.html?path=05_mlp.ipynb">Run in the browser</a>'
    assert run in links_line("05", Path("05_mlp.ipynb"), True, "")
    without = links_line("05", Path("05_mlp.ipynb"), False, "")
    assert "lite/" not in without
    assert '<a href="../in-the-browser.html">Run in the browser: how</a>' in without
    for in_browser in (True, False):
        assert "browser" not in links_line("16", Path("16_the_gpu.ipynb"), in_browser, "")


def test_every_layer_loss_optimiser_and_schedule_leads_to_a_derivation_or_a_tutorial():
    pages = tutorial_pages()
    text = "".join((DOCS / "reference" / f"{page}.md").read_text("utf-8") for page in ("layers", "losses", "optim"))
    homes = (nn, nn.optim, nn.optim.lr_scheduler)
    found = [getattr(home, name, None) for name in re.findall(r"^   (\w+)$", text, re.MULTILINE) for home in homes]
    folders = re.compile(r"nnscratch\.(layers|losses|optim)\.")
    classes = {value.__name__ for value in found if inspect.isclass(value) and folders.match(value.__module__)}
    derived = pages.pages_that_derive()
    alone = {name for name in classes if name not in derived and pages.tutorial_of(name, derived) is None}
    assert alone == set()
    assert pages.TUTORIAL_OF.keys() <= classes
    assert {pages.tutorial_of(name, derived) for name in classes} <= pages.TUTORIALS.keys() | {None}
    assert pages.tutorial_of("BatchNorm2d", derived) == "08"


def test_the_docstring_of_a_file_becomes_paragraphs_and_blocks_that_keep_their_columns():
    text = """Scale: y = a_n * x, see :class:`Linear` and `b_n`.

    forward     y  = a x

    backward    dx = a dy

per example da_n = dy_n x_n        the same

References
----------
Author (1999), "A_b", arXiv:1412.6980. Second (1964), doi:10.1016/0041-5553(64)90137-5; third, doi:10.1207/s1_1."""
    assert docs_module("equations").restructured(text) == [
        "Scale: y = a\\_n \\* x, see ``Linear`` and ``b_n``.",
        "",
        ".. code-block:: text",
        "",
        "        forward     y  = a x",
        "",
        "        backward    dx = a dy",
        "",
        "    per example da_n = dy_n x_n        the same",
        "",
        ".. rubric:: References",
        "",
        'Author (1999), "A\\_b", `arXiv:1412.6980 <https://arxiv.org/abs/1412.6980>`__. Second (1964), '
        "`doi:10.1016/0041-5553(64)90137-5 <https://doi.org/10.1016/0041-5553(64)90137-5>`__; third, "
        "`doi:10.1207/s1_1 <https://doi.org/10.1207/s1_1>`__.",
        "",
    ]


def test_a_reference_stands_before_the_parameters_of_a_docstring():
    for path in (DOCS.parent / "nnscratch").rglob("*.py"):  # after them, numpydoc takes it for a parameter
        for docstring in path.read_text(encoding="utf-8").split('"""')[1::2]:
            for section in re.findall(
                r"^ *Parameters\n *---+\n(.*?)(?=\n *---|\Z)", docstring, re.MULTILINE | re.DOTALL
            ):
                assert not re.search(r"^ *References?: ", section, re.MULTILINE), path


def tutorial_pages():
    return docs_module("tutorial_pages")


def docs_module(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
