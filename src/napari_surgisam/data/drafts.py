"""Prompts whose masks are not computed yet."""

from __future__ import annotations

from dataclasses import dataclass

from napari_surgisam.data.stored_masks import StoredMask


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A prompt whose mask has not been computed yet.

    Parameters
    ----------
    refined : StoredMask or None
        The mask that was shown when the last point was added: the points correct it.
    """

    refined: StoredMask | None = None

    @property
    def direction(self) -> int:
        """Pass whose memories the mask is made with: 1, -1, or 0 for none."""
        return 0 if self.refined is None else self.refined.direction
