"""Which frames are trusted."""

from math import log

import pytest
from memory_banks import BACKWARD, FORWARD, answer, bank_of, memory, selections

from napari_surgisam.engine.policies import ConfidentFrames, RecentFrames
from napari_surgisam.engine.policies.confident import sigmoid, trust


@pytest.mark.parametrize(
    ("presence", "iou", "expected"),
    [
        pytest.param(log(3), 0.8, 0.4, id="three-to-one"),  # 2 * 0.75 - 1 = 0.5
        pytest.param(0.0, 1.0, 0.0, id="undecided"),
        pytest.param(-3.0, 1.0, 0.0, id="absent"),
        pytest.param(1000.0, 0.25, 0.25, id="certain"),
    ],
)
def test_trust_is_predicted_iou_times_twice_the_presence_less_one(presence, iou, expected):
    assert trust(memory(1, iou, presence)) == pytest.approx(expected)
    assert sigmoid(-1000.0) == 0.0


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
def test_doubtful_frames_take_no_slot_but_the_adjacent_one_stays(direction):
    frame = 50
    passed = [frame - d * direction for d in range(1, 12)]  # nearest first
    doubtful = {passed[0]: -2.0, passed[2]: -2.0, passed[3]: 0.0}
    bank = bank_of([frame - 20 * direction], passed, presences=doubtful)
    recent = ConfidentFrames().select(bank, frame, direction).recent
    assert [recent[slot] for slot in range(1, 7)] == [passed[k] for k in (0, 1, 4, 5, 6, 7)]
    pointers = ConfidentFrames().select(bank, frame, direction).pointers
    assert list(pointers.values()) == [f for k, f in enumerate(passed) if k not in (2, 3)]


def test_frames_from_before_a_long_absence_are_still_attended_to():
    script = ((f, answer(presence=-5.0 if 40 <= f < 140 else 5.0)) for f in range(1, 160))
    bank = bank_of([0])
    seen = selections(ConfidentFrames(), bank, script)
    assert list(seen[130].recent.values()) == [129, 39, 38, 37, 36, 35]
    assert list(seen[142].recent.values()) == [141, 140, 39, 38, 37, 36]
    assert list(seen[158].recent.values()) == [157, 156, 155, 154, 153, 152]
    assert seen[130].pointers == {1: 129, **{d: 41 - d for d in range(2, 16)}}


def test_where_all_are_trusted_it_is_sam2s_rule_with_its_gaps():
    bank = bank_of([20, 24], [21, 22, 23, 25, 26, 27])
    assert ConfidentFrames().select(bank, 28, FORWARD) == RecentFrames().select(bank, 28, FORWARD)
