"""Execute the notebooks: from what people edit, source/NN_name.md, make what people open, NN_name.ipynb.

    python notebooks/build.py           all of them (make notebooks)
    python notebooks/build.py 03 12     only these
    python notebooks/build.py --fast 03 with fewer steps, to see whether it runs; nothing is written

A notebook runs in a kernel of its own, in an empty folder, with this checkout on the path. What is written depends on
the source and the results only: no times, no kernel versions, numbered cell ids. Needs the extra "notebooks".
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
SOURCE = HERE / "source"
SOLUTION = re.compile(r"<details>.*?^```python\n(.*?)^```.*?</details>", re.DOTALL | re.MULTILINE)


def sources() -> list[Path]:
    """The sources, in their order."""
    return sorted(path for path in SOURCE.glob("*.md") if re.match(r"\d\d_", path.name))


def built(source: Path) -> Path:
    """Where the executed notebook of a source is."""
    return HERE / f"{source.stem}.ipynb"


def read(source: Path) -> nbformat.NotebookNode:
    """A source as a notebook without outputs."""
    notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="md:myst")
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"cell-{number:03}"
    return notebook


def tagged(notebook: nbformat.NotebookNode, kind: str) -> dict[str, int]:
    """Positions of the cells tagged ``kind-K``, by K."""
    pattern = re.compile(rf"{kind}-(\w+)")
    found = {}
    for position, cell in enumerate(notebook.cells):
        for tag in cell.metadata.get("tags", []):
            if match := pattern.fullmatch(tag):
                found[match[1]] = position
    return found


def solution(notebook: nbformat.NotebookNode, name: str) -> str | None:
    """The code hidden under the check of exercise `name`, or None."""
    position = tagged(notebook, "check")[name] + 1
    if position >= len(notebook.cells) or notebook.cells[position].cell_type != "markdown":
        return None
    match = SOLUTION.search(notebook.cells[position].source)
    return match[1] if match else None


def execute(notebook: nbformat.NotebookNode, fast: bool = False, timeout: int | None = None) -> nbformat.NotebookNode:
    """Run every cell, in place; the first error ends it."""
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = os.environ | {"PYTHONPATH": path, "NNSCRATCH_FAST": str(int(fast)), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
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
    """Drop, in place, all that would differ in another run of the same source."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "name": "python"},
        }
    )
    count = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
            if "metadata" in output:
                output["metadata"] = {}
            if picture := output.get("data", {}).get("image/png"):
                output["data"]["image/png"] = smaller(picture)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def smaller(picture: str) -> str:
    """A picture, as base64, with 256 colours: a third of the size, and to the eye the same."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if image.mode == "P":  # it has been made smaller before
        return picture
    written = io.BytesIO()
    image.convert("RGB").quantize(256).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode()


def text(notebook: nbformat.NotebookNode) -> str:
    """The notebook as its file holds it."""
    return nbformat.writes(notebook, version=4, indent=1) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="which ones; all if none is named")
    parser.add_argument("--fast", action="store_true", help="fewer steps, and nothing written")
    pipe = "for the tests: print what comes on standard input, executed in fast mode, SECONDS at most for a cell"
    parser.add_argument("--pipe", type=int, metavar="SECONDS", help=pipe)
    options = parser.parse_args(arguments)
    if options.pipe:
        print(text(execute(nbformat.reads(sys.stdin.read(), as_version=4), fast=True, timeout=options.pipe)))
        return 0
    chosen = [s for s in sources() if not options.numbers or s.name[:2] in options.numbers]
    if not chosen:
        parser.error(f"no notebook {' or '.join(options.numbers)} in {SOURCE.name}/")
    for source in chosen:
        print(source.stem, flush=True)
        notebook = normalise(execute(read(source), options.fast))
        if not options.fast:
            built(source).write_text(text(notebook), encoding="utf-8")
    if not options.fast:
        runpy.run_path(str(HERE.parent / "docs" / "pictures.py"), run_name="__main__")  # those on the front pages
    return 0


if __name__ == "__main__":
    sys.exit(main())
