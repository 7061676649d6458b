"""Build JupyterLite with the notebooks and this package: make docs-lite.

The site carries the package, and the packages that Pyodide's server does not have, as wheels. Pyodide loads NumPy,
Matplotlib and IPython from its server. The first cell of each notebook installs the package from the site.
Notebook 16 needs a GPU and is left out.
The files of the repository to which the notebooks link are copied to the folder `repository` there.

    python docs/lite/build.py                                     for the site; Pyodide comes from its server
    python docs/lite/build.py --pyodide FOLDER --output FOLDER    for a test: Pyodide comes from the first folder
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITE = ROOT / "docs" / "_build" / "html" / "lite"
LEFT_OUT = ("16",)
WHEELS = ("comm", "tqdm")  # the kernel imports comm; this package imports tqdm
INSTALL = "# In the browser, each notebook installs the package first.\n%pip install -q nnscratch"
LINK = re.compile(r"\[([^\]]+)\]\(([\w./-]*(?:\.ipynb|\.md|\.py|/))(?:#[\w-]*)?\)")  # to a file or a folder
PICTURE = re.compile(r"!\[[^\]]*\]\(([\w./-]+)\)")
CODE_OF_A_FILE = re.compile(
    r"^```\{literalinclude\} [./]*(\S+)$[^`]*?^:pyobject: (\S+)$[^`]*^```$", re.MULTILINE
)  # only Sphinx reads it
FIGURE = re.compile(r"^:::\{figure-md\}\n(.*?)\n:::$", re.MULTILINE | re.DOTALL)  # the same
COPIES = "repository"  # a folder nnscratch would hide the installed package from `import`
KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"


def run(*command, cwd):
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def wheels(folder):
    """Put the wheel of this package and those of `WHEELS` into `folder`."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, copy)
        shutil.copytree(ROOT / "nnscratch", Path(copy, "nnscratch"), ignore=shutil.ignore_patterns("__pycache__"))
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ".", cwd=copy)
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, *WHEELS, cwd=folder)


def with_copied_files(text, contents):
    """Return the Markdown of a notebook in which no link is dead.

    A file of the repository is copied to `contents`, and the link leads there. A page of the documentation becomes a
    notebook with one cell, because JupyterLite shows the source of a Markdown file. Its pictures are copied too. The
    links of this page become text, and so do links to folders and to notebooks that are left out.
    """

    def link(match):
        words, path = match[1], match[2]
        file = ROOT / "notebooks" / path
        if file.suffix == ".ipynb" and not file.name.startswith(LEFT_OUT):
            return match[0]
        if not file.is_file() or file.suffix == ".ipynb":
            return words
        copy, page = Path(COPIES, file.resolve().relative_to(ROOT)), file.read_text(encoding="utf-8")
        if file.suffix == ".md":
            for picture in PICTURE.findall(page):
                source = (file.parent / picture).resolve()
                target = contents / COPIES / source.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            page = CODE_OF_A_FILE.sub(r"`\2` in `\1`", LINK.sub(r"\1", FIGURE.sub(r"\1", page)))
            copy, page = copy.with_suffix(".ipynb"), notebook_of_one_cell(page)
        (contents / copy).parent.mkdir(parents=True, exist_ok=True)
        (contents / copy).write_text(page, encoding="utf-8")
        return f"[{words}]({copy.as_posix()})"

    return LINK.sub(link, text)


def notebook_of_one_cell(markdown):
    """Return the text of a notebook that contains only this Markdown."""
    cell = {"cell_type": "markdown", "id": "page", "metadata": {}, "source": markdown}
    metadata = {"language_info": {"name": "python"}}  # without it, JupyterLite asks for a kernel
    content = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, ensure_ascii=False)


def for_the_browser(notebook, contents):
    """Return the text of a notebook with a first cell that installs the package, and with links that work."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = with_copied_files("".join(cell["source"]), contents)
    cell = {"cell_type": "code", "id": "install", "metadata": {}, "execution_count": None, "outputs": []}
    content["cells"].insert(0, cell | {"source": INSTALL})
    return json.dumps(content, indent=1, ensure_ascii=False)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Build JupyterLite with the notebooks and this package.")
    parser.add_argument("--pyodide", type=Path, metavar="FOLDER", help="copy Pyodide from this folder into the site")
    parser.add_argument("--output", type=Path, metavar="FOLDER", default=SITE, help="write the application here")
    options = parser.parse_args(arguments)
    pyodide, output = options.pyodide, options.output.resolve()
    with tempfile.TemporaryDirectory() as folder:
        contents, lite = Path(folder, "contents"), Path(folder, "lite")
        contents.mkdir()
        (lite / "pypi").mkdir(parents=True)
        for notebook in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
            if not notebook.name.startswith(LEFT_OUT):
                (contents / notebook.name).write_text(for_the_browser(notebook, contents), encoding="utf-8")
        wheels(lite / "pypi")
        settings = json.loads((HERE / "jupyter-lite.json").read_text(encoding="utf-8"))
        if pyodide is not None:
            settings["jupyter-config-data"]["litePluginSettings"][KERNEL]["pyodideUrl"] = "./pyodide/pyodide.js"
        (lite / "jupyter-lite.json").write_text(json.dumps(settings), encoding="utf-8")
        run(sys.executable, "-m", "jupyter", "lite", "build", "--lite-dir", lite, "--contents", contents,
            "--output-dir", output, cwd=folder)  # fmt: skip
        if pyodide is not None:
            shutil.copytree(pyodide, output / "pyodide", dirs_exist_ok=True)


if __name__ == "__main__":
    main()
