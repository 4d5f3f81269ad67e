"""Whether two saved sessions are the same, to the last bit of every mask."""

import numpy as np

from napari_surgisam.data.prompts import MaskPrompt


def assert_same_mask(one, other):
    if one is None or other is None:
        assert one is other
        return
    np.testing.assert_array_equal(one.pointer, other.pointer)
    assert one.pointer.dtype == other.pointer.dtype
    for name in ("shape", "box", "data", "iou", "presence", "conditioning", "direction", "region"):
        assert getattr(one, name) == getattr(other, name), name


def assert_same_annotation(one, other):
    assert list(one.book.entries) == list(other.book.entries) or set(one.book.entries) == set(
        other.book.entries
    )
    for key, prompt in one.book.entries.items():
        found = other.book.entries[key]
        if isinstance(prompt, MaskPrompt):
            assert isinstance(found, MaskPrompt) and found.mask.dtype == bool
            np.testing.assert_array_equal(prompt.mask, found.mask)
        else:
            assert prompt == found
    assert set(one.drafts) == set(other.drafts), (set(one.drafts), set(other.drafts))
    for key, draft in one.drafts.items():
        assert_same_mask(draft.refined, other.drafts[key].refined)
    assert {k: v for k, v in one.stale.items() if v} == {k: v for k, v in other.stale.items() if v}
    assert dict(one.accepted) == dict(other.accepted)
    assert dict(one.by_class) == dict(other.by_class)
    assert dict(one.painted) == dict(other.painted)
    assert one.catalogue == other.catalogue
    assert set(one.masklets) == set(other.masklets)
    for object_id, masklet in one.masklets.items():
        found = other.masklets[object_id]
        assert list(masklet) == list(found) and masklet.nbytes == found.nbytes
        for frame in masklet:
            assert_same_mask(masklet[frame], found[frame])


def assert_same_state(one, other):
    assert one.source == other.source
    assert one.model == other.model
    assert dict(one.objects) == dict(other.objects)
    assert (one.order, one.span) == (other.order, other.span)
    assert dict(one.touched) == dict(other.touched)
    assert dict(one.view) == dict(other.view)
    assert_same_annotation(one.annotation, other.annotation)
