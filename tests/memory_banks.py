"""Memory banks with known contents, and a tracker's loop with scripted answers."""

import torch

from napari_surgisam.engine.memory import (
    ChoosingPolicy,
    Memory,
    MemoryBank,
    ObservingPolicy,
    Recall,
)
from napari_surgisam.engine.network import Prediction
from napari_surgisam.engine.plan import Direction

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def empty_bank(**options):
    return MemoryBank(**{"slots": 6, "pointer_slots": 15, "clip_length": 5000, **options})


def bank_of(conditioning=(), tracked=(), *, ious=None, presences=None, tokens=None, **options):
    """Return a bank; predicted IoU 0.9 and presence 5 unless told otherwise, by frame."""
    bank = empty_bank(**options)
    for frames, prompted in ((conditioning, True), (tracked, False)):
        for frame in frames:
            iou = (ious or {}).get(frame, 0.9)
            presence = (presences or {}).get(frame, 5.0)
            bank.add(memory(frame, iou, presence, (tokens or {}).get(frame)), conditioning=prompted)
    return bank


def memory(frame, iou=0.9, presence=5.0, tokens=None):
    number = torch.full((1, 1, 1, 1), float(frame))
    return Memory(frame, number if tokens is None else tokens, number.view(1), iou, presence)


def rectangle(top, left, bottom, right, size=32):
    """Return (h, w) logits of a rectangle of pixels, the ends excluded."""
    logits = torch.full((size, size), -10.0)
    logits[top:bottom, left:right] = 10.0
    return logits


DISC = rectangle(10, 10, 16, 16)


def answer(*masks, ious=(0.9,), presence=5.0, region=None):
    """Return a network's answer with these candidates; the best predicted IoU counts."""
    logits = torch.stack(masks or (DISC,))
    quality = torch.tensor(ious)
    pointers = torch.zeros(len(logits), 1)
    choice = int(quality.argmax())
    return Prediction(
        logits, quality, pointers, torch.tensor(presence), False, choice, region=region
    )


def play(policy, bank, script, direction=FORWARD):
    """Track scripted answers, frame by frame, as the tracker does.

    Parameters
    ----------
    script : iterable of (int, Prediction)

    Yields
    ------
    (int, MemorySelection, Prediction)
    """
    for frame, prediction in script:
        selection = policy.select(bank, frame, direction)
        if isinstance(policy, ChoosingPolicy):
            prediction = prediction.choosing(policy.choose(bank, prediction))
        bank.add(memory(frame, prediction.iou, float(prediction.presence)))
        if isinstance(policy, ObservingPolicy):
            bank.state = policy.observe(bank, frame, prediction)
        bank.evict(frame, policy.retain(bank, frame))
        yield frame, selection, prediction


def selections(policy, bank, script, direction=FORWARD):
    return {f: selection for f, selection, _ in play(policy, bank, script, direction)}


SLOTS = [(0, 6, 5, 1), (0, 4, 3, 2), (0, 0, 2, 1)]
DISTANCES = [(9, 1, 2), (30, 1, 4), (3, 12, 15)]
"""Temporal slots and pointer distances of three objects."""


def random_recall(slots, distances, seed):
    """Return random memories for SAM 2 at 128 pixels."""
    generator = torch.Generator().manual_seed(seed)

    def random(frame):
        made = memory(frame, tokens=torch.randn(1, 64, 8, 8, generator=generator).bfloat16())
        object.__setattr__(made, "pointer", torch.randn(256, generator=generator))
        return made

    return Recall(
        tuple((slot, random(n)) for n, slot in enumerate(slots)),
        tuple((distance, random(n)) for n, distance in enumerate(distances)),
    )
