"""The marks of one student in the formats of other grading systems.

gradescope     the file results.json of Gradescope
autolab        the line of scores, which Autolab reads at the end of the output of its autograder
classroom50    the file result.json of Classroom 50, in the format "classroom50/result/v1"
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from .submission import SubmissionMark, file_lines, number

# for each field of result.json, the environment variable in which Classroom 50 passes its value
FROM_ENVIRONMENT = {
    "classroom": "CLASSROOM",
    "assignment": "ASSIGNMENT",
    "submission": "SUBMISSION_TAG",
    "commit": "COMMIT_URL",
    "release": "RELEASE_URL",
    "review": "REVIEW_URL",
}


def gradescope(mark: SubmissionMark) -> dict[str, Any]:
    """Return the content of results.json for Gradescope: one test for each file."""
    tests = [
        {
            "name": file.name,
            "score": file.points,
            "max_score": file.out_of,
            "status": "passed" if file.points == file.out_of else "failed",
            "output": "\n".join(file_lines(file)),
            "output_format": "text",
            "visibility": "visible",
        }
        for file in mark.files
    ]
    output = f"{number(mark.points)} of {number(mark.out_of)} points. The inputs were drawn with the seed {mark.seed}."
    return {"score": mark.points, "output": output, "output_format": "text", "visibility": "visible", "tests": tests}


def autolab(mark: SubmissionMark) -> str:
    """Return the line with the scores for Autolab. In Autolab, the assessment must have one problem for each exercise.

    Examples
    --------
    >>> from nnscratch.course.judging import FileMark, PartMark
    >>> autolab(SubmissionMark("anna", [FileMark("relu", "04_relu.py", [PartMark("values", 2.0, 2.0, "")])], seed=0))
    '{"scores": {"relu": 2.0}}'
    """
    return json.dumps({"scores": {file.name: file.points for file in mark.files}})


def classroom50(mark: SubmissionMark, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of result.json for Classroom 50: one test for each part of a file.

    Parameters
    ----------
    mark : SubmissionMark
    environment : mapping
        The variables that Classroom 50 sets.

    Raises
    ------
    ValueError
        A variable is missing, or the points of a part are not a whole number, which Classroom 50 requires.
    """
    given = {field: environment.get(name, "") for field, name in FROM_ENVIRONMENT.items()}
    given["review"] = given["review"] or given["commit"]
    missing = [FROM_ENVIRONMENT[field] for field, value in given.items() if not value]
    if missing:
        raise ValueError(f"Classroom 50 must set the variables {', '.join(missing)}")
    tests = []
    for file in mark.files:
        for part in file.parts:
            if part.out_of != int(part.out_of):
                raise ValueError(
                    f"Classroom 50 accepts whole points only, but a part of {file.name} has {number(part.out_of)}. "
                    f"Change the points of {file.name} in course.toml, for example to points = "
                    f"{{ values = 2, gradients = 3 }}"
                )
            passed = part.points == part.out_of
            score = int(part.out_of) if passed else 0
            name = f"{file.name}, {part.kind}"
            tests.append(
                {"test-name": name, "passed": passed, "score": score, "max-score": int(part.out_of)}
                | {"output": part.headline}
            )
    now = datetime.datetime.now(datetime.UTC)
    return {
        "schema": "classroom50/result/v1",
        **given,
        "datetime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }
