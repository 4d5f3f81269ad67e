"""Logits equal to those of the official SAM2VideoPredictor: same weights, frames, prompts.

Random weights as they come prove little: reversing all temporal rows moves the logits by
less than the tolerance. They are rescaled until every planted fault moves them by more than
a hundred times that much, which the tests assert as well.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sensitive import PRESENT, rescale, write_film

from napari_surgisam.data.prompts import Box, MaskPrompt, Point, Prompt
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.formats.sources import open_source

pytestmark = pytest.mark.sam2

SIZE = 128  # side of the network's images, in pixels: seconds instead of minutes
TOLERANCE = 1e-4
SAM21, SAM20 = "configs/sam2.1/sam2.1_hiera_t.yaml", "configs/sam2/sam2_hiera_t.yaml"

EMBEDDINGS = EmbeddingCache()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: threads only get in each other's way
    yield
    torch.set_num_threads(threads)


def build(config, *overrides):
    """Return the official predictor and our network, with the same weights."""
    from sam2.build_sam import build_sam2_video_predictor

    from napari_surgisam.engine.sam2_network import load_sam2

    torch.manual_seed(0)
    official = build_sam2_video_predictor(
        config, None, "cpu", hydra_overrides_extra=[f"++model.image_size={SIZE}", *overrides]
    )
    official.fill_hole_area = 0  # needs a compiled extension; without it, it only warns
    rescale(official)
    state = official.state_dict()
    return official, load_sam2(config, state, image_size=SIZE, encoder_fingerprint=config)


@pytest.fixture(scope="module")
def pair():
    return build(SAM21)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return {length: write_film(folder / str(length), length) for length in (6, 20)}


def by_official(predictor, folder, prompts, *, reverse=False, one_by_one=False, later=()):
    """Return logits, pointer and presence of every object and frame, by the official code."""
    state = predictor.init_state(str(folder))

    def tell(prompt):
        if isinstance(prompt, MaskPrompt):
            predictor.add_new_mask(state, prompt.frame, prompt.object_id, prompt.mask)
            return
        points = [[p.x, p.y] for p in prompt.points]
        labels = [int(p.positive) for p in prompt.points]
        pieces = [slice(n, n + 1) for n in range(len(points))] if one_by_one else [slice(None)]
        for number, piece in enumerate(pieces):
            box = prompt.box
            predictor.add_new_points_or_box(
                state,
                prompt.frame,
                prompt.object_id,
                points=points[piece] or None,
                labels=labels[piece] or None,
                clear_old_points=number == 0,
                box=[box.x0, box.y0, box.x1, box.y1] if box else None,
            )

    for prompt in prompts:
        tell(prompt)
    start = max(prompt.frame for prompt in prompts) if reverse else None
    for _ in predictor.propagate_in_video(state, start, reverse=reverse):
        pass
    for prompt in later:
        tell(prompt)
    if later:
        predictor.propagate_in_video_preflight(state)
    return {
        (object_id, frame): (
            output["pred_masks"][0, 0],
            output["obj_ptr"][0],
            output["object_score_logits"][0, 0],
        )
        for object_id, index in state["obj_id_to_idx"].items()
        for outputs in state["output_dict_per_obj"][index].values()
        for frame, output in outputs.items()
    }


def by_us(network, folder, prompts, *, reverse=False, one_by_one=False, later=()):
    tracker = Tracker(network, cache=EMBEDDINGS, max_conditioning=None)
    session = Session(open_source(folder), tracker)
    for prompt in prompts:
        if one_by_one:
            for point in prompt.points:
                session.add_point(prompt.object_id, prompt.frame, point)
                session.segment(prompt.frame)
        else:
            session.set_prompt(prompt)
    found = {
        (object_id, event.frame): prediction
        for event in session.propagate(Plan("backward" if reverse else "forward"))
        for object_id, prediction in event.predictions.items()
    }
    for prompt in later:
        for point in prompt.points:
            session.add_point(prompt.object_id, prompt.frame, point)
        answers = session.segment(prompt.frame, [prompt.object_id])
        found[prompt.object_id, prompt.frame] = answers[prompt.object_id]
    return {key: (p.mask_logits, p.pointer, p.presence) for key, p in found.items()}


def difference(theirs, ours):
    """Return the largest difference of a logit, a pointer's entry or a presence."""
    assert theirs.keys() == ours.keys()
    return max(
        float((a - b).abs().max())
        for key in theirs
        for a, b in zip(theirs[key], ours[key], strict=True)
    )


