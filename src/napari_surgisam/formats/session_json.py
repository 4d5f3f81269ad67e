"""A saved session as JSON that names its binary parts."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.classes import ClassList, ObjectClass
from napari_surgisam.data.drafts import Draft
from napari_surgisam.data.mask_chunks import MaskChunk
from napari_surgisam.data.mask_records import pack_masks, unpack_masks
from napari_surgisam.data.masklets import Masklet
from napari_surgisam.data.prompts import (
    AnyPrompt,
    Box,
    MaskPrompt,
    ObjectId,
    Point,
    Prompt,
    PromptBook,
)
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.formats.session_state import (
    ModelRecord,
    ObjectRecord,
    SessionState,
    SourceRecord,
    catalogue_of,
)

Json = dict[str, Any]


class Parts(Protocol):
    """Where binary parts are kept, each under a name that says what is in it."""

    def keep(self, owner: object, pack: Callable[[], bytes]) -> str:
        """Keep what `pack` returns for an unchanging object; return its name."""
        ...

    def read(self, name: str) -> bytes:
        """Return a part.

        Raises
        ------
        DataError
            If it is missing or damaged.
        """
        ...

    def chunk(self, name: str, frames: Iterable[int], nbytes: int) -> MaskChunk:
        """Return masks that stay in their part until they are looked at."""
        ...


def state_to_json(state: SessionState, parts: Parts) -> Json:
    """Return a session without its version; its binary parts are kept on the way."""
    known, source = state.annotation, _flat(state.source)
    source["at"] = [list(pair) for pair in sorted(state.source.at.items())]
    return {
        "source": source,
        "model": _flat(state.model),
        "plan": {"order": state.order, "span": list(state.span)},
        "classes": [_flat(known_class) for known_class in known.catalogue.classes],
        "objects": [{"id": int(k), **_flat(record)} for k, record in sorted(state.objects.items())],
        "prompts": [_prompt_to_json(prompt, parts) for prompt in known.book],
        "drafts": [
            {"object": int(k), "frame": frame, "refined": _mask_to_json(draft.refined, parts)}
            for (k, frame), draft in sorted(known.drafts.items())
        ],
        "stale": _spans_to_json(known.stale),
        "by_class": _spans_to_json(known.by_class),
        "reviewed": _spans_to_json(known.accepted),
        "painted": [
            {
                "frame": frame,
                "file": _packed_to_json(packed, parts),
                "objects": None if (ids := state.touched.get(frame)) is None else sorted(ids),
            }
            for frame, packed in sorted(known.painted.items())
        ],
        "masks": [
            {"object": int(k), "chunks": list(_chunks_to_json(masklet, parts))}
            for k, masklet in sorted(known.masklets.items())
        ],
        "view": dict(state.view),
    }


def state_from_json(data: Json, parts: Parts, *, masks: bool = True) -> SessionState:
    """Return a session from what `state_to_json` made; masks are read when they are shown.

    Parameters
    ----------
    data : dict
    parts : Parts
    masks : bool
        Whether to take masks up; without, the prompts alone wait to be answered anew.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is anything else.
    """
    book = PromptBook(
        MappingProxyType(
            {(p.object_id, p.frame): p for p in (_prompt(p, parts) for p in data["prompts"])}
        )
    )
    painted = {entry["frame"]: entry for entry in data["painted"]}
    objects = {ObjectId(o["id"]): ObjectRecord(**_known(ObjectRecord, o)) for o in data["objects"]}
    catalogue = catalogue_of(objects, _classes(data.get("classes", ())))
    # without its masks, a locked object would never have any again
    annotation = Annotation(book, catalogue=replace(catalogue, locked=frozenset()))
    if masks:
        masklets = (_masklet(entry, parts) for entry in data["masks"])
        annotation = Annotation(
            book,
            masklets=MappingProxyType({m.object_id: m for m in masklets}),
            drafts=MappingProxyType(
                {
                    (ObjectId(d["object"]), int(d["frame"])): Draft(_mask(d["refined"], parts))
                    for d in data["drafts"]
                }
            ),
            stale=MappingProxyType(_spans(data["stale"])),
            painted=MappingProxyType({f: parts.read(e["file"]) for f, e in painted.items()}),
            accepted=MappingProxyType(_spans(data["reviewed"])),
            by_class=MappingProxyType(_spans(data["by_class"])),
            catalogue=catalogue,
        )
    source, plan = dict(data["source"]), data["plan"]
    source["at"] = MappingProxyType({int(axis): int(index) for axis, index in source["at"]})
    source["shape"] = tuple(source["shape"])
    if isinstance(source["window"], list):
        source["window"] = tuple(source["window"])
    return SessionState(
        source=SourceRecord(**_known(SourceRecord, source)),
        model=ModelRecord(**_known(ModelRecord, data["model"])),
        annotation=annotation,
        objects=MappingProxyType(objects),
        order=plan["order"],
        span=(plan["span"][0], plan["span"][1]),
        touched=MappingProxyType(
            {f: frozenset(e["objects"]) for f, e in painted.items() if e["objects"] is not None}
            if masks
            else {}
        ),
        view=data["view"],
    )


def _flat(record: Any) -> Json:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _known(kind: type, data: Json) -> Json:
    """Leave out what a later program has added without a need to be understood."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in data.items() if name in names}


