"""Open a saved session: from a drop, from File > Open, or from the dock widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_surgisam.data.frames import ArrayFrames, FrameSource
from napari_surgisam.errors import (
    DamagedError,
    SourceChangedError,
    SourceMovedError,
    SurgisamError,
)
from napari_surgisam.formats.session_folder import INDEX, SessionFolder, is_session
from napari_surgisam.formats.session_sources import (
    describe_source,
    find_source,
    is_source,
    open_recorded,
)
from napari_surgisam.formats.session_state import SessionState, SourceRecord
from napari_surgisam.plugin.files import PATH, SOURCE, FrameStack, read_movie, read_nifti
from napari_surgisam.plugin.waiting import wait_for

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from napari.types import LayerData, ReaderFunction

SESSION = "surgisam_session"
"""Key of an image's metadata: the `OpenedSession` that the dock widget is to take up."""

NO_LAYERS: LayerData = (None,)  # napari's word for "read, and there is nothing to add"


@dataclass(frozen=True, slots=True, eq=False)
class OpenedSession:
    """A saved session with its source, not yet in any layer.

    Parameters
    ----------
    folder : SessionFolder
    state : SessionState
    frames : FrameSource
    whole : bool
        Whether it is all that was saved; of others, the folder is never written to.
    """

    folder: SessionFolder
    state: SessionState
    frames: FrameSource
    whole: bool = True

    @property
    def computed(self) -> SessionState:
        """The state without what a person painted, which a viewer keeps in its layer."""
        masks = replace(self.state.annotation, painted=MappingProxyType({}))
        return replace(self.state, annotation=masks)


def session_reader(path: Any) -> ReaderFunction | None:
    """Return a function that opens a session, or None for anything else."""
    return read_session if isinstance(path, str | Path) and _is_saved(Path(path)) else None


def read_session(path: Any) -> list[LayerData]:
    """Open a session's image with the session in its metadata, and the widget beside it.

    Where the source moved or changed, the person is asked what to do.

    Raises
    ------
    DataError
        If the session cannot be opened, or the person gives up.
    """
    from napari import current_viewer

    viewer = current_viewer()
    folder = Path(path)
    opened, image = _open_asking(folder.parent if folder.name == INDEX else folder, viewer)
    try:
        if image is None and viewer is not None:
            image = _find_layer(viewer, opened.state.source)
        if image is not None:
            image.metadata[SESSION] = opened
            layers = [NO_LAYERS]
        else:
            layers = [_image_layer(opened)]
    except BaseException:
        opened.folder.close()
        raise
    if viewer is not None:
        _show_widget(viewer, opened)
    return layers


def open_session(
    path: Path, source: str | Path | None = None, *, prompts_only: bool = False
) -> OpenedSession:
    """Open a session and its source, without layers.

    Parameters
    ----------
    path : Path
    source : path, optional
        Where the source is now.
    prompts_only : bool
        Whether to take the prompts alone, on whatever `source` is.

    Raises
    ------
    SourceMovedError, SourceChangedError
        If the source is not there, or another.
    DataError
        If the session cannot be opened or is damaged.
    """
    folder = SessionFolder(path)
    try:
        state = folder.read(masks=not prompts_only)
        record = state.source
        if prompts_only and source is not None:
            frames, place = open_recorded(record, Path(source)), Path(source)
            record = describe_source(
                frames, place, window=record.window, channel=record.channel, at=record.at
            )
        else:
            frames, place = find_source(record, folder.path, source)
            record = replace(record, path=str(place.absolute()))
        return OpenedSession(folder, replace(state, source=record), frames, not prompts_only)
    except BaseException:
        folder.close()
        raise


def _open_asking(path: Path, viewer: ViewerModel | None) -> tuple[OpenedSession, Image | None]:
    """Open a session; ask where its source is, as long as the person answers.

    Returns
    -------
    opened : OpenedSession
    image : Image or None
        The layer that has its frames, where they were looked for in layers.
    """
    from napari_surgisam.plugin.session_dialogs import (
        PROMPTS_ALONE,
        ask_about_changed,
        ask_about_damage,
        ask_for_source,
    )

    source: Path | None = None
    prompts_only = False
    while True:
        work = partial(open_session, path, source, prompts_only=prompts_only)
        try:
            return wait_for(work), None
        except DamagedError as error:
            if prompts_only or not ask_about_damage(str(error)):
                raise
            prompts_only = True
        except SourceMovedError as error:
            if found := _open_on_layer(path, viewer):
                return found
            source = ask_for_source(str(error), error.name)
            if source is None:
                raise
        except SourceChangedError as error:
            if found := _open_on_layer(path, viewer):
                return found
            answer = ask_about_changed(str(error), Path(error.path).name)
            if answer is None:
                raise
            prompts_only = answer == PROMPTS_ALONE
            source = Path(error.path) if prompts_only else answer


