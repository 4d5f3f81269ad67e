"""Semi-supervised video object segmentation on folders, as SAM 2's `vos_inference.py` does it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from napari_surgisam.data.prompts import MaskPrompt, ObjectId
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.network import Prediction
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import FrameSegmented, Tracker
from napari_surgisam.errors import DataError, PromptError
from napari_surgisam.evaluation.cases import OpenCase, read_truth
from napari_surgisam.evaluation.rows import CaseScores, Scoring
from napari_surgisam.evaluation.scores import score_labels
from napari_surgisam.formats.folders import PictureFrames, write_palette_png
from napari_surgisam.formats.labels import read_labels
from napari_surgisam.formats.sources import open_source

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class VosOptions:
    """What `vos_inference.py` can be told.

    Parameters
    ----------
    input_masks : Path
        Folder with a folder per video, in it palette PNGs named like the frames.
    outputs : Path
        Where palette PNGs of every frame go, a folder per video.
    all_masks : bool
        Every mask that is there prompts its object; else the first one that is not empty.
    per_object_files : bool
        Masks lie, and are written, in a folder per object (``003/00012.png``), as in SA-V.
    threshold : float
        Logit from which a pixel belongs to an object.
    """

    input_masks: Path
    outputs: Path
    all_masks: bool = False
    per_object_files: bool = False
    threshold: float = 0.0


@dataclass(slots=True)
class _Inputs:
    video: str
    prompts: dict[tuple[ObjectId, int], Mask] = field(default_factory=dict)
    palette: bytes | None = None

    @property
    def object_ids(self) -> list[ObjectId]:
        return sorted({object_id for object_id, _ in self.prompts})


def segment_video(
    video: Path, options: VosOptions, tracker: Tracker
) -> Generator[FrameSegmented, None, None]:
    """Track the objects of a video from their masks, and write palette PNGs of every frame.

    Objects may appear later than on the first frame; each is tracked from where its first
    mask is.

    Parameters
    ----------
    video : Path
        Folder of frames.
    options : VosOptions
    tracker : Tracker

    Raises
    ------
    DataError
        If frames or masks cannot be read, or the output cannot be written.
    PromptError
        If there is no mask to start from.
    """
    frames = open_source(video)
    if not isinstance(frames, PictureFrames):
        raise DataError(f"{video} is no folder of frames.")
    inputs = _read_inputs(video.name, frames, options)
    session = Session(frames, tracker)
    session.set_prompts(
        MaskPrompt(object_id, frame, mask) for (object_id, frame), mask in inputs.prompts.items()
    )
    answers: dict[int, dict[ObjectId, Prediction]] = {}
    written = 0
    for event in session.propagate(Plan("first-n")):
        answers.setdefault(event.frame, {}).update(event.predictions)
        # prompts are answered first, then frames ascend: those before this one are done
        while event.direction is not None and written < event.frame:
            _write(frames, written, answers.pop(written, {}), inputs, options)
            written += 1
        yield event
    for frame in range(written, len(frames)):
        _write(frames, frame, answers.pop(frame, {}), inputs, options)


def score_video(video: Path, options: VosOptions, truth: Path) -> CaseScores:
    """Compare the written masks of a video with the truth, as DAVIS does.

    Parameters
    ----------
    video : Path
    options : VosOptions
    truth : Path
        Folder with a folder per video, in it PNGs of some or all frames. Objects that are
        not in it are ignored.

    Raises
    ------
    DataError
        If there is no truth for the video, or shapes differ.
    """
    folder = truth / video.name
    if not folder.is_dir():
        raise DataError(f"{video.name} has no truth: {folder} does not exist.")
    frames = open_source(video)
    known = read_truth(folder, frames)
    case = OpenCase(video.name, frames, known)
    if not isinstance(frames, PictureFrames):
        raise DataError(f"{video} is no folder of frames.")
    found = np.stack(
        [_read_written(frames.names[f], video.name, frames.shape, options) for f in known.frames]
    )
    found[~np.isin(found, known.object_ids)] = 0
    return score_labels(case, found, known, Scoring(unit="px"), solid=False)


def _read_inputs(video: str, frames: PictureFrames, options: VosOptions) -> _Inputs:
    folder = options.input_masks / video
    if not folder.is_dir():
        raise DataError(f"{video} has no input masks: {folder} does not exist.")
    inputs = _Inputs(video)
    for frame, name in enumerate(frames.names):
        for path, only in _mask_files(folder, name, options):
            labels = read_labels(path)[0]
            if inputs.palette is None:
                inputs.palette = _palette(path)
            own = {only: labels > 0} if only else {int(k): labels == k for k in np.unique(labels)}
            for number, mask in own.items():
                known = any(object_id == number for object_id, _ in inputs.prompts)
                if number and mask.any() and (options.all_masks or not known):
                    inputs.prompts[ObjectId(number), frame] = mask
    if not inputs.prompts:
        raise PromptError(
            f"{video} has no mask to start from: {folder} holds no PNG named like a frame "
            f"({frames.names[0]}.png, ...) with an object in it."
        )
    return inputs


def _mask_files(folder: Path, name: str, options: VosOptions) -> Iterator[tuple[Path, int]]:
    """Yield the masks of a frame that exist, with the object that a file is of, or 0."""
    if not options.per_object_files:
        paths = [(folder / f"{name}.png", 0)]
    else:
        own = sorted(p for p in folder.iterdir() if p.is_dir() and p.name.isdigit())
        paths = [(path / f"{name}.png", int(path.name)) for path in own]
    return ((path, number) for path, number in paths if path.exists())


def _write(
    frames: PictureFrames,
    frame: int,
    answers: Mapping[ObjectId, Prediction],
    inputs: _Inputs,
    options: VosOptions,
) -> None:
    target, name = options.outputs / inputs.video, f"{frames.names[frame]}.png"
    masks = dict.fromkeys(inputs.object_ids, np.zeros(frames.shape, np.bool_))
    masks |= _masks(answers, frames.shape, options)
    try:
        for folder, labels in _pictures(masks, frames.shape, options):
            (target / folder).mkdir(parents=True, exist_ok=True)
            write_palette_png(target / folder / name, labels, inputs.palette)
    except OSError as error:
        raise DataError(f"The masks {target} cannot be written: {error.strerror}.") from error


def _masks(
    answers: Mapping[ObjectId, Prediction], shape: tuple[int, int], options: VosOptions
) -> dict[ObjectId, Mask]:
    """Return each object's mask on a frame; without files of their own they do not overlap.

    The logits are the network's own: those that a session stores are rounded where that moves
    no outline, which is too much where two objects compete.
    """
    logits = {k: _enlarged(answers[k], shape) for k in sorted(answers)}
    if not logits:
        return {}
    highest = np.maximum.reduce(list(logits.values()))
    return {
        object_id: (own > options.threshold) & (options.per_object_files | (own == highest))
        for object_id, own in logits.items()
    }


def _enlarged(answer: Prediction, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the (H, W) logits of an answer, interpolated as SAM 2 does."""
    seen = answer.region or Region(0, 0, *shape)
    size = (seen.height, seen.width)
    small = answer.mask_logits.detach().float()[None, None]
    # where they were computed: other devices round otherwise
    large = F.interpolate(small, size=size, mode="bilinear", align_corners=False)[0, 0]
    whole = np.full(shape, -np.inf, np.float32)
    rows = slice(seen.top, seen.top + seen.height)
    whole[rows, seen.left : seen.left + seen.width] = large.cpu().numpy()
    return whole


def _pictures(
    masks: dict[ObjectId, Mask], shape: tuple[int, int], options: VosOptions
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the pictures of a frame with the folder that each belongs to."""
    if options.per_object_files:
        for object_id, mask in masks.items():
            yield f"{object_id:03d}", mask.astype(np.uint8)
        return
    labels = np.zeros(shape, np.uint8)
    for object_id, mask in sorted(masks.items(), reverse=True):  # of equal logits, the lower id
        if object_id > 255:
            raise DataError(f"Palette PNGs hold labels up to 255, not {object_id}.")
        labels[mask] = object_id
    yield "", labels


def _read_written(
    name: str, video: str, shape: tuple[int, int], options: VosOptions
) -> NDArray[np.uint16]:
    folder = options.outputs / video
    labels = np.zeros(shape, np.uint16)
    for path, number in reversed(list(_mask_files(folder, name, options))):
        found = read_labels(path)[0]
        labels = np.where(found > 0, number or found, labels).astype(np.uint16)
    return labels


def _palette(path: Path) -> bytes | None:
    with Image.open(path) as image:
        colours = image.getpalette() if image.mode == "P" else None
    return bytes(colours) if colours else None
