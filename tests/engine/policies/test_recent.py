"""Policies against hand-made banks, and SAM 2's rule against sam2's own code."""

from random import Random
from types import SimpleNamespace

import pytest
import torch

from napari_surgisam.engine.memory import Memory, MemoryBank
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies import RecentFrames

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def bank_of(conditioning, tracked, clip_length=100, max_conditioning=None):
    bank = MemoryBank(
        slots=6, pointer_slots=15, clip_length=clip_length, max_conditioning=max_conditioning
    )
    for frames, prompted in ((conditioning, True), (tracked, False)):
        for frame in frames:
            number = torch.full((1, 1, 1, 1), float(frame))
            bank.add(Memory(frame, number, number.view(1), 0.5, 1.0), conditioning=prompted)
    return bank


@pytest.mark.parametrize(
    ("tracked", "frame", "direction", "recent", "reach"),
    [
        pytest.param(range(1, 40), 40, FORWARD, {n: 40 - n for n in range(1, 7)}, 15, id="full"),
        pytest.param([1, 2], 3, FORWARD, {1: 2, 2: 1}, 2, id="beginning"),
        pytest.param([7, 4], 8, FORWARD, {1: 7, 4: 4}, 4, id="gaps-stay-empty"),
        pytest.param([21, 22], 20, BACKWARD, {1: 21, 2: 22}, 2, id="backward"),
        pytest.param([21, 22], 20, FORWARD, {}, 0, id="nothing-from-ahead"),
    ],
)
def test_recent_frames_fill_the_slot_of_their_distance(tracked, frame, direction, recent, reach):
    selection = RecentFrames().select(bank_of([0], tracked), frame, direction)
    assert selection.conditioning == (0,)
    assert selection.recent == recent
    assert max(selection.pointers, default=0) == reach
    assert all(f == frame - d * direction for d, f in selection.pointers.items())


def test_recent_frames_keep_nothing_older():
    assert RecentFrames().retain(bank_of([0], [1]), 1) == frozenset()


def what_sam2_presents(bank, frame, direction):
    """Frames, temporal rows and pointer times that sam2's own method hands to its attention."""
    from sam2.modeling.sam2_base import SAM2Base
    from sam2.modeling.sam2_utils import get_1d_sine_pe

    seen = {}

    def attention(curr, curr_pos, memory, memory_pos, num_obj_ptr_tokens):
        spatial = len(memory) - num_obj_ptr_tokens
        seen["frames"] = memory[:, 0, 0].tolist()
        seen["rows"] = memory_pos[:spatial, 0, 0].tolist()
        return curr[0]

    def projection(encoded):
        seen["times"] = encoded
        return encoded[:, :1]

    def output(f):
        zero = torch.zeros(1, 1, 1, 1)
        tokens = bank[f].tokens
        return {"maskmem_features": tokens, "maskmem_pos_enc": [zero], "obj_ptr": tokens[..., 0, 0]}

    model = SimpleNamespace(
        hidden_dim=1,
        mem_dim=1,
        num_maskmem=7,
        training=False,
        memory_temporal_stride_for_eval=1,
        max_cond_frames_in_attn=bank.max_conditioning or -1,
        max_obj_ptrs_in_encoder=16,
        maskmem_tpos_enc=torch.arange(7.0).view(7, 1, 1, 1),
        use_obj_ptrs_in_encoder=True,
        only_obj_ptrs_in_the_past_for_eval=True,
        use_signed_tpos_enc_to_obj_ptrs=True,
        add_tpos_enc_to_obj_ptrs=True,
        proj_tpos_enc_in_obj_ptrs=False,
        obj_ptr_tpos_proj=projection,
        memory_attention=attention,
    )
    model.mem_dim = 1
    wide = 8

    def encode(times, dim, **options):
        return get_1d_sine_pe(times, dim=wide, **options)

    feature = torch.zeros(1, 1, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sam2.modeling.sam2_base.get_1d_sine_pe", encode)
        SAM2Base._prepare_memory_conditioned_features(
            model,
            frame_idx=frame,
            is_init_cond_frame=False,
            current_vision_feats=[feature],
            current_vision_pos_embeds=[feature],
            feat_sizes=[(1, 1)],
            output_dict={
                "cond_frame_outputs": {f: output(f) for f in bank.conditioning_frames},
                "non_cond_frame_outputs": {f: output(f) for f in bank.tracked_frames},
            },
            num_frames=bank.clip_length,
            track_in_reverse=direction is BACKWARD,
        )
    rows = seen["rows"]
    spatial = sorted(zip(seen["frames"], rows, strict=False))
    pointers = seen["frames"][len(rows) :]
    return spatial, pointers, seen.get("times"), encode


@pytest.mark.sam2
@pytest.mark.parametrize("seed", range(40))
def test_recent_frames_present_what_sam2_presents(seed):
    random = Random(seed)
    length = random.choice([6, 15, 16, 17, 60])
    frame = random.randrange(length)
    direction = random.choice([FORWARD, BACKWARD])
    others = [f for f in range(length) if f != frame]
    conditioning = random.sample(others, random.randint(1, min(7, len(others))))
    tracked = [
        f
        for f in others
        if (frame - f) * direction > 0 and f not in conditioning and random.random() < 0.8
    ]
    bank = bank_of(conditioning, tracked, length, random.choice([None, 2, 3, 4]))
    recall = bank.recall(RecentFrames().select(bank, frame, direction), frame, direction)

    spatial, pointers, times, encode = what_sam2_presents(bank, frame, direction)
    rows = [(float(m.frame), float(slot - 1 if slot else 6)) for slot, m in recall.spatial]
    assert sorted(rows) == spatial
    assert sorted(m.frame for _, m in recall.pointers) == sorted(pointers)
    if pointers:
        distances = {float(m.frame): d for d, m in recall.pointers}
        ours = torch.tensor([distances[f] for f in pointers]) / (min(length, 16) - 1)
        torch.testing.assert_close(encode(ours, dim=1), times)
