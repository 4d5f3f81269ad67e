"""Objects that attend to other slots and distances share a batch, and do not mix."""

import pytest
import torch
from memory_banks import DISTANCES, SLOTS, random_recall
from sensitive import rescale

from napari_surgisam.engine.memory import Recall
from napari_surgisam.engine.network import FrameEmbedding, Query

pytestmark = pytest.mark.sam2


@pytest.fixture(scope="module", params=["sam2.1/sam2.1_hiera_t", "sam2/sam2_hiera_t"])
def network(request):
    from napari_surgisam.engine.sam2_network import load_sam2

    torch.manual_seed(0)
    network = load_sam2(f"configs/{request.param}.yaml", None, image_size=128)
    rescale(network.model)
    return network


@pytest.fixture(scope="module")
def recalls():
    return [random_recall(s, d, n) for n, (s, d) in enumerate(zip(SLOTS, DISTANCES, strict=True))]


def test_objects_at_other_slots_and_distances_attend_as_if_alone(network, recalls):
    reader = network._memories
    features = torch.randn(1, 256, 8, 8, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        alone = torch.cat([reader.attend(features, [one], 40) for one in recalls])
        together = reader.attend(features.expand(3, -1, -1, -1), recalls, 40)
        swapped = reader.attend(features.expand(3, -1, -1, -1), [*recalls[1:], recalls[0]], 40)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(swapped, alone[[1, 2, 0]], atol=1e-4, rtol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 0.1


def test_the_time_of_a_memory_is_its_own_objects(network, recalls):
    reader = network._memories
    features = torch.randn(1, 256, 8, 8, generator=torch.Generator().manual_seed(9))
    memories = [memory for _, memory in recalls[0].spatial]
    later = Recall(tuple(zip((0, 3, 2, 1), memories, strict=True)), recalls[0].pointers)
    with torch.no_grad():
        before = reader.attend(features.expand(2, -1, -1, -1), recalls[:2], 40)
        after = reader.attend(features.expand(2, -1, -1, -1), [later, recalls[1]], 40)
    assert (before[0] - after[0]).abs().max() > 1e-2
    torch.testing.assert_close(before[1], after[1], atol=1e-4, rtol=1e-4)


def test_as_many_memories_make_a_batch(network, recalls):
    sizes = []
    hook = network.model.memory_attention.register_forward_hook(
        lambda module, inputs, out: sizes.append(out.shape[1])
    )
    embedding = FrameEmbedding(
        torch.randn(1, 256, 8, 8),
        (torch.randn(1, 32, 32, 32), torch.randn(1, 64, 16, 16)),
        (90, 120),
    )
    fewer = random_recall((0, 2, 1), (9, 1, 2), 7)
    network.batched = True
    try:
        with torch.no_grad():
            network.segment(embedding, [Query(recall=r, clip_length=40) for r in (*recalls, fewer)])
    finally:
        network.batched = False
        hook.remove()
    assert sorted(sizes) == [1, 3]
