"""An object that leaves the picture and returns, found by its look with the embedded model."""

import numpy as np
import pytest

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.data.masklets import Masklet
from napari_surgisam.data.prompts import Point, Prompt
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.finding import find_again, frames_without, known_masks
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import PromptError

SHAPE = (192, 256)
PLACES = [(60, 70), (60, 90), (60, 110), None, None, None, (130, 190), (120, 170)]
"""Where the object is on each frame; None while it is out of the picture."""
OTHER = (150, 60)


def disc(place, radius=26):
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (rows - place[0]) ** 2 + (columns - place[1]) ** 2 <= radius**2


def paint(image, mask, colour, stripes):
    rows, columns = np.indices(SHAPE)
    bright = 0.75 + 0.25 * np.sign(np.sin((rows + columns) / stripes))
    image[mask] = (np.array(colour) * bright[..., None])[mask]


@pytest.fixture(scope="module")
def clip():
    """Textured ground, another object that stays, and one that leaves and returns."""
    generator = np.random.default_rng(3)
    ground = 90 + 25 * generator.standard_normal((24, 32, 1)).repeat(8, 0).repeat(8, 1)
    frames = []
    for place in PLACES:
        image = (ground * np.array([0.9, 1.0, 0.7])).clip(0, 255)
        paint(image, disc(OTHER), (60, 90, 220), 5)
        if place is not None:
            paint(image, disc(place), (230, 60, 50), 3)
        frames.append(image.astype(np.uint8))
    return ArrayFrames(np.stack(frames), rgb=True)


@pytest.fixture(scope="module")
def tracker():
    return Tracker(load_network("embedded", device="cpu"))


def test_the_place_where_an_object_returns_is_found(clip, tracker):
    examples = {0: disc(PLACES[0]), 2: disc(PLACES[2])}
    events = list(find_again(tracker, clip, examples, range(3, 8)))
    last = events[-1]
    best = last.best
    assert best.sure and PLACES[best.frame] is not None
    assert [e.frame for e in events] == list(range(3, last.frame + 1)), "it ends there"
    assert not any(e.best.sure for e in events[:-1])
    assert disc(PLACES[best.frame])[round(best.point.y), round(best.point.x)]
    assert best.point.positive
    assert 0.5 < best.similarity <= 1
    assert last.done == last.total == len(events)
    again = list(find_again(tracker, clip, examples, [6]))[-1].best
    assert disc(PLACES[6])[round(again.point.y), round(again.point.x)]


def test_without_a_sure_place_the_best_is_told(clip, tracker):
    events = list(find_again(tracker, clip, {0: disc(PLACES[0])}, [3, 4, 5]))
    assert [(e.done, e.total) for e in events] == [(1, 3), (2, 3), (3, 3)]
    assert not events[-1].best.sure


def test_embeddings_are_computed_once_and_closing_cancels(clip, tracker, monkeypatch):
    reads = []
    monkeypatch.setattr(type(clip), "read", lambda self, f: reads.append(f) or 1 / 0)
    job = find_again(tracker, clip, {0: disc(PLACES[0])}, [3, 4])  # both known by now
    assert next(job).frame == 3
    job.close()
    assert not reads


def test_what_cannot_be_searched_says_so(clip, tracker):
    with pytest.raises(PromptError, match="click on it where it is seen"):
        next(find_again(tracker, clip, {0: np.zeros(SHAPE, bool)}, [3]))
    with pytest.raises(PromptError, match="no frame to search"):
        next(find_again(tracker, clip, {0: disc(PLACES[0])}, []))


def stored(mask, *, conditioning=False, iou=0.95, presence=9.0):
    logits = np.where(mask[::4, ::4], 8.0, -8.0).astype(np.float32)
    return StoredMask.from_logits(
        logits, iou=iou, presence=presence, pointer=np.ones(4), conditioning=conditioning,
        direction=0 if conditioning else 1,
    )  # fmt: skip


def test_examples_are_prompted_and_accepted_frames_and_lost_ones_are_searched():
    masklet = Masklet(1).with_mask(0, stored(disc(PLACES[0]), conditioning=True))
    for frame, place in enumerate(PLACES[1:7], start=1):
        there = place is not None
        mask = disc(place) if there else np.zeros(SHAPE, bool)
        masklet = masklet.with_mask(frame, stored(mask, presence=9.0 if there else -9.0))
    masklet = masklet.with_mask(2, stored(disc(PLACES[2]), iou=0.1))  # doubtful
    annotation = Annotation().with_prompt(Prompt(1, 0, (Point(60, 70),)))
    annotation = annotation.with_masks(0, {1: masklet.get(0)})
    for frame in range(1, 7):
        annotation = annotation.with_masks(frame, {1: masklet.get(frame)})
    annotation = annotation.with_accepted(1, range(1, 2))
    examples = known_masks(annotation, 1, 3, SHAPE)
    assert list(examples) == [1, 0]  # the nearest first
    assert (examples[1] & disc(PLACES[1])).sum() > 0.9 * disc(PLACES[1]).sum()
    assert frames_without(annotation, 1, 1, 8, SHAPE) == (2, 3, 4, 5, 7)
    assert frames_without(annotation, 1, 5, 8, SHAPE) == (5, 7)
    assert frames_without(annotation, 2, 6, 8, SHAPE) == (6, 7)
