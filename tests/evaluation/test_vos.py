"""Folders of frames: the written masks are the session's, and what is told is done."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import FakeNetwork, MovingDiscs
from films import truth_of
from PIL import Image
from sensitive import rescale, write_film

from napari_surgisam.data.prompts import MaskPrompt
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.models import without_postprocessing
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.vos import VosOptions, score_video, segment_video
from napari_surgisam.formats.folders import write_palette_png
from napari_surgisam.formats.labels import read_labels
from napari_surgisam.formats.sources import open_source
from napari_surgisam.metrics.video import j_and_f

LENGTH = 8


@pytest.fixture
def video(tmp_path):
    """Frames as PNG, so that brightness is kept; the darker disc appears on frame 2."""
    discs = MovingDiscs(LENGTH, (230, 140), (96, 128), hidden={140: {0, 1}})
    truth = truth_of(discs)
    for folder in ("frames/clip", "inputs/clip", "truth/clip"):
        (tmp_path / folder).mkdir(parents=True)
    for frame in range(LENGTH):
        Image.fromarray(discs.read(frame)).save(tmp_path / f"frames/clip/{frame:05d}.png")
        write_palette_png(tmp_path / f"truth/clip/{frame:05d}.png", truth[frame])
        if frame in (0, 2, 5):
            write_palette_png(tmp_path / f"inputs/clip/{frame:05d}.png", truth[frame])
    return tmp_path / "frames" / "clip"


@pytest.fixture
def options(tmp_path):
    return VosOptions(tmp_path / "inputs", tmp_path / "out")


def exhaust(job):
    for _ in job:
        pass


def session_of(video, prompts):
    session = Session(open_source(video), Tracker(FakeNetwork(), max_conditioning=None))
    session.set_prompts(prompts)
    exhaust(session.propagate(Plan("first-n")))
    return np.stack([session.labels(frame) for frame in range(LENGTH)])


def prompts_of(video, *places):
    folder = video.parents[1] / "inputs" / "clip"
    return [
        MaskPrompt(number, frame, read_labels(folder / f"{frame:05d}.png")[0] == number)
        for number, frame in places
    ]


def test_the_masks_are_those_of_a_session_prompted_by_each_objects_first_mask(video, options):
    exhaust(segment_video(video, options, Tracker(FakeNetwork(), max_conditioning=None)))
    written = read_labels(options.outputs / "clip")
    np.testing.assert_array_equal(written, session_of(video, prompts_of(video, (1, 0), (2, 2))))
    assert not (written[:2] == 2).any()
    assert (written[2:] == 2).any(axis=(1, 2)).all()


def test_all_masks_prompt_where_asked(video, options):
    options = VosOptions(options.input_masks, options.outputs, all_masks=True)
    exhaust(segment_video(video, options, Tracker(FakeNetwork(), max_conditioning=None)))
    places = [(1, 0), (1, 2), (1, 5), (2, 2), (2, 5)]
    expected = session_of(video, prompts_of(video, *places))
    np.testing.assert_array_equal(read_labels(options.outputs / "clip"), expected)


def test_a_threshold_shrinks_the_masks(video, options):
    exhaust(segment_video(video, options, Tracker(FakeNetwork())))
    usual = read_labels(options.outputs / "clip") > 0
    strict = VosOptions(options.input_masks, options.outputs, threshold=4.0)
    exhaust(segment_video(video, strict, Tracker(FakeNetwork())))
    shrunk = read_labels(options.outputs / "clip") > 0
    assert (shrunk <= usual).all()
    assert shrunk.sum() < usual.sum()


def test_the_palette_of_the_inputs_is_kept(video, options):
    palette = bytes(range(256)) * 3
    path = options.input_masks / "clip" / "00000.png"
    write_palette_png(path, read_labels(path)[0], palette)
    exhaust(segment_video(video, options, Tracker(FakeNetwork())))
    with Image.open(options.outputs / "clip" / "00007.png") as image:
        assert bytes(image.getpalette()) == palette


def test_scores_ignore_what_is_not_in_the_truth(video, options, tmp_path):
    exhaust(segment_video(video, options, Tracker(FakeNetwork())))
    both = {
        row.object_id: row.figures for row in score_video(video, options, tmp_path / "truth").rows
    }
    assert set(both) == {1, 2}
    written, truth = (read_labels(tmp_path / kind / "clip") for kind in ("out", "truth"))
    for number, figures in both.items():
        assert figures["j_and_f"] == pytest.approx(j_and_f(written == number, truth == number))
    for file in (tmp_path / "truth" / "clip").iterdir():
        write_palette_png(file, np.where(read_labels(file)[0] == 1, 1, 0))
    (row,) = score_video(video, options, tmp_path / "truth").rows
    assert row.figures == both[1]
    with pytest.raises(DataError, match="no truth"):
        score_video(video, options, tmp_path / "nowhere")


class TwoAnswers(FakeNetwork):
    """Both objects are seen in the same square, the second a little more surely."""

    def segment(self, embedding, queries):
        square = torch.full((1, self.mask_size, self.mask_size), -5.0)
        square[:, 8:24, 8:24] = 5.0
        present = torch.tensor(10.0)
        return [
            replace(answer, logits=square * (1 + k / 100), presence=present, choice=0)
            for k, answer in enumerate(super().segment(embedding, queries))
        ]


def test_where_objects_compete_the_networks_own_logits_decide(video, options):
    path = options.input_masks / "clip" / "00000.png"
    labels = read_labels(path)[0]
    write_palette_png(path, labels + np.roll(2 * labels, 20, axis=0))
    exhaust(segment_video(video, options, Tracker(TwoAnswers())))
    for frame in range(1, LENGTH):
        found = np.unique(read_labels(options.outputs / "clip" / f"{frame:05d}.png"))
        assert found.tolist() == [0, 2]


SIZE = 128  # side of the network's images, in pixels
CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


def by_official(predictor, folder, first_masks):
    """Return (T, H, W) labels as ``vos_inference.py`` makes them: each object by itself."""
    scores = []
    for object_id, (frame, mask) in sorted(first_masks.items()):
        state = predictor.init_state(str(folder))
        predictor.add_new_mask(state, frame, object_id, mask)
        own = torch.full((state["num_frames"], *mask.shape), -1024.0)
        for seen, _, logits in predictor.propagate_in_video(state, start_frame_idx=frame):
            own[seen] = logits[0, 0]
        scores.append(own)
    together = torch.stack(scores, dim=1)[:, :, None]
    alone = torch.cat([predictor._apply_non_overlapping_constraints(s) for s in together], dim=1)
    ids = torch.tensor(sorted(first_masks))[:, None, None, None]
    return ((alone > 0) * ids).sum(dim=0).numpy()


@pytest.mark.sam2
def test_palette_pngs_equal_those_of_vos_inference(tmp_path):
    from sam2.build_sam import build_sam2_video_predictor

    from napari_surgisam.engine.sam2_network import load_sam2

    torch.manual_seed(0)
    official = build_sam2_video_predictor(
        CONFIG,
        None,
        "cpu",
        hydra_overrides_extra=[f"++model.image_size={SIZE}", "++model.non_overlap_masks=true"],
        apply_postprocessing=False,
    )
    rescale(official)
    (tmp_path / "frames").mkdir()
    folder = write_film(tmp_path / "frames" / "film", 6)
    rows, columns = np.ogrid[:90, :120]
    first_masks = {
        1: (0, (rows - 30) ** 2 + (columns - 20) ** 2 < 14**2),
        2: (0, (rows - 60) ** 2 + (columns - 90) ** 2 < 12**2),
        3: (2, (rows - 24) ** 2 + (columns - 70) ** 2 < 10**2),  # appears later
    }
    (tmp_path / "inputs" / "film").mkdir(parents=True)
    for frame in (0, 2):
        labels = sum(k * mask for k, (start, mask) in first_masks.items() if start == frame)
        write_palette_png(tmp_path / "inputs" / "film" / f"{frame:05d}.png", labels)
    expected = by_official(official, folder, first_masks)
    assert set(np.unique(expected)) == {0, 1, 2, 3}

    def ours(network, name):
        options = VosOptions(tmp_path / "inputs", tmp_path / name)
        tracker = Tracker(network, cache=EmbeddingCache(), max_conditioning=None)
        exhaust(segment_video(folder, options, tracker))
        return read_labels(options.outputs / "film")

    network = load_sam2(CONFIG, official.state_dict(), image_size=SIZE, encoder_fingerprint="own")
    assert (ours(network, "interactive") != expected).any()  # the weights notice post-processing
    np.testing.assert_array_equal(ours(without_postprocessing(network), "out"), expected)
