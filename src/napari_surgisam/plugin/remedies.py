"""Buttons beside an error that do what can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_surgisam.engine.registry import EMBEDDED, available_models
from napari_surgisam.errors import (
    DeviceError,
    JobError,
    MemoryShortError,
    MissingWeightsError,
    ModelError,
    SurgisamError,
)

if TYPE_CHECKING:
    from napari_surgisam.plugin.advanced_panel import AdvancedPanel
    from napari_surgisam.plugin.model_chooser import ModelChooser

Remedy = tuple[str, Callable[[], None]]

SIZES = (768, 512, 384, 256)
"""Sides of the square that frames are resized to, in pixels; a smaller one is proposed."""


def remedies_for(
    error: SurgisamError, models: ModelChooser, advanced: AdvancedPanel | None = None
) -> tuple[Remedy, ...]:
    """Return what can be done about an error: the words of a button, and what it does.

    Parameters
    ----------
    error : SurgisamError
    models : ModelChooser
    advanced : AdvancedPanel, optional
        Where the image size and the device are chosen, if anywhere.
    """
    if isinstance(error, DeviceError):
        return () if advanced is None else (_on_device("auto", "Choose by itself", advanced),)
    if isinstance(error, ModelError):
        return _other_weights(error, models)
    short = isinstance(error, JobError) and "memory" in str(error)  # also torch's own words
    if not (short or isinstance(error, MemoryShortError)) or advanced is None:
        return ()
    now = advanced.value().image_size or _own_size(models.value())
    smaller = next((size for size in SIZES if size < now), None)
    found: list[Remedy] = []
    if smaller is not None:
        found.append((f"Use {smaller} px", lambda: advanced.set_image_size(smaller)))
    if models.device not in ("", "cpu"):
        found.append(_on_device("cpu", "Use the CPU", advanced))
    return tuple(found)


def _other_weights(error: ModelError, models: ModelChooser) -> tuple[Remedy, ...]:
    found: list[Remedy] = []
    if isinstance(error, MissingWeightsError) and error.fetchable:
        name = error.name
        found.append((f"Fetch {name}", lambda: models.fetch_requested.emit(name)))
    found.append(("Import file…", models.browse))
    if models.value() != EMBEDDED:
        found.append(("Use the embedded model", lambda: models.set_value(EMBEDDED)))
    return tuple(found)


def _on_device(device: str, words: str, advanced: AdvancedPanel) -> Remedy:
    def choose() -> None:
        advanced.set_value(replace(advanced.value(), device=device))

    return words, choose


def _own_size(model: str) -> int:
    try:
        return available_models()[model].image_size
    except (KeyError, ModelError):
        return SIZES[0] + 1
