"""An interrupted propagation goes on exactly where it was."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.mask_records import StepMasks
from napari_surgisam.data.prompts import Point, Prompt, PromptBook
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.memory import Memory
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.resuming import LENGTH, Interrupted, MemoryTail
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError

CPU = torch.device("cpu")
FILM = MovingDiscs(length=30, levels=(230, 130))
BOOK = PromptBook()
for number, level in enumerate(FILM.levels, start=1):
    BOOK = BOOK.with_prompt(Prompt(number, 12, (Point(*FILM.centre(level, 12)),)))


def memory(frame, seed=0, region=None):
    torch.manual_seed(seed)
    tokens = torch.randn(1, 8, 4, 4).to(torch.bfloat16)
    return Memory(frame, tokens, torch.randn(16), 0.25, -1.5, region)


def test_the_latest_memories_come_back_to_the_last_bit(tmp_path):
    tail = MemoryTail(tmp_path / "memories")
    for frame in range(LENGTH + 5):
        tail.keep(frame, -1, {1: memory(frame, frame), 7: memory(frame, 99, Region(1, 2, 3, 4))})
    again = MemoryTail(tmp_path / "memories")
    found = again.read(CPU)
    assert sorted(found) == [(frame, -1) for frame in range(5, LENGTH + 5)]
    back, given = found[9, -1][1], memory(9, 9)
    assert torch.equal(back.tokens, given.tokens) and back.tokens.dtype == torch.bfloat16
    assert torch.equal(back.pointer, given.pointer)
    assert (back.frame, back.iou, back.presence, back.next_region) == (9, 0.25, -1.5, None)
    assert found[9, -1][7].next_region == Region(1, 2, 3, 4)
    assert back.mask is back.look is back.region is None
    again.keep(100, 1, {})  # goes on behind the latest
    assert sorted(again.read(CPU))[:2] == [(6, -1), (7, -1)]
    assert (100, 1) in again.read(CPU)
    (tmp_path / "memories" / "000.safetensors").write_bytes(b"torn")
    assert len(again.read(CPU)) == LENGTH - 1


def test_all_that_a_memory_holds_comes_back(tmp_path):
    mask, look, region = torch.randn(4, 4), torch.randn(8), Region(5, 6, 7, 8)
    given = replace(memory(3), mask=mask, look=look, region=region)
    MemoryTail(tmp_path / "memories").keep(3, 1, {1: given})
    back = MemoryTail(tmp_path / "memories").read(CPU)[3, 1][1]
    for field in fields(Memory):
        before, after = getattr(given, field.name), getattr(back, field.name)
        assert torch.equal(before, after) if torch.is_tensor(before) else before == after


def test_memories_that_cannot_be_written_are_said(tmp_path):
    tail = MemoryTail(tmp_path / "memories")
    (tmp_path / "memories").rmdir()
    with pytest.raises(DataError, match="frame 3 cannot be written"):
        tail.keep(3, 1, {1: memory(3)})


@pytest.mark.parametrize("order", ["outward", "first-n", "backward"])
@pytest.mark.parametrize("cut", [0, 1, 7, 20, 28])
def test_only_what_is_left_is_done_with_the_same_memories(order, cut):
    whole = Session(FILM, Tracker(FakeNetwork()), Annotation(BOOK))
    steps, memories, attended = [], {}, []
    for event in whole.propagate(Plan(order)):
        if event.direction is not None:
            masks = {k: whole.masklets[k][event.frame] for k in event.predictions}
            steps.append(StepMasks(event.frame, event.direction, masks))
            memories[event.frame, event.direction] = event.memories
            attended.append((event.frame, event.selections))
    network = FakeNetwork()
    resumed = Session(FILM, Tracker(network), Annotation(BOOK))
    before = Interrupted(iter(steps[:cut]), memories)
    events = list(resumed.propagate(Plan(order), before=before))
    assert [(e.frame, e.selections) for e in events if e.direction is not None] == attended[cut:]
    assert events[-1].done == events[-1].total == 1 + max(len(steps) - cut, 0)
    assert len(network.remembered) == 2 + 2 * max(len(steps) - cut, 0)  # none encoded again
    for frame in range(len(FILM)):
        np.testing.assert_array_equal(resumed.labels(frame), whole.labels(frame))
    assert resumed.undo() and not any(len(m) for m in resumed.masklets.values())
