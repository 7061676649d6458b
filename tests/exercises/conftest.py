"""One process that runs students' files, for all tests in which nothing ends it: to start one takes long."""

import pytest

from nnscratch.exercises import check_file
from nnscratch.exercises.worker import ExerciseWorker

LONGEST = 300  # seconds: a busy computer must not fail a test


class Shared:
    """A worker that is replaced when it has failed."""

    worker = None

    def check(self, exercise, folder, text, **options):
        path = folder / exercise.filename
        path.write_text(text)
        return self.check_file(exercise, path, **options)

    def check_file(self, exercise, path, **options):
        if self.worker is None or self.worker.failed:
            self.close()
            self.worker = ExerciseWorker()
        return check_file(exercise, path, worker=self.worker, **({"seconds": LONGEST} | options))

    def close(self):
        if self.worker is not None:
            self.worker.kill()


@pytest.fixture(scope="session")
def shared():
    shared = Shared()
    yield shared
    shared.close()
