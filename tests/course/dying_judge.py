"""A judge that dies at one submission, for test_batch.py. Processes of the pool import it."""

import os

from nnscratch.course.batch import judge_one


def die_at_ben(student, sources):
    if student == "ben":
        os._exit(1)
    if student == "eve":
        raise ValueError("a mistake in the judge")
    return judge_one(student, sources)