def _classes(entries: Iterable[Json]) -> ClassList:
    known = ({**_known(ObjectClass, e), "colour": tuple(e["colour"])} for e in entries)
    return ClassList(tuple(ObjectClass(**entry) for entry in known))


def _prompt_to_json(prompt: AnyPrompt, parts: Parts) -> Json:
    entry: Json = {"object": int(prompt.object_id), "frame": int(prompt.frame)}
    if isinstance(prompt, MaskPrompt):
        mask = prompt.mask
        entry["shape"] = list(mask.shape)
        entry["mask"] = parts.keep(mask, lambda: zlib.compress(np.packbits(mask).tobytes()))
        return entry
    entry["points"] = [[float(p.y), float(p.x), bool(p.positive)] for p in prompt.points]
    if (box := prompt.box) is not None:
        entry["box"] = [float(v) for v in (box.y0, box.x0, box.y1, box.x1)]
    if prompt.mask_size != "auto":
        entry["mask_size"] = prompt.mask_size
    return entry


def _prompt(entry: Json, parts: Parts) -> AnyPrompt:
    object_id, frame = ObjectId(entry["object"]), int(entry["frame"])
    if "mask" in entry:
        height, width = entry["shape"]
        bits = np.frombuffer(zlib.decompress(parts.read(entry["mask"])), np.uint8)
        mask = np.unpackbits(bits, count=height * width).reshape(height, width)
        return MaskPrompt(object_id, frame, mask.astype(bool))
    points = tuple(Point(*point) for point in entry["points"])
    box = Box(*entry["box"]) if "box" in entry else None
    return Prompt(object_id, frame, points, box, entry.get("mask_size", "auto"))


def _packed_to_json(packed: bytes, parts: Parts) -> str:
    return parts.keep(packed, lambda: packed)


def _mask_to_json(mask: StoredMask | None, parts: Parts) -> str | None:
    return None if mask is None else parts.keep(mask, lambda: pack_masks({0: mask}, {}))


def _mask(name: str | None, parts: Parts) -> StoredMask | None:
    return None if name is None else unpack_masks(parts.read(name))[0][ObjectId(0)]


def _chunks_to_json(masklet: Masklet, parts: Parts) -> Iterator[Json]:
    for number in sorted(masklet.chunks):
        chunk = masklet.chunks[number]
        frames = [[span.start, span.stop] for span in _runs(chunk)]
        yield {
            "number": number,
            "frames": frames,
            "bytes": chunk.nbytes,
            "file": parts.keep(chunk, chunk.packed),
        }


def _masklet(entry: Json, parts: Parts) -> Masklet:
    chunks = {
        int(c["number"]): parts.chunk(
            c["file"], (f for start, stop in c["frames"] for f in range(start, stop)), c["bytes"]
        )
        for c in entry["chunks"]
    }
    return Masklet(ObjectId(entry["object"]), MappingProxyType(chunks))


def _spans_to_json(spans: Mapping[ObjectId, tuple[range, ...]]) -> list[Json]:
    return [
        {"object": int(k), "frames": [[part.start, part.stop] for part in parts]}
        for k, parts in sorted(spans.items())
        if parts
    ]


def _spans(entries: Iterable[Json]) -> dict[ObjectId, tuple[range, ...]]:
    return {
        ObjectId(e["object"]): tuple(range(start, stop) for start, stop in e["frames"])
        for e in entries
    }


def _runs(frames: Iterable[int]) -> Iterator[range]:
    start = stop = 0
    for frame in frames:
        if frame != stop or start == stop:
            if start < stop:
                yield range(start, stop)
            start = frame
        stop = frame + 1
    if start < stop:
        yield range(start, stop)
