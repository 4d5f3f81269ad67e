"""Put an opened session into the layers of an image."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import Prompt
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.plugin.label_store import label_store
from napari_surgisam.plugin.layers import add_labels_layer, find_masks
from napari_surgisam.plugin.lazy_labels import LazyLabels
from napari_surgisam.plugin.painting import PaintLedger
from napari_surgisam.plugin.session_opening import SESSION, OpenedSession

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_surgisam.plugin.grid import FrameGrid
    from napari_surgisam.plugin.objects import Objects
    from napari_surgisam.plugin.prompt_layers import PromptLayers

LOG = logging.getLogger(__name__)

COLOURS, BY_CLASS = "colours", "class"
"""Entry of a saved view that says what colours stand for."""


def take_opened(image: Image, grid: FrameGrid) -> OpenedSession | None:
    """Return the session that an image brought along, once; None where there is none.

    Raises
    ------
    DataError
        If its frames are not those that the layer shows now.
    """
    opened: OpenedSession | None = image.metadata.pop(SESSION, None)
    if opened is None:
        return None
    record = opened.state.source
    if (len(grid), *grid.size) != (record.length, *record.shape):
        opened.folder.close()
        raise DataError(
            f"The session {opened.folder.path.name} is of {record.length} frames of "
            f"{record.shape[0]} x {record.shape[1]} pixels, but {image.name} shows {len(grid)} of "
            f"{grid.size[0]} x {grid.size[1]}: choose the same axis under Advanced, and open the "
            "session again."
        )
    return opened


def masks_layer(
    viewer: ViewerModel, image: Image, grid: FrameGrid, opened: OpenedSession | None, *, new: bool
) -> Labels:
    """Return the layer for an image's masks: what there is, or a new one, with saved masks."""
    found = None if new or opened is not None else find_masks(viewer, image, grid)
    filled = None if opened is None else lazy_labels(opened, grid)
    return found or add_labels_layer(viewer, image, grid, f"{image.name} masks", filled)


def lazy_labels(opened: OpenedSession, grid: FrameGrid) -> tuple[LazyLabels, PaintLedger]:
    """Return labels that are painted from saved masks when they are looked at, and by whom.

    What a person painted is there as it was, and counts as the person's.
    """
    annotation, ledger = opened.state.annotation, PaintLedger()
    masks = opened.computed.annotation
    for frame in annotation.painted:
        labels = annotation.labels(frame, grid.size)
        found = frozenset(int(k) for k in np.unique(labels)) - {0}
        ledger.painted[frame] = opened.state.touched.get(frame, found)

    def fill(frame: int) -> NDArray[Any]:
        empty = np.zeros(grid.size, np.uint16)
        try:
            shown = annotation.labels(frame, grid.size) if frame in annotation.painted else empty
            return ledger.merge(frame, masks.labels(frame, grid.size), shown)
        except SurgisamError as error:
            LOG.error("Frame %d has no masks: %s", frame, error)
            return ledger.merge(frame, empty, empty)

    pending = {*annotation.painted, *(f for m in annotation.masklets.values() for f in m)}
    return LazyLabels(label_store(grid.shape, grid.plane), grid, fill, pending), ledger


def restore_objects(opened: OpenedSession | None, objects: Objects, prompts: PromptLayers) -> None:
    """Put names into a table of objects, and clicks and boxes into their layers."""
    if opened is None:
        return
    state = opened.state
    for object_id, record in state.objects.items():
        objects.names[object_id] = record.name
    objects.include(state.annotation.object_ids)
    objects.follow(state.annotation.catalogue)
    objects.by_class = state.view.get(COLOURS) == BY_CLASS
    book = state.annotation.book
    if any(isinstance(p, Prompt) and p.box is not None for p in book):
        prompts.boxes()
    prompts.show(book)


def restored_plan(opened: OpenedSession) -> Plan | None:
    """Return the plan that was chosen, or None where the usual one will do."""
    state = opened.state
    known = ("outward", "first-n", "forward", "backward")
    order = next((name for name in known if name == state.order), None)
    if order is None:
        return None
    return Plan("outward" if order == "first-n" else order, Span(*state.span))  # type: ignore[arg-type]
