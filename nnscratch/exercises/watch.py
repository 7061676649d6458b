"""``nnscratch exercises watch``: check an exercise after each save of its file.

The command reads the time and the size of the file twice a second. On network drives, and for Windows files in WSL, the
operating system does not report changes of files. So the command does not wait for such reports.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from .exercise import Exercise
from .folder import ExerciseFolder
from .show import all_solved, check_and_print, show_hint, show_task
from .terminal import Wait

POLL = 0.5  # the seconds after which the time and the size of the file are read again
SETTLE = 0.1  # a save is complete if the file does not change for this number of seconds
KEYS = "n next   h hint   r run again   q quit"


class Watch:
    """Check an exercise every time its file changes. After it is solved, continue with the next exercise.

    Parameters
    ----------
    folder : ExerciseFolder
    exercise : Exercise
        The first exercise to check.
    keys : callable or None
        Waits for a key: see terminal.py. If it is None, the next exercise begins as soon as an exercise is solved.
    seconds : float
        The time limit of each check.
    """

    def __init__(self, folder: ExerciseFolder, exercise: Exercise, keys: Wait | None, seconds: float):
        self.folder, self.exercise, self.keys, self.seconds = folder, exercise, keys, seconds

    def run(self) -> None:
        """Check until the user presses q or Ctrl-C. If `keys` is None, also stop when all exercises are solved."""
        try:
            self.check()
            while (key := self.wait(POLL)) != "q":
                if key == "n":
                    self.go_to_next()
                elif key == "h":
                    print()
                    show_hint(self.exercise, self.folder)
                elif key == "r" or self.file_changed():
                    self.check()
                if self.keys is None and self.folder.is_solved(self.exercise) and not self.go_to_next():
                    return
        except KeyboardInterrupt:
            pass
        print("\nStopped. Your progress is saved.")

    def check(self) -> None:
        """Check the current content of the file, and print the feedback and the keys."""
        self.seen = stamp(self.folder.file_of(self.exercise))
        clear_screen()
        show_task(self.exercise, self.folder)
        print()
        check_and_print(self.exercise, self.folder, None, self.seconds)
        self.print_status()

    def go_to_next(self) -> bool:
        """Check the next exercise that is not solved. Return False if there is none.

        After the last exercise, continue with the first exercise.
        """
        every = self.folder.exercises
        position = every.index(self.exercise) + 1 if self.exercise in every else 0
        for exercise in every[position:] + every[:position]:
            if exercise is not self.exercise and not self.folder.is_solved(exercise):
                self.exercise = exercise
                self.check()
                return True
        if self.folder.next() is None:
            print("\n" + all_solved(self.folder))
        return False

    def file_changed(self) -> bool:
        """Return True if the file has changed since the last check. Wait until the editor has written all of it."""
        path, now = self.folder.file_of(self.exercise), self.seen
        while (last := stamp(path)) != now:
            now = last
            time.sleep(SETTLE)
        return now != self.seen

    def wait(self, seconds: float) -> str:
        """Wait for a key, at most `seconds`. Return the key, or "" if no key was pressed."""
        if self.keys is not None:
            return self.keys(seconds)
        time.sleep(seconds)
        return ""

    def print_status(self) -> None:
        """Print the progress, and the keys that the user can press."""
        done, count = self.folder.solved, len(self.folder.exercises)
        bar = "#" * round(20 * done / count)
        waiting = f"Waiting for changes of {self.exercise.filename}."
        print(f"\n[{bar.ljust(20, '.')}] {done} of {count} solved   {waiting}")
        print("Ctrl-C ends." if self.keys is None else KEYS, flush=True)


def stamp(path: Path) -> tuple[int, int] | None:
    """Return the time of the last change and the size of a file, or None if the file does not exist."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def clear_screen() -> None:
    """Clear the screen, if the output is a terminal."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and (os.name != "nt" or "WT_SESSION" in os.environ):
        print("\033[H\033[2J", end="")
