"""Build JupyterLite with the notebooks and this package: make docs-lite.

The notebooks and the source of the package are in the same folder of JupyterLite's file system, so ``import nnscratch``
works. Pyodide loads the dependencies (NumPy, Matplotlib, tqdm, safetensors) from its server; see jupyter-lite.json.
Two notebooks cannot run there and are left out: 15 measures the BLAS of the machine, and 16 needs a GPU.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LEFT_OUT = ("15", "16")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for notebook in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
            if not notebook.name.startswith(LEFT_OUT):
                shutil.copy(notebook, folder)
        shutil.copytree(ROOT / "nnscratch", Path(folder, "nnscratch"), ignore=shutil.ignore_patterns("__pycache__"))
        command = [sys.executable, "-m", "jupyter", "lite", "build", "--lite-dir", HERE, "--contents", folder,
                   "--output-dir", ROOT / "docs" / "_build" / "html" / "lite"]  # fmt: skip
        return subprocess.run([str(part) for part in command], cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main())
