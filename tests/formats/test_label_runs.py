"""Labels of a run that is interrupted: what is kept, and when it goes."""

import numpy as np
import pytest

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.data.mask_records import StepMasks
from napari_surgisam.errors import DataError
from napari_surgisam.formats.label_runs import begin_run
from napari_surgisam.formats.labels import read_labels

FRAMES = ArrayFrames(np.zeros((4, 8, 9), np.uint8))
SETTINGS = {"model": "tiny"}


def begin(path, **options):
    return begin_run(path, FRAMES, 3, SETTINGS, **options)


def do(run, frame):
    run.write(frame, np.full((8, 9), frame + 1 if frame < 3 else 3))
    run.record(StepMasks(frame, 1, {}))


@pytest.mark.parametrize("name", ["out.tif", "out.zarr", "out"])
def test_what_is_done_survives_interruptions_whenever_they_come(tmp_path, name):
    path = tmp_path / name
    run = begin(path)
    do(run, 0)
    assert run.abort(keep=True).exists()
    with pytest.raises(DataError, match="--resume"):
        begin(path)
    with pytest.raises(DataError, match="begun otherwise"):
        begin_run(path, FRAMES, 3, {"model": "large"}, resume=True)
    assert begin(path, resume=True).abort(keep=True).exists()  # before anything was looked at
    run = begin(path, resume=True)
    assert [record.frame for record in run.records()] == [0]
    for frame in (1, 2, 3):
        do(run, frame)
    run.close()
    assert read_labels(path)[:, 0, 0].tolist() == [1, 2, 3, 3]
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert begin(path, resume=True) is None
    with pytest.raises(DataError, match="exists already"):
        begin(path)


def test_a_run_without_a_frame_leaves_nothing_and_overwriting_starts_over(tmp_path):
    path = tmp_path / "out.tif"
    assert begin(path).abort(keep=True) is None
    assert list(tmp_path.iterdir()) == []
    run = begin(path)
    do(run, 2)
    run.abort(keep=True)
    run = begin(path, overwrite=True)
    assert list(run.records()) == []
    run.abort()
    assert list(tmp_path.iterdir()) == []
