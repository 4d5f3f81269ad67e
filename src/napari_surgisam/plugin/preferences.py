"""What a person set for this plugin in napari's preferences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_surgisam.engine.budgets import CacheBudget, labels_budget, parse_size
from napari_surgisam.engine.course import Update
from napari_surgisam.errors import DataError

PLUGIN = "napari-surgisam"
AUTOMATIC = "auto"
CHOICES = "choices"
"""The category of what *Segment* shows at the next start."""


def cache_budget() -> CacheBudget:
    """Return where embeddings are kept; the environment's variables override it.

    Raises
    ------
    DataError
        If a size cannot be read.
    """
    asked = _asked("memory")
    folder = str(getattr(asked, "cache_folder", "")).strip()
    return CacheBudget(
        memory=_size(asked, "cache_memory"),
        disk=_size(asked, "cache_disk"),
        folder=Path(folder).expanduser() if folder else None,
    ).overridden()


def labels_limit() -> int:
    """Return the bytes up to which the masks of an image are kept in memory, uncompressed.

    Raises
    ------
    DataError
        If the size cannot be read.
    """
    limit = _size(_asked("memory"), "labels_memory")
    return labels_budget() if limit is None else limit


def update_rule() -> Update:
    """Return when a propagation after a correction ends early."""
    asked, usual = _asked("corrections"), Update()
    return Update(
        agreement=float(getattr(asked, "agreement", usual.agreement)),
        in_a_row=int(getattr(asked, "agreeing_frames", usual.in_a_row)),
    )


def remembered(name: str, usual: Any) -> Any:
    """Return what a person chose last, or `usual` where nothing is known."""
    return getattr(_asked(CHOICES), name, usual)


def remember(name: str, value: Any) -> None:
    """Keep a choice for the next start; without napari's preferences nothing is kept."""
    asked = _asked(CHOICES)
    if asked is not None:
        setattr(asked, name, value)


def first_steps_wanted() -> bool:
    """Return whether the first steps are shown when *Segment* opens."""
    return bool(remembered("first_steps", True))


def put_first_steps_away() -> None:
    """Show the first steps no more at the next start."""
    remember("first_steps", False)


def _asked(category: str) -> Any:
    """Return preferences, or None where napari does not know this plugin's."""
    try:
        from napari.settings import get_plugin_settings

        return getattr(get_plugin_settings(PLUGIN), category)
    except (ImportError, KeyError, AttributeError):
        return None


def _size(asked: Any, name: str) -> int | None:
    text = str(getattr(asked, name, AUTOMATIC)).strip()
    if text in ("", AUTOMATIC):
        return None
    try:
        return parse_size(text)
    except DataError as error:
        raise DataError(f"{error} It is set in Preferences > SurgiSAM.") from None
