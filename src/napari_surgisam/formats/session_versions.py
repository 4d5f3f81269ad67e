"""Older saved sessions, brought to the version of today step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari_surgisam.errors import DataError

VERSION = 1
"""Raised whenever an older program would misread what is written."""

FORMAT = "napari-surgisam session"

Migration = Callable[[dict[str, Any]], dict[str, Any]]

MIGRATIONS: dict[int, Migration] = {}
"""What makes version n + 1 of version n, by n; docs/sessions.md says what changed."""


def migrate(
    data: Any,
    where: object,
    migrations: Mapping[int, Migration] = MIGRATIONS,
    version: int = VERSION,
) -> dict[str, Any]:
    """Return a session's JSON as this version writes it.

    Parameters
    ----------
    data : parsed JSON
    where : path
        For messages.
    migrations : mapping of int to callable
    version : int
        The one to reach.

    Raises
    ------
    DataError
        If it is no session, a newer program wrote it, or a step is missing or fails.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(f"{where} is no session of napari-surgisam: its session.json is another's.")
    found = data.get("version")
    if not isinstance(found, int) or found < 0:
        raise DataError(f"{where} does not say which version of the format it has: {found!r}.")
    if found > version:
        raise DataError(
            f"{where} was written by a newer napari-surgisam (version {found} of the format; this "
            f"one reads up to {version}) and was left alone: upgrade napari-surgisam."
        )
    known: dict[str, Any] = data
    while found < version:
        if found not in migrations:
            raise DataError(
                f"{where} has version {found} of the format, from which this napari-surgisam "
                f"knows no way to {version}: open and save it with an earlier release first."
            )
        try:
            known = {**migrations[found](known), "version": found + 1}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{where} is damaged: it cannot be brought from version {found} of the format to "
                f"{found + 1} ({type(error).__name__}: {error})."
            ) from error
        found += 1
    return known
