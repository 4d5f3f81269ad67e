"""What the dock widget asks a session to do, as jobs: no Qt, no layers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames, FrameSource
from napari_surgisam.data.mask_chunks import NO_MASKS
from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.data.stored_masks import same_mask
from napari_surgisam.errors import PromptError
from napari_surgisam.jobs import Event
from napari_surgisam.plugin.layer_reading import Key

if TYPE_CHECKING:
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.engine.course import Update
    from napari_surgisam.engine.embeddings import EmbeddingCache
    from napari_surgisam.engine.plan import Plan, Span
    from napari_surgisam.engine.propagation import Propagation
    from napari_surgisam.engine.session import Session
    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.plugin.advanced_panel import Settings
    from napari_surgisam.plugin.session_opening import OpenedSession

ROUNDING = 1e-6
"""Pixels by which a coordinate may differ after its way through a layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """The network is loaded and the session can be used.

    Parameters
    ----------
    session : Session
    device : str
        Where it computes: torch's type of device, for example "cpu".
    engine : EngineSettings
        What its network was loaded by.
    sha256 : str
        Of the weights, where a saved session was restored with them; else empty.
    """

    session: Session
    device: str
    engine: EngineSettings
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePainted(Event):
    """The labels of a frame are known.

    Parameters
    ----------
    frame : int
    labels : (H, W) uint16 array
    """

    frame: int
    labels: NDArray[np.uint16]


def open_session(
    model: str,
    settings: Settings,
    open_frames: Callable[[], FrameSource],
    cache: Callable[[], EmbeddingCache],
    before: Session | None,
    first_frame: int,
    restored: OpenedSession | None = None,
) -> Generator[SessionOpened, None, None]:
    """Load a model and warm it up.

    Parameters
    ----------
    model : str
    settings : Settings
    open_frames, cache : callable
        Called in the job's thread: they may take long.
    before : Session or None
        Its prompts carry over, and so do its masks, as stale.
    first_frame : int
        The frame to embed, because PyTorch's first call is slow.
    restored : OpenedSession, optional
        What the first session starts from.
    """
    from napari_surgisam.engine import models
    from napari_surgisam.engine.devices import choose_device
    from napari_surgisam.engine.focus import choose_focus
    from napari_surgisam.engine.policies import choose_policy
    from napari_surgisam.engine.saved_sessions import restored_session
    from napari_surgisam.engine.session import Session
    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.engine.tracker import Tracker

    engine = EngineSettings(
        model,
        settings.device,
        settings.precision,
        settings.image_size,
        settings.policy,
        settings.focus,
    )
    network = models.load_network(
        model,
        device=settings.device,
        precision=settings.precision,
        image_size=settings.image_size,
    )
    tracker = Tracker(
        network,
        choose_policy(settings.policy, model),
        cache=cache(),
        max_conditioning=settings.max_conditioning,
        focus=choose_focus(settings.focus, model),
    )
    sha256 = ""
    if before is None and restored is not None:
        sha256 = engine.model_sha256()
        frames = restored.frames if isinstance(restored.frames, ArrayFrames) else open_frames()
        session = restored_session(restored.computed, frames, tracker, sha256)
    else:
        frames = open_frames()
        annotation = None if before is None else before.annotation.for_another_network()
        session = Session(frames, tracker, annotation)
    session.embed(min(first_frame, len(frames) - 1))
    device = choose_device(settings.device).type
    yield SessionOpened(
        done=1, total=1, session=session, device=device, engine=engine, sha256=sha256
    )


def embed_frame(session: Session, frame: int) -> Generator[Event, None, None]:
    """Compute the embedding of a frame, so that a click is answered at once."""
    session.embed(frame)
    yield Event(done=1, total=1)


def segment_frames(session: Session, frames: list[int]) -> Generator[FramePainted, None, None]:
    """Answer the prompts on some frames."""
    for done, frame in enumerate(frames, start=1):
        session.segment(frame)
        yield _painted(session, frame, done, len(frames))


def paint_frames(session: Session, frames: list[int]) -> Generator[FramePainted, None, None]:
    """Paint the masks of some frames anew."""
    for done, frame in enumerate(frames, start=1):
        yield _painted(session, frame, done, len(frames))


def propagate(
    session: Session, plan: Plan, object_ids: tuple[ObjectId, ...] | None, update: Update | None
) -> Generator[FramePainted, None, None]:
    """Carry the prompts along a plan, painting each frame: those that are out of date, if any.

    Without an update, and where nothing is out of date, all frames are done.
    """
    if update is not None and not session.count_outdated(plan, object_ids):
        update = None
    steps = session.propagate(plan, object_ids, update=update)
    yield from _painting(session, steps)