def disc(folder, y, x, radius):
    height, width = np.asarray(Image.open(folder / "00000.jpg")).shape[:2]
    rows, columns = np.ogrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


ONE_CLICK = Prompt(1, 0, (Point(30, 20),))
CLICKS = Prompt(2, 0, (Point(60, 90), Point(30, 20, positive=False), Point(62, 92)))
BOX = Prompt(3, 0, box=Box(9.5, 59.2, 31, 81))
BOX_AND_CLICK = Prompt(1, 0, (Point(31.5, 20.25),), Box(15, 5, 45, 35))


@pytest.mark.parametrize(
    ("prompts", "one_by_one"),
    [
        pytest.param([ONE_CLICK], False, id="one-click"),
        pytest.param([CLICKS], False, id="clicks-together"),
        pytest.param([CLICKS], True, id="clicks-one-by-one"),
        pytest.param([BOX], False, id="box"),
        pytest.param([BOX_AND_CLICK], False, id="box-and-click"),
    ],
)
def test_one_object(pair, films, prompts, one_by_one):
    official, network = pair
    theirs = by_official(official, films[6], prompts, one_by_one=one_by_one)
    ours = by_us(network, films[6], prompts, one_by_one=one_by_one)
    assert difference(theirs, ours) < TOLERANCE


def test_clicks_together_and_one_by_one_are_two_things(pair, films):
    _, network = pair
    together = by_us(network, films[6], [CLICKS])
    one_by_one = by_us(network, films[6], [CLICKS], one_by_one=True)
    assert difference(together, one_by_one) > 100 * TOLERANCE


def test_a_mask(pair, films):
    official, network = pair
    prompts = [MaskPrompt(1, 0, disc(films[6], 30, 20, 14))]
    theirs = by_official(official, films[6], prompts)
    assert difference(theirs, by_us(network, films[6], prompts)) < TOLERANCE


@pytest.mark.parametrize("length", [6, 20])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_three_objects(pair, films, length, reverse):
    official, network = pair
    start = length - 1 if reverse else 0
    prompts = [replace(prompt, frame=start) for prompt in (ONE_CLICK, CLICKS, BOX)]
    theirs = by_official(official, films[length], prompts, reverse=reverse)
    ours = by_us(network, films[length], prompts, reverse=reverse)
    assert len(ours) == 3 * length
    assert difference(theirs, ours) < TOLERANCE


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_several_conditioning_frames(pair, films, reverse):
    official, network = pair
    frames = (19, 12, 9) if reverse else (0, 4, 9)
    prompts = [replace(p, frame=f) for p in (ONE_CLICK, BOX) for f in frames]
    theirs = by_official(official, films[20], prompts, reverse=reverse)
    assert difference(theirs, by_us(network, films[20], prompts, reverse=reverse)) < TOLERANCE


def test_a_correction_of_a_tracked_frame(films):
    official, network = build(SAM21, "++model.add_all_frames_to_correct_as_cond=true")
    later = [Prompt(1, 12, (Point(30, 56), Point(60, 90, positive=False)))]
    theirs = by_official(official, films[20], [ONE_CLICK], later=later)
    ours = by_us(network, films[20], [ONE_CLICK], later=later)
    assert difference(theirs, ours) < TOLERANCE


def test_sam_2_0(films):
    official, network = build(SAM20)
    prompts = [ONE_CLICK, CLICKS, BOX]
    theirs = by_official(official, films[6], prompts)
    assert difference(theirs, by_us(network, films[6], prompts)) < TOLERANCE


