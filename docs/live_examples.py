"""Mark the code blocks that you can edit and run in the page, and add the files that run them to the site.

Such a block has the class ``live``. The script _static/live.js gives it its buttons. It runs the code in Pyodide, the
same version as JupyterLite, with the archive that this extension writes. The examples of the other pages need their
notebook, a data file or another program.
"""

import ast
import doctest
import importlib
import importlib.util
import inspect
import json
import re
import sys
import zipfile
from pathlib import Path

from docutils import nodes

HERE = Path(__file__).parent
PAGES = re.compile(r"index|gradcheck(/.+)?|reference/generated/.+")
LITE = json.loads((HERE / "lite" / "jupyter-lite.json").read_text(encoding="utf-8"))
KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
PYODIDE = LITE["jupyter-config-data"]["litePluginSettings"][KERNEL]["pyodideUrl"].removesuffix("pyodide.js")

CANNOT_RUN = re.compile(
    r"\b(torch|jax|cupy|mpi4py|hypothesis|optuna)\b"  # libraries that Pyodide does not have
    r"|\btraining\.search\("  # needs Optuna
    r"|\bdef test_"  # a test, which pytest runs
)


def can_run(code):
    """Return True if the code of a block runs in the browser."""
    return CANNOT_RUN.search(code) is None


def mark(app, doctree):
    """Give the blocks that can run the class ``live``."""
    if not PAGES.fullmatch(app.env.docname):
        return
    for block in doctree.findall(lambda node: isinstance(node, (nodes.literal_block, nodes.doctest_block))):
        is_python = isinstance(block, nodes.doctest_block) or block.get("language") == "python"
        if is_python and can_run(block.astext()):
            block["classes"].append("live")


def missing_names(code, module):
    """Return the names of the module that the code uses and does not define, sorted."""
    used, defined = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else defined).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            defined.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
    return sorted((used - defined) & vars(module).keys())


def import_line(name, module):
    """Return the import of a name of a module, from its library or from the shortest path in this package."""
    value = getattr(module, name)
    if inspect.ismodule(value):
        return f"import {value.__name__}" + (f" as {name}" if name != value.__name__ else "")
    parts, home = module.__name__.split("."), getattr(value, "__module__", None) or "nnscratch"
    paths = [".".join(parts[:k]) for k in range(1, len(parts) + 1)]
    paths = paths if home.startswith("nnscratch") else [home, *paths]
    path = next(path for path in paths if getattr(importlib.import_module(path), name, None) is value)
    return f"from {path} import {name}"


def add_imports(app, what, name, obj, options, lines):
    """Add the imports that the examples of a docstring need: in a doctest, the names of the module are known."""
    module = sys.modules.get(getattr(obj, "__module__", None) or "")
    starts = [k for k, line in enumerate(lines) if line.lstrip().startswith(">>> ")]
    if module is None or not starts:
        return
    code = "".join(example.source for example in doctest.DocTestParser().get_examples("\n".join(lines)))
    indent = lines[starts[0]].split(">>>")[0]
    lines[starts[0] : starts[0]] = [f"{indent}>>> {import_line(name, module)}" for name in missing_names(code, module)]


def write_archive(app, error):
    """Write this package, tqdm and the program that runs an example into one archive."""
    if error is not None or app.builder.format != "html":
        return
    folders = [HERE.parent / "nnscratch", Path(importlib.util.find_spec("tqdm").origin).parent]
    with zipfile.ZipFile(Path(app.outdir) / "_static" / "live.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(HERE / "run_example.py", "run_example.py")
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.write(path, path.relative_to(folder.parent))


def setup(app):
    app.add_js_file("live.js", **{"data-pyodide": PYODIDE})
    app.connect("autodoc-process-docstring", add_imports, priority=400)  # runs before numpydoc's handler
    app.connect("doctree-read", mark)
    app.connect("build-finished", write_archive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
