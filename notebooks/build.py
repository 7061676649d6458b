"""Execute the notebooks: read source/NN_name.md, which people edit, and write NN_name.ipynb, which people open.

    python notebooks/build.py           build all notebooks (make notebooks)
    python notebooks/build.py 03 12     build only these
    python notebooks/build.py --fast 03 run with fewer training steps as a quick test, and write nothing

Each notebook runs in its own kernel, in an empty folder, with this checkout on the path. The written file depends only
on the source and the results: it contains no times and no kernel versions, and the cell ids are numbers. Install the
extra "notebooks" first.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import runpy
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "docs"))
from tutorial_pages import neighbours_line, with_file_links, with_links  # noqa: E402 (in docs/)

SOURCE = HERE / "source"
KEPT = ("tags", "alt", "caption")  # the metadata of a cell that the written notebook keeps
SOLUTION = re.compile(r"<details>.*?^```python\n(.*?)^```.*?</details>", re.DOTALL | re.MULTILINE)


def sources() -> list[Path]:
    """Return the paths of all sources, in order."""
    return sorted(path for path in SOURCE.glob("*.md") if re.match(r"\d\d_", path.name))


def built(source: Path) -> Path:
    """Return the path of the executed notebook of a source."""
    return HERE / f"{source.stem}.ipynb"


def read(source: Path) -> nbformat.NotebookNode:
    """Read a source as a notebook without outputs.

    Other notebooks and files that the text names become links. A line of links follows the last section: the previous
    and next notebook, the derivations and the glossary.
    """
    notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="md:myst")
    others = {other.name[:2]: built(other) for other in sources() if other != source}
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"cell-{number:03}"
        if cell.cell_type == "markdown":
            cell.source = with_file_links(with_links(cell.source, others))
    if source.parent == SOURCE:  # the template is not part of the course
        line = neighbours_line(source.name[:2], {path.name[:2]: path for path in sources()})
        notebook.cells[-1].source += f"\n\n{line}"
    return notebook


def tagged(notebook: nbformat.NotebookNode, kind: str) -> dict[str, int]:
    """Return a dict from K to the position of the cell with the tag ``kind-K``."""
    pattern = re.compile(rf"{kind}-(\w+)")
    found = {}
    for position, cell in enumerate(notebook.cells):
        for tag in cell.metadata.get("tags", []):
            if match := pattern.fullmatch(tag):
                found[match[1]] = position
    return found


def solution(notebook: nbformat.NotebookNode, name: str) -> str | None:
    """Return the code of the hidden solution below the check of exercise `name`, or None if there is none."""
    position = tagged(notebook, "check")[name] + 1
    if position >= len(notebook.cells) or notebook.cells[position].cell_type != "markdown":
        return None
    match = SOLUTION.search(notebook.cells[position].source)
    return match[1] if match else None


def execute(notebook: nbformat.NotebookNode, fast: bool = False, timeout: int | None = None) -> nbformat.NotebookNode:
    """Run every cell and store the outputs in `notebook`; stop at the first error."""
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path, "NNSCRATCH_FAST": str(int(fast)), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    env["TQDM_DISABLE"] = "1"  # a progress bar in a file shows times
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            coalesce_streams=True,
        )
        client.execute(env=env)
    return notebook


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove from `notebook` everything that could differ in another run of the same source."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "name": "python"},
        }
    )
    count = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT})
        if cell.cell_type != "code":
            continue
        if "hide-input" in cell.metadata.get("tags", []):  # the site folds these cells; Jupyter needs its own key
            cell.metadata["jupyter"] = nbformat.from_dict({"source_hidden": True})
        count += 1
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
            if "metadata" in output:
                output["metadata"] = {}
            if picture := output.get("data", {}).get("image/png"):
                output["data"]["image/png"] = reduce_colours(picture)
                if "alt" in cell.metadata:  # where Jupyter's programs look for the alternative text
                    output["metadata"] = {"image/png": {"alt": cell.metadata["alt"]}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def reduce_colours(picture: str) -> str:
    """Reduce a base64 PNG picture to 256 colours: it looks the same and takes a third of the space."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":  # already reduced
        return picture
    written = io.BytesIO()
    image.convert("RGB").quantize(256).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


def text(notebook: nbformat.NotebookNode) -> str:
    """Return the text of the notebook's file."""
    return nbformat.writes(notebook, version=4, indent=1) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="numbers of the notebooks to build; default: all")
    parser.add_argument("--fast", action="store_true", help="run with fewer training steps and write nothing")
    pipe = "for the tests: execute the notebook on standard input in fast mode and print it; limit per cell: SECONDS"
    parser.add_argument("--pipe", type=int, metavar="SECONDS", help=pipe)
    options = parser.parse_args(arguments)
    if options.pipe:
        print(text(execute(nbformat.reads(sys.stdin.read(), as_version=4), fast=True, timeout=options.pipe)))
        return 0
    chosen = [s for s in sources() if not options.numbers or s.name[:2] in options.numbers]
    if not chosen:
        parser.error(f"{SOURCE.name}/ contains no notebook {' or '.join(options.numbers)}; give two digits, such as 03")
    for source in chosen:
        print(source.stem, flush=True)
        notebook = normalise(execute(read(source), options.fast))
        if not options.fast:
            built(source).write_text(text(notebook), encoding="utf-8")
    if not options.fast:
        # The README and the front page show pictures of some notebooks: update them.
        runpy.run_path(str(HERE.parent / "docs" / "pictures.py"), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