def test_objects_that_are_judged_absent(pair, films):
    official, network = pair
    bias = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
    present = by_us(network, films[20], [ONE_CLICK, CLICKS])
    scores = sorted(float(presence) for _, _, presence in present.values())
    gap, where = max((b - a, (a + b) / 2) for a, b in pairwise(scores))
    assert gap > 10 * TOLERANCE
    models = (official, network.model)
    try:
        for model in models:
            model.get_parameter(bias).data.fill_(PRESENT - where)
        theirs = by_official(official, films[20], [ONE_CLICK, CLICKS])
        ours = by_us(network, films[20], [ONE_CLICK, CLICKS])
    finally:
        for model in models:
            model.get_parameter(bias).data.fill_(PRESENT)
    absent = [bool((logits == -1024).all()) for logits, _, _ in theirs.values()]
    assert any(absent)
    assert not all(absent)
    assert difference(theirs, ours) < TOLERANCE


def test_a_folder_of_480_by_854(pair, tmp_path):
    official, network = pair
    folder = write_film(tmp_path / "film", 6, 480, 854)
    prompts = [
        Prompt(1, 0, (Point(160.5, 106.25),)),
        Prompt(2, 0, (Point(320, 480), Point(100, 700.75, positive=False))),
        Prompt(3, 0, box=Box(50.5, 300, 170, 430.25)),
    ]
    theirs = by_official(official, folder, prompts)
    assert difference(theirs, by_us(network, folder, prompts)) < TOLERANCE


class Tampered:
    """A network with a planted fault."""

    def __init__(self, network, fault):
        self._network, self._fault = network, fault
        if fault == "another-resize":
            self.encoder_fingerprint = fault

    def __getattr__(self, name):
        return getattr(self._network, name)

    def embed(self, images):
        if self._fault != "another-resize":
            return self._network.embed(images)
        resized = F.interpolate(images.float(), size=(SIZE, SIZE), mode="bilinear")
        embeddings = self._network.embed(resized.round().to(torch.uint8))
        return [replace(e, size=tuple(images.shape[-2:])) for e in embeddings]

    def segment(self, embedding, queries):
        return self._network.segment(embedding, [self._tampered(query) for query in queries])

    def remember(self, embedding, predictions, frame):
        if self._fault != "memories-not-rounded":
            return self._network.remember(embedding, predictions, frame)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "bfloat16", torch.float32)
            return self._network.remember(embedding, predictions, frame)

    def _tampered(self, query):
        recall = query.recall
        if recall is None:
            return query
        if self._fault == "rows-reversed":
            spatial = tuple((7 - slot if slot else 0, m) for slot, m in recall.spatial)
            recall = replace(recall, spatial=spatial)
        if self._fault == "distances-shifted":
            recall = replace(recall, pointers=tuple((d + 1, m) for d, m in recall.pointers))
        if self._fault == "clip-length-ignored":
            return replace(query, clip_length=1000)
        return replace(query, recall=recall)


@pytest.fixture(scope="module")
def untampered(pair, films):
    return by_us(pair[1], films[6], [ONE_CLICK, CLICKS, BOX])


@pytest.mark.parametrize(
    "fault",
    [
        "rows-reversed",
        "distances-shifted",
        "clip-length-ignored",
        "memories-not-rounded",
        "another-resize",
    ],
)
def test_a_planted_fault_is_seen(pair, films, untampered, fault):
    _, network = pair
    wrong = by_us(Tampered(network, fault), films[6], [ONE_CLICK, CLICKS, BOX])
    logits = [float((untampered[key][0] - wrong[key][0]).abs().max()) for key in wrong]
    assert max(logits) > 100 * TOLERANCE


def test_a_batch_of_objects_equals_one_by_one(pair, films):
    _, network = pair
    sizes = []
    decoder = network.model.sam_mask_decoder
    hook = decoder.register_forward_hook(lambda module, inputs, out: sizes.append(len(out[0])))
    # where rounding to bfloat16 does not magnify the last bit, in which batches differ
    unrounded = Tampered(network, "memories-not-rounded")
    try:
        singly = by_us(unrounded, films[6], [ONE_CLICK, CLICKS, BOX])
        assert set(sizes) == {1}
        network.batched = True
        together = by_us(unrounded, films[6], [ONE_CLICK, CLICKS, BOX])
    finally:
        network.batched = False
        hook.remove()
    assert sizes[-5:] == [3] * 5
    assert difference(singly, together) < TOLERANCE
