import numpy as np
import pytest
import torch

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.evaluation.cases import MemoryCase
from napari_surgisam.training.augmentation import Augmentation
from napari_surgisam.training.clip_reading import ClipReader, Schedule
from napari_surgisam.training.clips import choose_samples, open_labelled
from napari_surgisam.training.recipes import RECIPES


@pytest.fixture
def cases():
    """A square that moves to the right, as bright as its label says."""
    labels = np.zeros((20, 64, 96), np.uint8)
    for frame in range(20):
        labels[frame, 20:36, 10 + 3 * frame : 26 + 3 * frame] = 1
    labels[:, 50:60, :] = 2
    frames = ArrayFrames((labels == 1) * np.uint8(200), window=(0, 255), time_axis=0)
    return open_labelled([MemoryCase("film", frames, labels)])


def _reader(cases, recipe, **changes):
    return ClipReader(
        cases, RECIPES[recipe], 64, **{"focused": True, "augmentation": None} | changes
    )


def test_labels_lie_on_what_is_seen(cases):
    """Whatever part of the frame is cut out, and however it is changed."""
    reader = _reader(
        cases, "surgsam2", augmentation=Augmentation(brightness=1, contrast=1, gamma=1, blur=0)
    )
    samples = [s for s in choose_samples(cases, 8) if s.class_name == "1"]
    for seed, sample in enumerate(samples):
        clip = reader.read(sample, (seed,))
        assert clip.images.shape == (1, 8, 3, 64, 64)
        assert clip.labels.shape == (1, 8, 64, 64)
        assert clip.mask(0, 1)[0].any()
        grey = clip.images[0, :, 0].float()
        bright = grey > 100
        mask = clip.mask(0, 1)
        agreement = (bright & mask).sum() / (bright | mask).sum()
        assert agreement > 0.8


def test_the_same_seed_reads_the_same_clip(cases):
    reader = _reader(cases, "biosam2", augmentation=Augmentation())
    sample = choose_samples(cases)[5]
    one, same, other = (reader.read(sample, (seed,)) for seed in (1, 1, 2))
    assert torch.equal(one.images, same.images)
    assert torch.equal(one.labels, same.labels)
    assert one.images.shape != other.images.shape or not torch.equal(one.images, other.images)


def test_clips_go_both_ways_and_begin_with_their_sample(cases):
    reader, sample = _reader(cases, "surgsam2"), choose_samples(cases)[10]
    steps = set()
    for seed in range(12):
        frames = [frame for _, frame, _ in reader.read(sample, (seed,)).places]
        assert frames[0] == sample.frame
        steps |= set(np.diff(frames).tolist())
    assert steps == {1, -1}


def test_temporal_strides_and_far_frames(cases):
    sample = choose_samples(cases)[0]
    strides, spans = set(), set()
    for seed in range(40):
        frames = [f for _, f, _ in _reader(cases, "tsms").read(sample, (seed,)).places]
        strides |= set(np.abs(np.diff(frames)).tolist())
        far = [f for _, f, _ in _reader(cases, "sam2s").read(sample, (seed,)).places]
        assert far == sorted(set(far))
        spans.add(far[-1] - far[0])
        if len(far) == 8:
            assert np.all(np.diff(far[-5:]) == 1)
    assert strides == {1, 2}
    assert max(spans) > 8


def test_cached_recipes_see_few_regions_and_no_pixels(cases):
    reader, sample = _reader(cases, "decoder-only"), choose_samples(cases)[3]
    clips = [reader.read(sample, (seed,)) for seed in range(10)]
    assert len({clip.places[0][2] for clip in clips}) <= 2
    assert all(clip.images.shape[-1] == 0 for clip in clips)


def test_every_epoch_sees_every_sample_in_another_order(cases):
    samples = choose_samples(cases)
    schedule = Schedule(samples, seed=0)
    epochs = [[schedule(e * len(samples) + k) for k in range(len(samples))] for e in range(2)]
    assert set(epochs[0]) == set(epochs[1]) == set(samples)
    assert epochs[0] != epochs[1]


def test_class_clips_are_whole_frames_from_anywhere(cases):
    reader = _reader(cases, "classes", focused=False, classes=("2", "1"))
    sample = [s for s in choose_samples(cases) if s.class_name == "1"][3]
    seen = set()
    for seed in range(8):
        clip = reader.read(sample, (seed,))
        frames = [frame for _, frame, _ in clip.places]
        assert frames[0] == sample.frame
        assert len(set(frames)) == 4
        assert all(region is None for _, _, region in clip.places)
        seen |= set(frames[1:])
        bright, band = clip.labels[0] == 2, clip.labels[0] == 1  # in the order of the classes
        assert bright.any((1, 2)).all()
        assert band.any((1, 2)).all()
    assert len(seen) > 10


def test_small_classes_are_looked_at_more_closely_alone():
    labels = np.zeros((6, 400, 500), np.uint8)
    labels[:, 100:120, 300:330] = 1
    labels[:, 300:390, 100:390] = 2
    frames = ArrayFrames(np.zeros_like(labels), window=(0, 255), time_axis=0)
    cases = open_labelled([MemoryCase("film", frames, labels)])
    reader = _reader(cases, "classes", classes=("1", "2"))
    small, large = (next(s for s in choose_samples(cases) if s.class_name == name) for name in "12")
    clips = [reader.read(small, (seed,)) for seed in range(12)]
    close = [clip for clip in clips if clip.places[0][2] is not None]
    assert 0 < len(close) < 12
    assert len({clip.places for clip in close}) == 1  # embedded once
    assert all(len(clip.places) == 1 and (clip.labels == 1).any() for clip in close)
    assert all(reader.read(large, (seed,)).places[0][2] is None for seed in range(12))
