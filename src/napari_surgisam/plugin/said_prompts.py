"""What the layers say, and how much of it a session knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_surgisam.data.prompts import ObjectId, Prompt
from napari_surgisam.plugin import session_jobs
from napari_surgisam.plugin.layer_reading import Key

if TYPE_CHECKING:
    from napari_surgisam.engine.session import Session


class SaidPrompts:
    """Prompts by object and frame as the layers hold them, beside those that were passed on."""

    def __init__(self) -> None:
        self.known: dict[Key, Prompt] = {}
        """Those that the session has been told."""
        self.wanted: dict[Key, Prompt] = {}

    def tell(self, session: Session) -> set[int]:
        """Tell a session what has changed; return the frames on which something has.

        Raises
        ------
        PromptError
            If the session refuses; what it knows stays.
        """
        changed = sorted(
            key
            for key in {*self.known, *self.wanted}
            if not session_jobs.same_prompt(self.known.get(key), self.wanted.get(key))
        )
        if changed:
            session_jobs.enter_prompts(session, self.known, self.wanted, changed)
            self.known = self.wanted
        return {frame for _, frame in changed}

    def take(self, entries: Mapping[Key, object]) -> None:
        """Take what a session has as what it knows; mask prompts are in no layer."""
        self.known = {key: p for key, p in entries.items() if isinstance(p, Prompt)}

    def take_over(self, session: Session | None) -> None:
        """Take a session's prompts as those that the layers say, too."""
        self.take({} if session is None else session.book.entries)
        self.wanted = dict(self.known)

    def on(self, frame: int) -> set[ObjectId]:
        """Return the objects about which a frame says something."""
        return {object_id for object_id, at in self.known if at == frame}
