"""A propagation as the session knows it that is running."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.propagation import NONE_CONFIRMED, Confirmed

if TYPE_CHECKING:
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.engine.session import Session


@dataclass(slots=True, eq=False)
class Run:
    """A propagation that may still store masks, and whether it has begun its undo step."""

    session: Session
    begun: bool = False

    @property
    def annotation(self) -> Annotation:
        """What the session holds now."""
        return self.session.annotation

    def keep(
        self,
        frame: int,
        masks: Mapping[ObjectId, StoredMask],
        confirmed: Confirmed = NONE_CONFIRMED,
    ) -> bool:
        """Store masks in the session; see `Session.store_step`."""
        return self.session.store_step(self, frame, masks, confirmed)
