"""Truth from files: whole, or of some frames only, and what is no truth."""

import numpy as np
import pytest
import tifffile
from fakes import MovingDiscs
from films import truth_of
from PIL import Image

from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.cases import FileCase, OpenCase, Truth, read_truth, whole_truth
from napari_surgisam.formats.datasets import CaseFiles
from napari_surgisam.formats.folders import write_palette_png
from napari_surgisam.formats.sources import open_source


@pytest.fixture
def discs():
    return MovingDiscs(5, (230, 140), (48, 64))


@pytest.fixture
def frames(discs, tmp_path):
    """A folder of frames with names of their own."""
    (tmp_path / "frames").mkdir()
    for frame in range(5):
        Image.fromarray(discs.read(frame)).save(tmp_path / "frames" / f"scan_{frame}.jpg")
    return open_source(tmp_path / "frames")


def write(folder, names, labels):
    folder.mkdir(exist_ok=True)
    for name, page in zip(names, labels, strict=True):
        write_palette_png(folder / f"{name}.png", page)
    return folder


def test_a_folder_may_label_some_frames_by_name(frames, discs, tmp_path):
    labels = truth_of(discs)[[1, 3]]
    truth = read_truth(write(tmp_path / "labels", ["scan_1", "scan_3"], labels), frames)
    assert truth.frames == (1, 3)
    np.testing.assert_array_equal(truth.labels, labels)
    assert truth.visible == {1: (1, 3), 2: (1, 3)}
    np.testing.assert_array_equal(truth.mask(2, 3), labels[1] == 2)
    with pytest.raises(DataError, match=r"other.png belongs to no frame"):
        read_truth(write(tmp_path / "labels", ["other"], labels[:1]), frames)


def test_frames_of_a_stack_are_labelled_by_number(discs, tmp_path):
    stack = np.stack([discs.read(frame)[..., 0] for frame in range(5)])
    tifffile.imwrite(tmp_path / "film.tif", stack, photometric="minisblack")
    frames = open_source(tmp_path / "film.tif")
    folder = write(tmp_path / "labels", ["00004"], truth_of(discs)[4:])
    assert read_truth(folder, frames).frames == (4,)
    with pytest.raises(DataError, match=r"the number of the frame \(0 to 4\)|frame \(0 to 4\)"):
        read_truth(write(tmp_path / "labels", ["00005"], truth_of(discs)[4:]), frames)


def test_one_picture_has_one_png(discs, tmp_path):
    Image.fromarray(discs.read(2)).save(tmp_path / "cells.png")
    write_palette_png(tmp_path / "labels.png", truth_of(discs)[2])
    case = FileCase(CaseFiles("cells", tmp_path / "cells.png", tmp_path / "labels.png")).open()
    np.testing.assert_array_equal(case.truth.labels[0], truth_of(discs)[2])
    Image.fromarray(discs.read(2)).save(tmp_path / "labels.png")
    with pytest.raises(DataError, match="colour picture"):
        FileCase(CaseFiles("cells", tmp_path / "cells.png", tmp_path / "labels.png")).open()


def test_pictures_of_another_size_are_refused(frames, discs, tmp_path):
    folder = write(tmp_path / "labels", ["scan_2"], truth_of(discs)[2:3, 1:])
    with pytest.raises(DataError, match=r"scan_2.png is \(47, 64\) pixels"):
        read_truth(folder, frames)


def test_a_case_without_truth_says_so(tmp_path):
    with pytest.raises(DataError, match="has no truth"):
        FileCase(CaseFiles("alone", tmp_path / "a.tif", None)).open()
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        read_truth(tmp_path / "labels", MovingDiscs())


def test_labels_lie_along_the_images_own_axis(discs):
    along = MovingDiscs(5, (230, 140), (48, 64), axis=2)
    stored = np.moveaxis(truth_of(discs), 0, 2)
    np.testing.assert_array_equal(whole_truth(stored, along).labels, truth_of(discs))
    with pytest.raises(DataError, match="labels must lie on the image's own grid"):
        whole_truth(stored, discs)


def test_a_volume_is_labelled_throughout(discs):
    whole = whole_truth(truth_of(discs), discs)
    assert not OpenCase("film", discs, whole).is_volume
    discs.temporal = False
    assert OpenCase("volume", discs, whole).is_volume
    some = whole.only([0, 2])
    assert isinstance(some, Truth)
    assert some.frames == (0, 2)
    assert not OpenCase("volume", discs, some).is_volume
