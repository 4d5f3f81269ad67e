"""Every exception that this package raises on purpose.

None of them is a `RuntimeError`: superqt's worker threads drop those silently.
"""


class SurgisamError(Exception):
    """Base of all errors raised by napari-surgisam; its message is meant for the user."""


class PromptError(SurgisamError):
    """A prompt cannot be used: outside the frame, without an object, contradictory."""


class DataError(SurgisamError):
    """Images, labels or tables cannot be read, written or combined."""


class ModelError(SurgisamError):
    """A model is unknown, missing, damaged or does not fit."""


class JobError(SurgisamError):
    """A long computation stopped before its end."""


class DamagedError(DataError):
    """A saved session is not whole; its prompts may be."""


class SourceMovedError(DataError):
    """The source of a saved session is not where it was.

    Attributes
    ----------
    name : str
        Of the file or folder to look for; empty where the image never was a file.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class SourceChangedError(DataError):
    """What lies where a saved session's source was is another picture.

    Attributes
    ----------
    path : str
        What was looked at.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path
