"""From a session to what is saved of it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.engine.plan import Order, Plan, Span
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.settings import EngineSettings
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError, PromptError
from napari_surgisam.formats.session_state import (
    ModelRecord,
    SessionState,
    SourceRecord,
    object_records,
)


def saved_state(
    session: Session,
    source: SourceRecord,
    model: ModelRecord,
    plan: Plan | None = None,
    names: Mapping[int, str] = MappingProxyType({}),
) -> SessionState:
    """Return what is saved of a session that has no viewer; `names` say what objects are called."""
    named = {ObjectId(k): name for k, name in names.items() if k in session.object_ids}
    records = object_records(session.annotation.catalogue, named)
    state = SessionState(source, model, session.annotation, MappingProxyType(records))
    if plan is not None:
        state = replace(state, order=plan.order, span=(plan.span.start, plan.span.stop))
    return with_annotation(state, session)


def with_annotation(state: SessionState, session: Session) -> SessionState:
    """Return a state with the prompts and masks that a session has now."""
    catalogue = session.annotation.catalogue
    names = {ObjectId(k): f"object {k}" for k in session.object_ids}
    names |= {k: record.name for k, record in state.objects.items()}
    return replace(
        state,
        annotation=session.annotation,
        objects=MappingProxyType(object_records(catalogue, names)),
    )


def restored_session(
    state: SessionState, frames: FrameSource, tracker: Tracker, sha256: str
) -> Session:
    """Return a session as it was saved, without its past.

    Parameters
    ----------
    state : SessionState
    frames : FrameSource
    tracker : Tracker
    sha256 : str
        Of the weights that the tracker has: where they are others than those that made the
        masks, these stay visible, all stale.

    Raises
    ------
    PromptError
        If a prompt does not fit the frames.
    """
    annotation = state.annotation
    if state.model.sha256 and sha256 and sha256 != state.model.sha256:
        annotation = annotation.for_another_network()
    return Session(frames, tracker, annotation)


def settings_of(
    model: ModelRecord, device: str = "auto", precision: str = "auto"
) -> EngineSettings:
    """Return the engine that a session was made with, on a device of this machine."""
    return EngineSettings(
        model=model.name,
        device=device,
        precision=precision,
        image_size=model.image_size,
        policy=model.policy,
        focus=model.focus,
    )


def model_record(settings: EngineSettings, max_conditioning: int | None) -> ModelRecord:
    """Return what is saved of an engine; reads the weights' file for its digest.

    Raises
    ------
    ModelError
        If it is not on this machine.
    """
    from napari_surgisam.engine.registry import available_models

    named = settings.model in available_models()
    return ModelRecord(
        name=settings.model if named else str(Path(settings.model).expanduser().absolute()),
        sha256=settings.model_sha256(),
        image_size=settings.image_size,
        policy=settings.policy,
        focus=settings.focus,
        max_conditioning=max_conditioning,
    )


def plan_of(state: SessionState, frames: FrameSource) -> Plan:
    """Return the plan of a saved session, the usual one where it has none.

    Raises
    ------
    DataError
        If it is none that this program knows.
    """
    usual: Order = "first-n" if frames.temporal else "outward"
    try:
        return Plan(state.order or usual, Span(*state.span))  # type: ignore[arg-type]
    except PromptError as error:
        raise DataError(f"The session is damaged: {error}") from error
