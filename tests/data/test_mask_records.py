"""Stored masks as bytes and back."""

import numpy as np
import pytest

from napari_surgisam.data.mask_records import pack_masks, unpack_masks
from napari_surgisam.data.regions import Region
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import DataError


def mask(seed, *, conditioning=False, presence=3.25, region=None):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (24, 32)).astype(np.float32)
    return StoredMask.from_logits(
        logits,
        iou=1 / 3,
        presence=presence,
        pointer=rng.normal(0, 1, 16),
        conditioning=conditioning,
        direction=-1,
        region=region,
    )


MASKS = {
    1: mask(1),
    300: mask(2, conditioning=True, region=Region(1, 2, 30, 40)),
    7: mask(3, presence=-2.5),  # absent
}


def test_masks_come_back_to_the_last_bit():
    back, about = unpack_masks(pack_masks(MASKS, {"frame": 12, "direction": -1}))
    assert list(back) == [1, 300, 7] and about == {"frame": 12, "direction": -1}
    for number, given in MASKS.items():
        found = back[number]
        for name in StoredMask.__dataclass_fields__:
            if name == "pointer":
                np.testing.assert_array_equal(found.pointer, given.pointer)
                assert found.pointer.dtype == np.float16
            else:
                assert getattr(found, name) == getattr(given, name), name
        np.testing.assert_array_equal(found.logits(), given.logits())
    assert unpack_masks(pack_masks({}, {})) == ({}, {})


@pytest.mark.parametrize("length", [0, 3, 40, -1])
def test_what_is_cut_off_is_refused(length):
    with pytest.raises(DataError, match="damaged"):
        unpack_masks(pack_masks(MASKS, {})[:length])
