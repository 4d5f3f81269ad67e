"""How far masks can be trusted: candidates for a score from what is stored of every frame.

Each takes a `Curve` and returns a (T,) array in [0, 1], NaN where there is no mask; lower is more
doubtful. How they rank frames by true IoU, ``benchmarks/ranking.py`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

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
    bounded = np.clip(curve.presence, -30, 30)
    return np.asarray(1 / (1 + np.exp(-bounded)), np.float32)


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
    checked = np.flatnonzero(curve.checked)
    near = np.full(len(curve), FAR, np.float32)
    if len(checked):
        frames = np.arange(len(curve))
        after = np.searchsorted(checked, frames)
        ahead = np.abs(checked[np.minimum(after, len(checked) - 1)] - frames)
        behind = np.abs(frames - checked[np.maximum(after - 1, 0)])
        near = FAR + (1 - FAR) * np.exp(-np.minimum(ahead, behind) / NEAR)
    return np.where(curve.known, near, np.nan).astype(np.float32)


def expected_iou(curve: Curve) -> Figures:
    """Return predicted IoU times the probability of presence: what to expect of the mask."""
    return predicted_iou(curve) * presence(curve)


def iou_nearby(curve: Curve) -> Figures:
    """Return `predicted_iou` times `nearness`."""
    return predicted_iou(curve) * nearness(curve)


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
