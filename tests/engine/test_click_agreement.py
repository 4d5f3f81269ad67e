"""Masks that agree with clicks, on embeddings of two kinds of cells."""

import pytest
import torch

from napari_surgisam.engine.click_agreement import ASKED, HELD, agree, agreed

pytestmark = pytest.mark.sam2

SIDE = 32


@pytest.fixture
def halves():
    """Embedding whose left half is unlike its right one, with a little noise."""
    torch.manual_seed(0)
    embedding = torch.zeros(1, 8, SIDE, SIDE)
    embedding[:, 0, :, : SIDE // 2] = 1
    embedding[:, 1, :, SIDE // 2 :] = 1
    return embedding + 0.05 * torch.randn(1, 8, SIDE, SIDE)


def clicks(*places):
    """(1, N, 2) places x, y and (1, N) signs."""
    return torch.tensor([[p[:2] for p in places]]).float(), torch.tensor([[p[2] for p in places]])


def test_a_click_moves_what_is_like_it_and_near(halves):
    masks = torch.full((1, 1, SIDE, SIDE), 1.0)
    places, signs = clicks((8, 10, -1))
    moved = agree(masks, halves, places, signs.float())[0, 0]
    assert moved[10, 8] < -ASKED + 0.5
    assert moved[10, 12] < 0, "like the clicked cell, and near"
    assert moved[13, 8] < 0
    assert moved[10, 20] > 0.5, "another kind, as near as some that moved"
    assert moved[31, 8] > 0.5, "like it, and far"


def test_clicks_that_came_true_hold_what_is_around_them(halves):
    masks = torch.full((1, 1, SIDE, SIDE), 3.0)
    alone = agree(masks, halves, *(t.float() for t in clicks((8, 10, -1))))[0, 0]
    held = agree(masks, halves, *(t.float() for t in clicks((8, 10, -1), (8, 15, 1))))[0, 0]
    assert alone[15, 8] < ASKED
    assert held[15, 8] > alone[15, 8] + 0.5
    assert held[10, 8] < -ASKED + 1


def test_nothing_moves_where_clicks_came_true(halves):
    masks = torch.randn(1, 3, SIDE, SIDE)
    masks[:, :, 10, 8], masks[:, :, 3, 3] = 5.0, -5.0
    places, signs = clicks((8, 10, 1), (3, 3, -1))
    assert torch.equal(agree(masks, halves, places, signs.float()), masks)


def test_objects_and_candidates_are_answered_apart(halves):
    masks = torch.randn(2, 3, SIDE, SIDE)
    embedding = torch.cat([halves, halves.flip(3)])
    places = torch.tensor([[[8.0, 10.0], [20.0, 4.0]], [[5.0, 30.0], [31.0, 0.0]]])
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    together = agree(masks, embedding, places, signs)
    for k in range(2):
        for m in range(3):
            alone = agree(
                masks[k : k + 1, m : m + 1],
                embedding[k : k + 1],
                places[k : k + 1],
                signs[k : k + 1],
            )
            torch.testing.assert_close(together[k, m], alone[0, 0])


def test_corners_of_boxes_are_no_clicks(halves):
    masks = torch.full((1, 1, SIDE, SIDE), -1.0)
    clicked = agree(masks, halves, *(t.float() for t in clicks((8, 10, 1))))
    boxed = agree(masks, halves, *(t.float() for t in clicks((2, 2, 0), (30, 30, 0), (8, 10, 1))))
    torch.testing.assert_close(boxed, clicked)


def test_an_embedding_that_says_nothing_breaks_nothing():
    masks = torch.full((1, 1, SIDE, SIDE), -1.0)
    places, signs = clicks((8, 10, 1), (8, 10, 1))
    found = agree(masks, torch.zeros(1, 8, SIDE, SIDE), places, signs.float())
    assert torch.equal(found, masks)


def test_other_decoders_keep_their_masks():
    masks = torch.randn(1, 1, SIDE, SIDE)
    points = {"point_coords": torch.zeros(1, 1, 2), "point_labels": torch.ones(1, 1)}
    assert agreed(torch.nn.Identity(), masks, points, 4 * SIDE) is masks
    assert HELD > ASKED
