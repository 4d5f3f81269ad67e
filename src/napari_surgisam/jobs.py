"""What a long computation looks like: a generator of events.

The same generator serves a dock widget, the command line and a test. Closing it cancels
the computation; every event leaves its owner in a consistent state.
"""

from collections.abc import Generator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step of a job is done.

    Parameters
    ----------
    done, total : int
        Steps finished so far, and steps altogether, in the job's own unit.
    """

    done: int
    total: int


Job = Generator[Event, None, None]
