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


class MissingWeightsError(ModelError):
    """The weights of a known model are not on this machine.

    Attributes
    ----------
    name : str
        Of the model.
    fetchable : bool
        Whether they have an address to fetch them from.
    """

    def __init__(self, message: str, name: str, *, fetchable: bool) -> None:
        super().__init__(message)
        self.name, self.fetchable = name, fetchable


class DeviceError(ModelError):
    """The device that was asked for is not on this machine."""


class JobError(SurgisamError):
    """A long computation stopped before its end."""


class MemoryShortError(JobError):
    """The device had too little memory for a computation."""


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
