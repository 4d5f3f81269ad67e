from itertools import islice

import torch
from scipy import ndimage as ndi

from napari_surgisam.training.scenes import LARGEST, REGIONS
from napari_surgisam.training.synthesis import SyntheticClips


def _batches(count=1, **arguments):
    return list(islice(SyntheticClips(**arguments), count))


def test_a_seed_gives_the_same_clips_again():
    first, second = (_batches(batch=2, frames=2, size=64, seed=3)[0] for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.labels, second.labels)
    other = _batches(batch=2, frames=2, size=64, seed=4)[0]
    assert not torch.equal(first.images, other.images)


def test_shapes_types_and_ranges():
    batch = _batches(batch=3, frames=4, size=96, layers=5)[0]
    assert batch.images.shape == (3, 4, 3, 96, 96)
    assert batch.images.dtype == batch.labels.dtype == torch.uint8
    assert batch.labels.shape == (3, 4, 96, 96)
    assert int(batch.labels.max()) <= 5 + REGIONS
    assert batch.parents.shape == (3, 5 + REGIONS + 1)
    assert batch.images.float().std() > 10


def test_objects_differ_from_what_surrounds_them():
    """On easy clips the picture changes where a label does, more than elsewhere."""
    across, within = [], []
    for batch in _batches(4, batch=8, size=96, difficulty=0.0, seed=1):
        image = batch.images[:, 0].float().mean(1)
        change = (image[:, :, 2:] - image[:, :, :-2]).abs()
        edge = batch.labels[:, 0, :, 2:] != batch.labels[:, 0, :, :-2]
        across.append(change[edge])
        within.append(change[~edge])
    assert torch.cat(across).mean() > 2 * torch.cat(within).mean()


def test_objects_move_and_some_leave():
    moved = gone = seen = 0
    for batch in _batches(4, batch=4, frames=6, size=64, layers=4, seed=2):
        for clip in range(4):
            for label in range(1, 5):
                areas = batch.mask(clip, label).flatten(1).sum(1)
                if areas[0] > 20:
                    seen += 1
                    gone += bool((areas[1:] == 0).any())
                    first, last = batch.mask(clip, label)[[0, -1]]
                    moved += bool((first != last).any())
    assert moved > 0.5 * seen
    assert 0 < gone < 0.8 * seen


def test_difficulty_makes_objects_smaller():
    def smallest(difficulty):
        batch = _batches(batch=16, size=64, difficulty=difficulty, seed=5)[0]
        areas = torch.stack([(batch.labels == label).flatten(1).sum(1) for label in range(1, 9)])
        return areas[areas > 0].float().quantile(0.1)

    assert smallest(1.0) < smallest(0.0)


def test_a_whole_includes_its_parts():
    for batch in _batches(6, batch=4, size=64, seed=6):
        for clip, label in (batch.parents > 0).nonzero().tolist():
            host = int(batch.parents[clip, label])
            whole = batch.mask(clip, host, whole=True)
            assert (whole & batch.mask(clip, label)).equal(batch.mask(clip, label))
            return
    raise AssertionError("no clip had a part")


def test_regions_of_a_partition_are_connected_and_no_background():
    found = 0
    for batch in _batches(4, batch=6, frames=3, size=64, layers=4, seed=7):
        for clip in range(6):
            for label in range(5, 5 + REGIONS):
                mask = batch.mask(clip, label).numpy()
                if mask.any():
                    found += 1
                    assert ndi.label(mask)[1] == 1
                    assert mask.mean() <= LARGEST
    assert found > 5


def test_some_objects_end_before_the_clip_does_in_sections():
    """As bodies do in a volume: they shrink and are gone, while what is around stays."""
    vanished = 0
    for batch in _batches(8, batch=6, frames=6, size=64, layers=3, seed=8):
        for clip in range(6):
            for label in range(1, 4):
                areas = batch.mask(clip, label).flatten(1).sum(1)
                if areas[0] > 60 and areas[-1] == 0 and areas.argmax() < 3:
                    vanished += 1
    assert vanished > 3