def label_classes(
    session: Session, objects: Mapping[ObjectId, str], span: Span
) -> Generator[FramePainted, None, None]:
    """Find objects by the names of their classes, painting each frame."""
    yield from _painting(session, session.label_classes(objects, span))


def _painting(session: Session, steps: Propagation) -> Generator[FramePainted, None, None]:
    try:
        for event in steps:
            yield _painted(session, event.frame, event.done, event.total)
    finally:
        steps.close()


def preview_propagation(session: Session | None, plan: Plan, unit: str) -> tuple[str, str]:
    """Return what `propagate` would do, as the text of a button and a sentence about it."""
    button, tip = "Propagate", "Carry the clicks through the frames (P)"
    if session is None or not any(
        len(masklet) > len(session.book.frames(k)) for k, masklet in session.masklets.items()
    ):
        return button, tip
    try:
        count = session.count_outdated(plan)
    except PromptError as error:
        return button, str(error)
    if not count:
        return button, f"All masks are up to date: make them anew on all {unit}s (P)"
    unit = unit if count == 1 else f"{unit}s"
    known = f"{count:,} {unit} whose masks are missing or older than a click"
    return f"Propagate {count:,} {unit}", f"Carry the clicks through {known} (P)"


def changed_frames(before: Annotation, after: Annotation) -> list[int]:
    """Return the frames on which two annotations show other labels, ascending.

    No mask is read from disk for that: those of a chunk that is there count as others.
    """
    changed: set[int] = set()
    claimed, claims = (a.catalogue.claims(a.masklets) for a in (before, after))
    for object_id in {*before.masklets, *after.masklets}:
        old, new = before.masklets.get(object_id), after.masklets.get(object_id)
        if claimed.get(object_id) != claims.get(object_id):
            changed.update(f for masklet in (old, new) for f in masklet or ())
            continue
        if old is new:
            continue
        first, last = ({} if masklet is None else masklet.chunks for masklet in (old, new))
        for number in {*first, *last}:
            one, other = first.get(number, NO_MASKS), last.get(number, NO_MASKS)
            if one is other:
                continue
            changed.update({*one} ^ {*other})
            common = {*one} & {*other}
            if one.in_memory and other.in_memory:
                common = {f for f in common if not same_mask(one.get(f), other.get(f))}
            changed.update(common)
    return sorted(changed)


def enter_prompts(
    session: Session,
    before: Mapping[Key, Prompt],
    after: Mapping[Key, Prompt],
    changed: Iterable[Key],
) -> None:
    """Tell a session how prompts changed: a new point refines, other changes ask anew.

    Several new points of one object refine together, as a step; those of several ask anew.
    """
    anew, changed = [], tuple(changed)
    for key in changed:
        old, new = before.get(key), after.get(key)
        if new is None:
            session.remove_prompt(*key)
        elif (added := _added(old, new)) and 1 in (len(added), len(changed)):
            session.add_points(*key, added)
        else:
            anew.append(new)
    if anew:
        session.set_prompts(anew)


def _added(old: Prompt | None, new: Prompt) -> tuple[Point, ...]:
    """Return the points by which a prompt has grown, where it changed in nothing else."""
    if old is None:
        return new.points if new.box is None and new.mask_size == "auto" else ()
    count = len(old.points)
    if len(new.points) <= count:
        return ()
    earlier = replace(new, points=new.points[:count]) if count or new.box else None
    return new.points[count:] if same_prompt(old, earlier) else ()


def same_prompt(one: Prompt | None, other: Prompt | None) -> bool:
    """Whether two prompts say the same, as far as a layer can tell: it rounds coordinates."""
    if one is None or other is None or one == other:
        return one == other
    if [p.positive for p in one.points] != [p.positive for p in other.points]:
        return False
    if one.mask_size != other.mask_size:
        return False
    if (one.box is None) != (other.box is None):
        return False
    return bool(np.allclose(_coordinates(one), _coordinates(other), rtol=0, atol=ROUNDING))


def _coordinates(prompt: Prompt) -> list[float]:
    box = prompt.box
    corners = [] if box is None else [box.y0, box.x0, box.y1, box.x1]
    return [*corners, *(v for p in prompt.points for v in (p.y, p.x))]


def _painted(session: Session, frame: int, done: int, total: int) -> FramePainted:
    return FramePainted(done=done, total=total, frame=frame, labels=session.labels(frame))
