"""Where an object ends in a volume: by presence, by what its mask covers, and for good."""

from dataclasses import replace

import pytest
import torch
from memory_banks import BACKWARD, FORWARD, answer, bank_of, rectangle

from napari_surgisam.engine.ending import Ending, look_inside
from napari_surgisam.engine.network import FrameEmbedding

MASK = rectangle(8, 8, 24, 24)


def embedding(inside, outside=(0.0, 0.0, 1.0)):
    """Features of an 8 x 8 grid: one vector inside MASK, another outside."""
    features = torch.tensor(outside).view(1, 3, 1, 1).repeat(1, 1, 8, 8)
    features[:, :, 2:6, 2:6] = torch.tensor(inside).view(1, 3, 1, 1)
    return FrameEmbedding(features, (), (32, 32))


def bank(presences=None, prompted=(5,)):
    """Return a bank whose prompted slices show the vector (1, 0, 0)."""
    made = bank_of(prompted, sorted(presences or ()), presences=presences)
    look = look_inside(embedding((1.0, 0.0, 0.0)), answer(MASK).mask_logits)
    for frame in prompted:
        made.add(replace(made[frame], look=look), conditioning=True)
    return made


def judged(ending, seen, held=None, frame=8, direction=FORWARD, presence=5.0):
    found = answer(MASK, presence=presence)
    return float(ending.judge(found, seen, held or bank(), frame, direction).presence)


def test_the_look_is_the_mean_inside_alone():
    logits = answer(MASK).mask_logits
    look = look_inside(embedding((0.0, 3.0, 4.0)), logits)
    torch.testing.assert_close(look, torch.tensor([0.0, 0.6, 0.8]))
    assert look_inside(embedding((1.0, 0, 0)), torch.full((32, 32), -5.0)) is None


def test_what_looks_like_another_thing_has_ended():
    alike, other = embedding((1.0, 0.2, 0.0)), embedding((0.2, 1.0, 0.0))
    rules = Ending(likeness=0.85)
    assert judged(rules, alike) > 0
    assert judged(rules, other) < 0
    assert judged(Ending(presence=1.0), other) == 4.0
    assert not Ending()


def test_likeness_raises_no_presence():
    assert judged(Ending(likeness=0.85), embedding((1.0, 0, 0)), presence=0.5) == 0.5
    assert judged(Ending(likeness=0.85), embedding((1.0, 0, 0)), presence=-3.0) < 0


def test_the_least_similar_prompted_slice_counts():
    held = bank(prompted=(5, 3))
    held.add(replace(held[3], look=torch.tensor([0.0, 1.0, 0.0])), conditioning=True)
    assert judged(Ending(likeness=0.85), embedding((0.1, 1.0, 0.0)), held) < 0
    assert judged(Ending(likeness=0.6), embedding((1.0, 1.0, 0.0)), held) > 0


@pytest.mark.parametrize(("seen", "presence"), [((1.0, 0.0, 0.0), -5.0), ((0.2, 1.0, 0.0), 5.0)])
def test_an_end_is_a_guess_that_grows_surer_slice_by_slice(seen, presence):
    rules = Ending(likeness=0.85)
    assert judged(rules, embedding(seen), presence=presence) == pytest.approx(-0.1)
    behind = judged(rules, embedding((1.0, 0.0, 0.0)), bank({7: -0.4}))
    assert behind == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("presences", "frame", "direction", "ended"),
    [
        ({7: -3.0}, 8, FORWARD, True),
        ({6: -3.0, 7: 3.0}, 8, FORWARD, False),
        ({3: -3.0}, 2, BACKWARD, True),
        ({7: -3.0}, 9, FORWARD, False),  # nothing is known of the slice before
    ],
)
def test_a_slice_without_it_ends_it_in_that_direction(presences, frame, direction, ended):
    found = judged(Ending(likeness=0.85), embedding((1.0, 0, 0)), bank(presences), frame, direction)
    assert (found < 0) == ended


@pytest.mark.parametrize("presence", [5.0, -5.0])
def test_between_slices_that_show_it_an_object_has_not_ended(presence):
    other = embedding((0.0, 1.0, 0.0))
    rules = Ending(likeness=0.85, presence=1.0)
    held = bank({7: -3.0}, prompted=(5, 20))
    assert judged(rules, other, held, presence=presence) == pytest.approx(max(presence, 0.1))
    assert judged(rules, other, held, frame=21, presence=presence) < 0, "behind the last"
    assert judged(rules, other, held, frame=4, direction=BACKWARD, presence=presence) < 0


def test_a_slice_that_a_person_emptied_ends_it_on_both_sides():
    rules = Ending(likeness=0.85)
    held = bank({7: -3.0}, prompted=(5, 12, 20))
    held.add(replace(held[12], presence=-4.0), conditioning=True)
    assert judged(rules, embedding((1.0, 0.0, 0.0)), held) < 0
    assert judged(rules, embedding((0.0, 1.0, 0.0)), held, frame=13) > 0
