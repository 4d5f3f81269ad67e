"""Options of the shell that stand for values of the core."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_surgisam.errors import DataError

if TYPE_CHECKING:
    from napari_surgisam.engine.embeddings import EmbeddingCache

ONE_PASS_BYTES = 48 * 10**6
"""Memory for embeddings where every frame is visited about once."""


def parse_window(text: str) -> Literal["auto"] | tuple[float, float]:
    """Read ``auto`` or ``LO:HI``.

    Raises
    ------
    DataError
        If the text is anything else.
    """
    if text == "auto":
        return "auto"
    low, colon, high = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(low), float(high)
    except ValueError:
        raise DataError(
            f"Cannot read the window {text!r}: write auto, or the values shown as black and "
            "white, for example --window=-160:240."
        ) from None


def parse_at(texts: Iterable[str]) -> dict[int, int]:
    """Read ``AXIS=INDEX``, once per axis.

    Raises
    ------
    DataError
        If a text is anything else, or an axis occurs twice.
    """
    fixed: dict[int, int] = {}
    for text in texts:
        axis, _, index = text.partition("=")
        try:
            key, value = int(axis), int(index)
        except ValueError:
            raise DataError(
                f"Cannot read --at {text!r}: write an axis and an index on it, for example "
                "--at 0=4 for volume 4 of a (T, Z, Y, X) array."
            ) from None
        if key in fixed:
            raise DataError(f"--at names axis {key} twice: keep one.")
        fixed[key] = value
    return fixed


def open_cache(memory: str | None, disk: str | None, folder: Path | None) -> "EmbeddingCache":
    """Open the cache of embeddings: as the options say, else the environment's variables.

    A single pass looks at each embedding once: little is kept unless more is asked for.

    Raises
    ------
    DataError
        If a size cannot be read.
    """
    from napari_surgisam.engine.budgets import CacheBudget, parse_size

    usual = CacheBudget(memory=ONE_PASS_BYTES, disk=0).overridden()
    return CacheBudget(
        usual.memory if memory is None else parse_size(memory),
        usual.disk if disk is None else parse_size(disk),
        usual.folder if folder is None else folder.expanduser(),
    ).open()


def check_no_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raise a `DataError` if an output is one of the inputs, which it would replace."""
    if any(path.resolve() == other.resolve() for other in inputs):
        raise DataError(f"{path} is both input and output: give another output path.")


def check_new_file(path: Path, *, overwrite: bool) -> None:
    """Check that a file can be written, before anything long starts.

    Raises
    ------
    DataError
        If it exists and may not be replaced, or its folder is missing or read-only.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, but a file shall be written there.")
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists: choose another path, or replace it with --overwrite.")
    parent = path.resolve().parent
    if not parent.is_dir():
        raise DataError(f"The folder {parent} does not exist: create it first.")
    if not os.access(parent, os.W_OK):
        raise DataError(f"The folder {parent} cannot be written to: choose another.")
