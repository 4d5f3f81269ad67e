"""Stored masks as bytes, for files."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.regions import Region
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class StepMasks:
    """The masks that one step of a propagation made.

    Parameters
    ----------
    frame : int
    direction : int
        1 or -1 for a step of a plan, 0 for a prompted frame.
    masks : mapping of ObjectId to StoredMask
    """

    frame: int
    direction: int
    masks: Mapping[ObjectId, StoredMask]


_LENGTH = struct.Struct("<I")
_BINARY = ("data", "pointer")


def pack_masks(masks: Mapping[Any, StoredMask], about: Mapping[str, Any]) -> bytes:
    """Return masks by number (a frame, or an object id) as bytes.

    Parameters
    ----------
    masks : mapping of int to StoredMask
    about : mapping of str to anything that JSON can hold
        What else belongs to them.
    """
    heads, parts = [], []
    for number, mask in masks.items():
        data, pointer = mask.data, np.ascontiguousarray(mask.pointer, "<f2").tobytes()
        head = {
            field.name: _plain(getattr(mask, field.name))
            for field in fields(mask)
            if field.name not in _BINARY
        }
        heads.append([number, head, len(data), len(pointer)])
        parts += [data, pointer]
    header = json.dumps({"about": dict(about), "masks": heads}, separators=(",", ":")).encode()
    return b"".join([_LENGTH.pack(len(header)), header, *parts])


def unpack_masks(packed: bytes) -> tuple[dict[ObjectId, StoredMask], dict[str, Any]]:
    """Return the masks by number, and what belongs to them, from `pack_masks`.

    Raises
    ------
    DataError
        If the bytes are anything else.
    """
    try:
        (length,) = _LENGTH.unpack_from(packed)
        start = _LENGTH.size + length
        header = json.loads(packed[_LENGTH.size : start])
        masks = {}
        for number, head, data_length, pointer_length in header["masks"]:
            middle, stop = start + data_length, start + data_length + pointer_length
            if stop > len(packed):
                raise ValueError("they end too early")
            masks[ObjectId(number)] = StoredMask(
                data=packed[start:middle],
                pointer=np.frombuffer(packed[middle:stop], "<f2").astype(np.float16),
                **{name: _rich(value) for name, value in head.items()},
            )
            start = stop
        return masks, header["about"]
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise DataError(f"Stored masks are damaged: {error}.") from error


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _rich(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return Region(**value) if isinstance(value, dict) else value