def _open_on_layer(path: Path, viewer: ViewerModel | None) -> tuple[OpenedSession, Image] | None:
    """Open a session of frames that only the viewer has: in memory, or by another reader."""
    from napari_surgisam.plugin.layer_reading import layer_frames, layer_grid

    images = [] if viewer is None else _images(viewer)
    if viewer is None or not images:
        return None
    folder = SessionFolder(path)
    try:
        state = folder.read()
        axis, level = state.view.get("axis"), state.view.get("level", 0)
        for image in images:
            with suppress(SurgisamError):
                grid = layer_grid(viewer, image, axis=axis, level=level)
                frames = layer_frames(image, grid)
                if is_source(frames, state.source):
                    return OpenedSession(folder, state, frames), image
    except BaseException:
        folder.close()
        raise
    folder.close()
    return None


def _find_layer(viewer: ViewerModel, record: SourceRecord) -> Image | None:
    """Return the layer that shows a session's source already, or None."""
    if record.channel is not None or record.at:
        return None  # its sliders may point elsewhere
    for image in _images(viewer):
        if layer_path(image) == record.path:
            return image
    return None


def layer_path(image: Image) -> str:
    """Return the file that an image was opened from, absolute; empty where there is none."""
    path = image.metadata.get(PATH) or image.source.path
    return str(Path(path).absolute()) if isinstance(path, str | Path) else ""


def _images(viewer: ViewerModel) -> list[Image]:
    from napari.layers import Image

    return [layer for layer in viewer.layers if isinstance(layer, Image)]


def _image_layer(opened: OpenedSession) -> LayerData:
    """Return the source as a layer that looks as it did when the session was saved."""
    path = Path(opened.state.source.path)
    if isinstance(opened.frames, ArrayFrames):
        data, kwargs = wait_for(lambda: _read_array(path, opened))
    else:
        again = partial(open_recorded, opened.state.source, path)
        data, kwargs, _ = read_movie(path, opened.frames, again)
    view = opened.state.view
    shown = dict(kwargs)
    if opened.state.source.window != "auto":
        shown["contrast_limits"] = opened.state.source.window
    shown |= {key: view[key] for key in _PLACEMENT if key in view and _fits(view[key], data, shown)}
    shown["metadata"] = {**kwargs.get("metadata", {}), PATH: str(path), SESSION: opened}
    return (data, shown, "image")


_PLACEMENT = ("name", "scale", "translate", "axis_labels", "units")


def _fits(value: Any, data: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a property belongs to an image of as many axes."""
    axes = len(data.shape) - bool(kwargs.get("rgb"))
    return isinstance(value, str) or len(value) == axes


def _read_array(path: Path, opened: OpenedSession) -> tuple[Any, dict[str, Any]]:
    """Read a file for the viewer, as drop and File > Open would, or else as the model sees it."""
    record = opened.state.source
    layers: Sequence[Any] = []
    if path.name.lower().endswith((".nii", ".nii.gz")):
        layers = read_nifti(path)
    else:
        from napari.plugins.io import read_data_with_plugins

        with suppress(Exception):  # whatever a reader does not like, ours can show
            layers = read_data_with_plugins([str(path)], plugin="napari", stack=False)[0] or []
    for layer in layers:
        data, kwargs = layer[0], dict(layer[1]) if len(layer) > 1 else {}
        kind = layer[2] if len(layer) > 2 else "image"
        colour = kwargs.get("rgb")
        if colour is None:
            colour = data.ndim > 2 and data.shape[-1] in (3, 4) and data.dtype == np.uint8
        if kind == "image" and _shows(data.shape[: data.ndim - bool(colour)], record):
            return data, {**kwargs, "rgb": bool(colour)}
    stack = FrameStack(lambda: open_recorded(record, path))
    names = ("time" if opened.frames.temporal else "z", "y", "x")
    return stack.as_dask(), {
        "name": path.stem,
        "rgb": True,
        "axis_labels": names,
        "metadata": {SOURCE: stack},
    }


def _shows(shape: tuple[int, ...], record: SourceRecord) -> bool:
    """Whether an array has the frames of a source, along the axis that they were taken from."""
    if record.channel is not None or record.at:
        return False  # the sliders might point at others
    frames = list(record.shape)
    if len(shape) == 3:
        frames.insert(record.axis, record.length)
    return list(shape) == frames


def _is_saved(path: Path) -> bool:
    return (path.name == INDEX and is_session(path.parent)) or (
        is_session(path) and (path / INDEX).exists()
    )


def _show_widget(viewer: ViewerModel, opened: OpenedSession) -> None:
    """Open the dock widget, when napari has added the layers, and let it take the session up."""
    window = getattr(viewer, "window", None)
    if window is None:
        return
    from qtpy.QtCore import QTimer

    def show() -> None:
        dock, widget = window.add_plugin_dock_widget("napari-surgisam", "Segment")
        dock.show()
        for image in _images(viewer):
            if image.metadata.get(SESSION) is opened:
                widget.sessions.take(image)

    QTimer.singleShot(0, show)
