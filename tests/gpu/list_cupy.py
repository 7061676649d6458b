"""Write tests/shared/cupy_api.txt, the list of CuPy's functions that the strict stand-in (strict_cupy.py) uses.

CuPy can be imported and inspected on a machine without a GPU. Run this script once with the oldest and once with the
newest supported release, and then once more to keep what both have:

    python tests/gpu/list_cupy.py list > 13.txt             with cupy-cuda12x 13.3.0
    python tests/gpu/list_cupy.py list > 14.txt             with cupy-cuda12x 14.2.0
    python tests/gpu/list_cupy.py common 13.txt 14.txt > tests/shared/cupy_api.txt
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

KEPT_DUNDERS = re.compile(r"__(r|i)?(add|sub|mul|matmul|truediv|floordiv|mod|pow|and|or|xor|lshift|rshift)__$")


def parameters(f: Any) -> str:
    """Return the names of the arguments of a function, ``?`` if they are not documented."""
    try:
        return " ".join(p.name for p in inspect.signature(f).parameters.values()) or "-"
    except (ValueError, TypeError):
        pass
    first = (getattr(f, "__doc__", "") or "").split("\n")[0]  # Cython puts the signature there
    found = re.match(r"[\w.]+\((.*?)\)( ->|$)", first)
    if not found:
        return "?"
    names = [re.split(r"[=:]", part)[0].split()[-1].lstrip("*") for part in found[1].split(",") if part.strip(" *\\")]
    return " ".join(name for name in names if name not in ("self", "/")) or "-"


def entries() -> dict[str, str]:
    """Return {``kind name``: arguments}."""
    import cupy

    found = {}
    for name in dir(cupy):
        value = getattr(cupy, name)
        if name.startswith("_") or inspect.ismodule(value):
            continue
        if isinstance(value, cupy.ufunc):
            found[f"ufunc {name}"] = "out dtype casting"
        elif isinstance(value, type) or not callable(value):
            found[f"constant {name}"] = "-"
        else:
            found[f"function {name}"] = parameters(value)
    for name in dir(cupy.ndarray):
        value = getattr(cupy.ndarray, name)
        if name.startswith("_") and not KEPT_DUNDERS.match(name):
            continue
        kind = "method" if callable(value) else "attribute"
        found[f"{kind} {name}"] = parameters(value) if callable(value) and not name.startswith("_") else "-"
    return found


def read(path: str) -> tuple[str, dict[str, str]]:
    lines = Path(path).read_text().splitlines()
    return lines[0], dict(line.split(": ", 1) for line in lines[1:])


def common(paths: list[str]) -> None:
    versions, tables = zip(*(read(path) for path in paths), strict=True)
    print(f"# What {' and '.join(versions)} both have, and the arguments both take; ? where CuPy does not say which.")
    print("# Written by tests/gpu/list_cupy.py, which asks the installed packages; not to be edited.")
    for key in sorted(set.intersection(*(set(table) for table in tables))):
        taken = [table[key].split() for table in tables]
        if ["?"] in taken:
            taken = [t for t in taken if t != ["?"]] or [["?"]]
        print(f"{key}: {' '.join(a for a in taken[0] if all(a in t for t in taken)) or '-'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["common"]:
        common(sys.argv[2:])
    else:
        import cupy

        print(f"CuPy {cupy.__version__}")
        for key, arguments in entries().items():
            print(f"{key}: {arguments}")
