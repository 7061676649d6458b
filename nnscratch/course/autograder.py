"""The zip file that an instructor uploads to Gradescope: the course, this package, and two scripts.

Gradescope unpacks the zip file into /autograder/source. It runs the script setup.sh once, and the script run_autograder
for each submission. run_autograder reads the files in /autograder/submission, and writes
/autograder/results/results.json.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from ..gradcheck.command.process import ROOT
from ..serialization import write_atomically
from .settings import COURSE_FILE, Course

PACKAGES = "'numpy>=2.0' 'matplotlib>=3.8' 'tqdm>=4.66' 'safetensors>=0.4.4' 'landlock>=1.0.0.dev5' 'pyseccomp>=0.1.2'"
LEFT_OUT = {"__pycache__", "files"}  # folders of the package that marking does not need

SETUP = f"""#!/usr/bin/env bash
# Install a Python that is new enough, the packages, and the library of the sandbox.
set -euo pipefail
cd "${{AUTOGRADER:-/autograder}}/source"
apt-get update
apt-get install -y libseccomp2
python=""
for name in python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -m venv --help >/dev/null; then python=$name; break; fi
done
if [ -z "$python" ]; then
    apt-get install -y python3.11 python3.11-venv
    python=python3.11
fi
"$python" -m venv venv
venv/bin/pip install {PACKAGES}
"""
RUN = """#!/usr/bin/env bash
# Mark one submission.
set -euo pipefail
cd "${AUTOGRADER:-/autograder}"
export PYTHONPATH=$PWD/source
exec "${PYTHON:-source/venv/bin/python}" -m nnscratch grade submission --course source/course \\
    --format gradescope --out results/results.jsonTRUST
"""


def write_autograder(course: Course, out: Path, trust: bool = False) -> None:
    """Write the zip file for Gradescope.

    Parameters
    ----------
    course : Course
    out : Path
    trust : bool
        Mark the files even if the sandbox does not work. Gradescope runs each submission in a separate container, so a
        file cannot harm other students. But without a sandbox, a file can read the reference solutions.
    """
    run = RUN.replace("TRUST", " --trust-submissions" if trust else "")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        write_script(file, "setup.sh", SETUP)
        write_script(file, "run_autograder", run)
        file.writestr(f"course/{COURSE_FILE}", course.file.read_bytes())
        for path in course.own_files:
            file.writestr(f"course/{path.as_posix()}", (course.folder / path).read_bytes())
        package = Path(ROOT) / "nnscratch"
        for path in sorted(package.rglob("*.py")):
            if not LEFT_OUT & set(path.relative_to(package).parts):
                file.write(path, path.relative_to(ROOT))
    write_atomically(out, data.getvalue())


def write_script(file: zipfile.ZipFile, name: str, text: str) -> None:
    """Add an executable file to the zip file."""
    info = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
    info.external_attr = 0o755 << 16
    file.writestr(info, text, zipfile.ZIP_DEFLATED)
