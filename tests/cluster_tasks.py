"""What the tests' tasks do: in a module of its own, which a cluster's workers can import."""

import os
import time

from napari_surgisam.errors import DataError


def double(task):
    """What tasks of these tests do: it runs in the workers' processes too."""
    if task == "bad":
        raise DataError("this one cannot be done")
    if task == "broken":
        raise ZeroDivisionError("oops")
    return 2 * task


def note_and_wait(task):
    """Say which process took it, and how often it was begun; the first time takes long."""
    number, folder = task
    begun = folder / f"{number}-{os.getpid()}-{time.monotonic_ns()}"
    begun.touch()
    if number == 0 and len(list(folder.glob("0-*"))) == 1:
        time.sleep(600)  # only its worker's end ends it
    return number * 10, os.getpid()
