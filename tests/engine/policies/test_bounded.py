"""However long a pass, however it goes: what is kept does not grow."""

from dataclasses import fields
from random import Random

import pytest
import torch
from memory_banks import BACKWARD, DISC, FORWARD, answer, bank_of, play, rectangle

from napari_surgisam.engine.policies import POLICIES, parse_policy

LENGTH = 2000


def eventful(random):
    """Yield answers of an object that is covered, doubtful, confused and lost for long."""
    beside = torch.maximum(DISC, rectangle(10, 22, 16, 28))
    for frame in range(1, LENGTH):
        lost = frame % 500 > 400 or random.random() < 0.05
        iou = random.choice([0.2, 0.7, 0.97, 0.98, 0.99])
        chosen = DISC if random.random() < 0.9 else rectangle(10, 10, 12, 12)
        yield frame, answer(chosen, beside, ious=(iou, 0.1), presence=-4.0 if lost else 6.0)


def entries(state):
    """Return how many things a policy's state lists."""
    if state is None or isinstance(state, tuple):
        return len(state or ())
    lists = [getattr(state, f.name) for f in fields(state)]
    return sum(len(value) for value in lists if isinstance(value, tuple))


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
@pytest.mark.parametrize("name", POLICIES)
def test_a_bank_stays_flat_over_two_thousand_frames(name, direction):
    start = 0 if direction is FORWARD else LENGTH
    policy = parse_policy(name)
    bank = bank_of([start], image_features=lambda frame: torch.randn(1, 4, 1, 1))
    script = ((start + f * direction, a) for f, a in eventful(Random(0)))
    sizes, states = [], []
    for _ in play(policy, bank, script, direction):
        sizes.append(len(bank.tracked_frames))
        states.append(entries(bank.state))
    # fifteen of the window, and at most as many that the policy wants to keep
    assert max(sizes) <= 30
    assert max(states) <= 60
    assert max(sizes[1000:]) <= max(sizes[:1000]) + 2
    assert len(bank._similarities) < 500
