"""Measure every notebook in JupyterLite and write the table of the page "In the browser": make lite-table.

    python docs/lite/measure.py 05 12     measure only these again, with NNSCRATCH_LITE as in the Makefile
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "site"), str(ROOT / "tests" / "lite")]

from browser import served  # noqa: E402 (the path is set above)
from notebook_page import NotebookPage  # noqa: E402

HEAD = ("| notebook | first cell, s | all cells, s | memory, MB |", "| --- | --: | --: | --: |")
TABLE = ROOT / "docs" / "_in-the-browser-table.md"


def main(numbers):
    site = Path(os.environ["NNSCRATCH_LITE"])
    rows = {}
    if numbers and TABLE.exists():  # measure these notebooks again, and keep the other rows
        rows = {line[2:4]: line for line in TABLE.read_text(encoding="utf-8").splitlines()[2:]}
    with served(site) as address:
        for path in sorted((site / "lite" / "files").glob("*.ipynb")):
            number = path.name[:2]
            if numbers and number not in numbers:
                continue
            notebook = NotebookPage(address, path.name)
            try:
                first, all_cells = notebook.run_all()
                problem = f" ({len(notebook.mistakes())} errors)" if notebook.mistakes() else ""
                rows[number] = f"| {number} | {first:.0f} | {all_cells:.0f}{problem} | {notebook.megabytes():.0f} |"
            except TimeoutError as error:
                rows[number] = f"| {number} | | {error} | |"
            finally:
                notebook.close()
            print(rows[number], flush=True)
            TABLE.write_text("\n".join([*HEAD, *(rows[key] for key in sorted(rows))]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
