"""``nnscratch course release``: write the files that students get, without solutions and references."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from ..exercises.folder import ExerciseFolder
from ..serialization import write_atomically
from .own import OwnExercise
from .settings import Course
from .submission import number

INTRODUCTION = """\
# {title}

| file | points | task |
|---|---|---|
{rows}

Open a file. The task is at its top. Replace each `TODO` with your code, and keep the names of the file and of the
functions.
"""
OF_THE_LADDER = """
## Check your work

Install the package `nnscratch`. Then run this command in this folder:

```console
$ nnscratch exercises watch
```

It checks an exercise every time you save its file. `nnscratch exercises check NAME` checks one exercise once,
and `nnscratch exercises hint NAME` shows a hint.
"""
OWN = """
You can also check gradients with these commands:

```console
{commands}
```
"""
HAND_IN = """
## Hand in

Hand in the files of the table, with the names that they have here.
"""


def write_release(course: Course, out: Path) -> list[str]:
    """Write the students' files into a new folder, or into a zip file if the name ends with .zip.

    Parameters
    ----------
    course : Course
    out : Path

    Returns
    -------
    list of str
        The names of the files.

    Raises
    ------
    FileExistsError
        `out` is a file, or a folder that is not empty.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists already. Remove it, or give another name")
    if out.suffix != ".zip":
        return write_files(course, out)
    data = io.BytesIO()
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        names = write_files(course, Path(temporary))
        for name in names:
            file.write(Path(temporary) / name, f"{out.stem}/{name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, data.getvalue())
    return names


def write_files(course: Course, folder: Path) -> list[str]:
    """Write the files of all exercises, the list of the course's exercises, and a README."""
    own = [task.exercise for task in course.tasks if isinstance(task.exercise, OwnExercise)]
    names = [task.name for task in course.tasks if task.exercise not in own]
    folder.mkdir(parents=True, exist_ok=True)
    if names:
        ExerciseFolder.start(folder, names)
    for exercise in own:
        write_atomically(folder / exercise.filename, exercise.student_file.encode())
    write_atomically(folder / "README.md", readme(course, names, own).encode())
    return sorted(path.name for path in folder.iterdir())


def readme(course: Course, names: list[str], own: list[OwnExercise]) -> str:
    """Return the text of the README for students."""
    rows = [
        f"| `{task.exercise.filename}` | {number(task.total)} | {task.exercise.title.replace('|', ' ')} |"
        for task in course.tasks
    ]
    parts = [INTRODUCTION.format(title=course.title, rows="\n".join(rows))]
    if names:
        parts.append(OF_THE_LADDER)
    commands = [f"$ {exercise.gradient_command}" for exercise in own if exercise.gradient_command]
    if commands:
        parts.append(OWN.format(commands="\n".join(commands)))
    return "".join([*parts, HAND_IN])
