"""How far masks can be trusted: candidates for a score from what is stored of every frame.

Each takes a `Curve` and returns a (T,) array in [0, 1], NaN where there is no mask; lower is more
doubtful. How they rank frames by true IoU, ``benchmarks/ranking.py`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from scipy.special import expit

from napari_surgisam.data.curves import Curve, Figures

Confidence = Callable[[Curve], Figures]

NEAR = 10.0
"""Frames over which what a person has checked fades."""

FAR = 0.25
"""What is left of a confidence far from every frame that a person has checked."""


def predicted_iou(curve: Curve) -> Figures:
    """Return the IoU that the network predicts for its masks."""
    return curve.iou


def presence(curve: Curve) -> Figures:
    """Return the probability that the object is in the frame."""
    return np.asarray(expit(curve.presence))


def steadiness(curve: Curve) -> Figures:
    """Return how little the area changes: the smaller over the larger area of two frames.

    Of the two neighbours, the one that differs more counts. Masks that are both empty do not
    change; one pixel is added to each area, so that a vanishing mask gives no 0 / 0.
    """
    area = curve.area + 1
    ratio = np.full(len(curve) + 1, np.nan, np.float32)
    ratio[1:-1] = np.minimum(area[1:], area[:-1]) / np.maximum(area[1:], area[:-1])
    lower = np.fmin(ratio[1:], ratio[:-1])
    return np.asarray(np.where(curve.known & np.isnan(lower), 1, lower), np.float32)


def nearness(curve: Curve) -> Figures:
    """Return what the distance to the nearest frame that a person has checked leaves.

    Errors are carried from frame to frame. 1 on checked frames, `FAR` far from all.
    """
    near = FAR + (1 - FAR) * fading(curve.prompted, curve.accepted, len(curve))
    return np.where(curve.known, near, np.float32(np.nan))


@lru_cache(maxsize=128)  # it stays while masks stream in
def fading(
    prompted: tuple[int, ...], accepted: tuple[range, ...], length: int, near: float = NEAR
) -> Figures:
    """Return how near each frame is to one that a person has checked: 1 there, 1/e in `near`."""
    checked = np.zeros(length, np.bool_)
    checked[list(prompted)] = True
    for part in accepted:
        checked[part.start : part.stop] = True
    frames = np.arange(length, dtype=np.float32)
    behind = np.maximum.accumulate(np.where(checked, frames, -np.inf))
    ahead = np.minimum.accumulate(np.where(checked, frames, np.inf)[::-1])[::-1]
    distance = np.minimum(frames - behind, ahead - frames)
    return np.exp(-distance / near, dtype=np.float32)


def expected_iou(curve: Curve) -> Figures:
    """Return predicted IoU times the probability of presence: what to expect of the mask."""
    return predicted_iou(curve) * presence(curve)


def iou_nearby(curve: Curve) -> Figures:
    """Return `predicted_iou` times `nearness`."""
    return predicted_iou(curve) * nearness(curve)


@lru_cache(maxsize=32)  # places and pictures of the same curves need it
def expected_iou_nearby(curve: Curve) -> Figures:
    """Return `expected_iou` times `nearness`."""
    return expected_iou(curve) * nearness(curve)


def presence_nearby(curve: Curve) -> Figures:
    """Return `presence` times `nearness`."""
    return presence(curve) * nearness(curve)


CONFIDENCES: MappingProxyType[str, Confidence] = MappingProxyType(
    {
        "predicted IoU": predicted_iou,
        "presence": presence,
        "steadiness of area": steadiness,
        "nearness": nearness,
        "IoU × presence": expected_iou,
        "IoU × nearness": iou_nearby,
        "presence × nearness": presence_nearby,
        "IoU × presence × nearness": expected_iou_nearby,
    }
)
"""All candidates by name."""

DEFAULT = expected_iou_nearby
