from pathlib import Path

import numpy as np
import pytest
import tifffile
from formats.movies import picture
from PIL import Image

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.formats.folders import davis_palette, open_folder, write_palette_png
from napari_surgisam.formats.sources import open_source
from napari_surgisam.formats.volumes import Selection


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".webp"])
def test_frames_come_in_natural_order(ending: str, tmp_path: Path) -> None:
    for number in range(12):
        options = {"lossless": True} if ending == ".webp" else {}
        Image.fromarray(picture(number)).save(tmp_path / f"frame{number}{ending}", **options)
    (tmp_path / ".hidden.png").write_text("no picture")
    (tmp_path / "Thumbs.db").write_text("no picture")
    (tmp_path / "more").mkdir()
    frames = open_source(tmp_path)
    assert (len(frames), frames.shape, frames.ndim, frames.temporal) == (12, (48, 64), 3, True)
    for number in range(12):
        np.testing.assert_array_equal(frames.read(number), picture(number))
    assert open_folder(tmp_path, Selection()).names == tuple(f"frame{n}" for n in range(12))


def test_jpeg_is_decoded_as_sam2_does(tmp_path: Path) -> None:
    for number in range(3):
        ending = ".jpg" if number else ".JPEG"
        Image.fromarray(picture(number)).save(tmp_path / f"{number:05d}{ending}", quality=80)
    frames = open_source(tmp_path)
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        expected = np.array(Image.open(path).convert("RGB"))
        np.testing.assert_array_equal(frames.read(number), expected)


def test_grey_of_16_bits_has_one_window(tmp_path: Path) -> None:
    stack = (np.arange(5 * 48 * 64).reshape(5, 48, 64) * 4).astype(np.uint16)
    for number, image in enumerate(stack):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    frames = open_source(tmp_path)
    expected = ArrayFrames(stack)
    for number in range(5):
        np.testing.assert_array_equal(frames.read(number), expected.read(number))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
def test_pictures_of_all_modes(mode: str, tmp_path: Path) -> None:
    ending = ".tif" if mode == "CMYK" else ".png"
    if mode == "CMYK":
        ending = ".jpg"
    image = Image.fromarray(picture(3)).convert(mode)
    image.save(tmp_path / f"one{ending}")
    frames = open_source(tmp_path / f"one{ending}")
    assert (len(frames), frames.ndim, frames.shape) == (1, 2, (48, 64))
    with Image.open(tmp_path / f"one{ending}") as stored:
        expected = np.asarray(stored.convert("RGB"))
    np.testing.assert_array_equal(frames.read(0), expected)


def test_a_single_picture_has_channels(tmp_path: Path) -> None:
    Image.fromarray(picture(3)).save(tmp_path / "one.png")
    blue = open_source(tmp_path / "one.png", channel=2).read(0)
    np.testing.assert_array_equal(blue, np.repeat(picture(3)[..., 2:], 3, axis=2))


def test_grey_frames_may_stand_among_colour_ones(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    Image.fromarray(picture(1)).convert("L").save(tmp_path / "1.png")
    image = open_source(tmp_path).read(1)
    assert (image == image[..., :1]).all()
    grey = tmp_path / "grey-first"
    grey.mkdir()
    Image.fromarray(picture(0)).convert("L").save(grey / "0.png")
    Image.fromarray(picture(1)).save(grey / "1.png")
    with pytest.raises(DataError, match=r"1\.png holds"):
        open_source(grey).read(1)


def test_sizes_must_agree(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    Image.fromarray(picture(1, 40, 64)).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"1\.png is 40 x 64 pixels, but 0\.png is 48 x 64"):
        open_source(tmp_path)


def test_frames_beside_masks_are_not_guessed(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "0.jpg")
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    with pytest.raises(DataError, match=r"1 \.jpg, 1 \.png"):
        open_source(tmp_path)


def test_an_empty_folder_and_a_damaged_picture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures"):
        open_source(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "0.png")
    data = (tmp_path / "0.png").read_bytes()
    (tmp_path / "1.png").write_bytes(data[: len(data) // 2])
    frames = open_source(tmp_path)
    frames.read(0)
    with pytest.raises(DataError, match=r"1\.png cannot be read"):
        frames.read(1)
    (tmp_path / "2.png").write_text("no picture")
    with pytest.raises(DataError, match=r"2\.png cannot be read"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="axis 0"):
        open_source(tmp_path, axis=1)


def test_a_stack_in_a_folder_of_frames_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "0.tif", np.zeros((7, 20, 30), np.uint8))
    with pytest.raises(DataError, match="single page"):
        open_source(tmp_path)


def test_the_palette_is_that_of_davis(tmp_path: Path) -> None:
    palette = np.frombuffer(davis_palette(), np.uint8).reshape(256, 3)
    assert palette[:6].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [0, 0, 128],
        [128, 0, 128],
    ]
    assert palette[255].tolist() == [224, 224, 192]
    assert len(np.unique(palette, axis=0)) == 256
    labels = np.arange(256, dtype=np.uint16).reshape(8, 32)
    write_palette_png(tmp_path / "a.png", labels)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[labels.astype(int)])


def test_a_changed_frame_changes_the_fingerprint(tmp_path: Path) -> None:
    for number in range(40):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
    before = open_source(tmp_path).fingerprint
    assert open_source(tmp_path).fingerprint == before
    Image.fromarray(picture(99)).save(tmp_path / "1.png")
    assert open_source(tmp_path).fingerprint != before
