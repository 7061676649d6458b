"""Measure every notebook in JupyterLite and write the table of the page "In the browser": make lite-table."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "site"), str(ROOT / "tests" / "lite")]

from browser import served  # noqa: E402 (the path is set above)
from notebook_page import NotebookPage  # noqa: E402

TABLE = ROOT / "docs" / "_in-the-browser-table.md"


def main():
    site = Path(os.environ["NNSCRATCH_LITE"])
    lines = ["| notebook | first cell, s | all cells, s | memory, MB |", "| --- | --: | --: | --: |"]
    with served(site) as address:
        for path in sorted((site / "lite" / "files").glob("*.ipynb")):
            notebook = NotebookPage(address, path.name)
            try:
                first, all_cells = notebook.run_all()
                problem = f" ({len(notebook.mistakes())} errors)" if notebook.mistakes() else ""
                memory = notebook.megabytes()
                lines.append(f"| {path.stem[:2]} | {first:.0f} | {all_cells:.0f}{problem} | {memory:.0f} |")
            except TimeoutError as error:
                lines.append(f"| {path.stem[:2]} | | {error} | |")
            finally:
                notebook.close()
            print(lines[-1], flush=True)
            TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
