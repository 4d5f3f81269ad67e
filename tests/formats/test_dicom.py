"""DICOM as frames: order, place, values, colours, and whether it moves."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from formats.dicom_files import cine, enhanced, image, save, series
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import MPEG4HP41, generate_uid

from napari_surgisam.errors import DataError
from napari_surgisam.formats import dicom_pixels
from napari_surgisam.formats.labels import create_labels
from napari_surgisam.formats.sources import open_source

CORONAL = (1, 0, 0, 0, 0, -1)
OBLIQUE = (0.8, 0.6, 0, -0.6 * 0.6, 0.8 * 0.6, 0.8)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, (7, 12, 10)).astype(np.int16)


def values(source) -> np.ndarray:
    return np.stack([source.values(frame) for frame in range(len(source))])


# --- series --------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), CORONAL, OBLIQUE])
def test_slices_are_ordered_along_the_normal_of_their_planes(tmp_path, volume, orientation) -> None:
    series(tmp_path / "ct", volume, orientation=orientation)
    source = open_source(tmp_path / "ct")
    np.testing.assert_array_equal(values(source), volume)
    assert source.spacing == pytest.approx((2.5, 0.5, 0.75))
    assert not source.temporal
    assert source.notice == ""


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), CORONAL, OBLIQUE])
def test_a_voxel_lies_where_itk_says_it_lies(tmp_path, volume, orientation) -> None:
    paths = series(tmp_path / "ct", volume, orientation=orientation)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    theirs = reader.Execute()
    source = open_source(tmp_path / "ct")
    for x, y, z in ((0, 0, 0), (9, 0, 0), (0, 11, 0), (3, 4, 6)):
        left, back, head = theirs.TransformIndexToPhysicalPoint((x, y, z))
        ours = source.affine @ (x, y, z, 1)
        np.testing.assert_allclose(ours[:3], (-left, -back, head), atol=1e-4)


def test_nifti_labels_of_a_series_lie_on_it(tmp_path, volume) -> None:
    paths = series(tmp_path / "ct", volume, orientation=OBLIQUE)
    source = open_source(tmp_path / "ct")
    path = tmp_path / "labels.nii.gz"
    labels = np.zeros(source.shape, np.uint8)
    labels[4, 3] = 5
    with create_labels(path, source, 5) as writer:
        writer.write(6, labels)
    saved = nib.load(path)
    ((x, y, z),) = np.argwhere(np.asarray(saved.dataobj) == 5)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    left, back, head = reader.Execute().TransformIndexToPhysicalPoint((3, 4, 6))
    world = nib.affines.apply_affine(saved.affine, (x, y, z))
    np.testing.assert_allclose(world, (-left, -back, head), atol=1e-4)
    # and where ITK reads the labels back, it says the same
    read = sitk.ReadImage(str(path))
    np.testing.assert_allclose(
        read.TransformIndexToPhysicalPoint((3, 4, 6)), (left, back, head), atol=1e-4
    )


def test_a_tilted_gantry_shears_the_volume(tmp_path, volume) -> None:
    paths = series(tmp_path / "ct", volume)
    for k, path in enumerate(paths):
        dataset = dcmread(path)
        dataset.ImagePositionPatient = [10.0, 20.0 + 0.5 * k, 30.0 + 2.5 * k]
        save(dataset, path)
    source = open_source(tmp_path / "ct")
    np.testing.assert_allclose(source.affine @ (0, 0, 6, 1), (-10, -23, 45, 1), atol=1e-6)
    assert source.spacing[0] == pytest.approx(2.5)


def test_a_slice_stands_for_its_series(tmp_path, volume) -> None:
    paths = series(tmp_path / "both", volume)
    series(
        tmp_path / "both", volume[:3, :5] + 7, SeriesInstanceUID="1.2.9", SeriesNumber=2, start=100
    )
    source = open_source(paths[3])
    np.testing.assert_array_equal(values(source), volume)
    assert set(source.files) == set(paths)


def test_several_series_in_a_folder_are_listed(tmp_path, volume) -> None:
    first = series(tmp_path / "both", volume, SeriesDescription="Thorax 1.0 B30f")
    other = series(
        tmp_path / "both",
        volume[:3],
        SeriesInstanceUID="1.2.9",
        SeriesNumber=2,
        SeriesDescription="Thorax lung",
        start=100,
    )
    with pytest.raises(DataError, match="2 series") as caught:
        open_source(tmp_path / "both")
    lines = str(caught.value).splitlines()
    assert "Thorax 1.0 B30f · 7 images" in lines[1]
    assert "Thorax lung · 3 images" in lines[2]
    assert "one file of the series" in lines[-1]
    named = {Path(line.split("such as ")[1]) for line in lines[1:3]}
    assert named <= {*first, *other}
    assert len(open_source(next(iter(named & set(other))))) == 3


@pytest.mark.parametrize("name", ["", "DICOMDIR"])
def test_folders_within_folders_are_searched(tmp_path, volume, name) -> None:
    (tmp_path / "export" / "patient" / "study").mkdir(parents=True)
    series(tmp_path / "export" / "patient" / "study" / "series", volume)
    save(image(volume[0]), tmp_path / "export" / "DICOMDIR")
    np.testing.assert_array_equal(values(open_source(tmp_path / "export" / name)), volume)


def test_copies_reports_and_segmentations_are_passed_over(tmp_path, volume) -> None:
    paths = series(tmp_path / "ct", volume)
    shutil.copy(paths[2], tmp_path / "ct" / "copy.dcm")
    report = image(volume[0], Modality="SR", SeriesInstanceUID="1.2.8")
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    save(report, tmp_path / "ct" / "report.dcm")
    save(image(volume[0], Modality="SEG", SeriesInstanceUID="1.2.7"), tmp_path / "ct" / "seg.dcm")
    (tmp_path / "ct" / "readme.txt").write_text("x")
    (tmp_path / "ct" / "masks.tif").write_bytes(b"labels, perhaps")
    assert len(open_source(tmp_path / "ct")) == len(volume)


def test_missing_slices_are_refused(tmp_path, volume) -> None:
    heights = [0, 2.5, 5, 10, 12.5, 15, 17.5]
    series(tmp_path / "ct", volume, heights=heights)
    with pytest.raises(DataError, match=r"2\.5 mm apart, but 5 mm between 35\.00 and 40\.00"):
        open_source(tmp_path / "ct")


def test_slightly_uneven_slices_are_opened_with_a_word(tmp_path, volume) -> None:
    heights = [0, 2.5, 5, 7.5, 10.3, 12.5, 15]
    series(tmp_path / "ct", volume, heights=heights)
    source = open_source(tmp_path / "ct")
    assert "not evenly spaced" in source.notice
    assert source.spacing[0] == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"PixelSpacing": [0.6, 0.75]}, "pixels of"),
        ({"ImageOrientationPatient": [float(v) for v in CORONAL]}, "different planes"),
    ],
)
def test_a_series_that_is_no_stack_is_refused(tmp_path, volume, change, message) -> None:
    paths = series(tmp_path / "ct", volume)
    dataset = dcmread(paths[1])
    for name, value in change.items():
        setattr(dataset, name, value)
    save(dataset, paths[1])
    with pytest.raises(DataError, match=message):
        open_source(tmp_path / "ct")


def test_an_image_of_another_size_is_refused(tmp_path, volume) -> None:
    series(tmp_path / "ct", volume)
    series(tmp_path / "ct", volume[:1, :6], start=50, heights=[50.0])
    with pytest.raises(DataError, match=r"6 x 10 grey|12 x 10 grey"):
        open_source(tmp_path / "ct")


def test_volumes_in_time_are_sorted_by_time_and_place(tmp_path, volume) -> None:
    for time in range(3):
        series(
            tmp_path / "mr",
            volume + 5000 * time,
            Modality="MR",
            TemporalPositionIdentifier=3 - time,
            start=100 * time,
            seed=time,
        )
    with pytest.raises(DataError, match="--at 0=0"):
        open_source(tmp_path / "mr")
    source = open_source(tmp_path / "mr", at={0: 0})
    np.testing.assert_array_equal(values(source), volume + 10000)
    assert not source.temporal
    assert source.spacing == pytest.approx((2.5, 0.5, 0.75))
    moving = open_source(tmp_path / "mr", at={1: 4})
    assert moving.temporal
    np.testing.assert_array_equal(values(moving), [volume[4] + 5000 * t for t in (2, 1, 0)])
    np.testing.assert_allclose(moving.affine @ (0, 0, 0, 1), (-10, -20, 40, 1))


def test_one_slice_again_and_again_is_a_movie(tmp_path, volume) -> None:
    for time, plane in enumerate(volume):
        series(tmp_path / "cine", plane[None], TriggerTime=float(time), start=time, Modality="MR")
    source = open_source(tmp_path / "cine")
    assert source.temporal
    np.testing.assert_array_equal(values(source), volume)


@pytest.mark.parametrize("step", [0.009, 0.05])
def test_slices_of_micrometres_are_told_apart(tmp_path, volume, step) -> None:
    series(tmp_path / "ct", volume, spacing=(step, step, step))
    source = open_source(tmp_path / "ct")
    np.testing.assert_array_equal(values(source), volume)
    assert source.spacing == pytest.approx((step, step, step), rel=1e-3)


def test_rounded_positions_are_one_place(tmp_path, volume) -> None:
    for time, plane in enumerate(volume):
        origin = (10, 20, 30 + 1e-4 * time)
        series(tmp_path / "cine", plane[None], TriggerTime=float(time), start=time, origin=origin)
    assert open_source(tmp_path / "cine").temporal


def test_without_positions_slices_go_by_their_number(tmp_path, volume) -> None:
    (tmp_path / "old").mkdir()
    for k in np.random.default_rng(0).permutation(len(volume)):
        facts = {"PixelSpacing": [0.5, 0.75], "SpacingBetweenSlices": 3.0, "SliceThickness": 9.0}
        dataset = image(volume[k], InstanceNumber=int(k) + 1, **facts)
        save(dataset, tmp_path / "old" / f"{generate_uid()[-12:]}.dcm")
    source = open_source(tmp_path / "old")
    np.testing.assert_array_equal(values(source), volume)
    assert source.affine is None
    assert "order of their numbers" in source.notice
    assert source.spacing == pytest.approx((3, 0.5, 0.75))


def test_only_the_frame_that_is_asked_for_is_unpacked(tmp_path, volume, monkeypatch) -> None:
    paths = series(tmp_path / "ct", volume)
    read = []
    monkeypatch.setattr(
        dicom_pixels,
        "pixel_array",
        lambda path, **options: read.append(path) or pixel_array(path, **options),
    )
    source = open_source(tmp_path / "ct", window=(0, 1))
    source.read(5)
    assert read == [paths[5]]


# --- values --------------------------------------------------------------------------------


def test_ct_is_in_hounsfield_units_and_shown_in_its_own_window(tmp_path) -> None:
    stored = np.full((3, 8, 8), 1024, np.uint16)
    stored[:, 0, 0], stored[:, 0, 1], stored[:, 0, 2] = 864, 1264, 1064
    series(
        tmp_path / "ct",
        stored,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=[40, 300],
        WindowWidth=[401, 1500],
        BitsStored=12,
    )
    source = open_source(tmp_path / "ct")
    assert source.values(0)[0, :3].tolist() == [-160, 240, 40]
    assert source.window == (-160.5 + 0.0, 239.5)
    shown = source.read(0)[0, :3, 0]
    assert shown[0] in (0, 1) and shown[1] == 255 and 126 <= shown[2] <= 129
    assert open_source(tmp_path / "ct", window=(0, 100)).window == (0, 100)


def test_slices_with_windows_of_their_own_share_one_that_fits_all(tmp_path, volume) -> None:
    paths = series(tmp_path / "mr", volume, WindowCenter=100, WindowWidth=50, Modality="MR")
    dataset = dcmread(paths[0])
    dataset.WindowCenter = 900
    save(dataset, paths[0])
    low, high = open_source(tmp_path / "mr").window
    assert low == pytest.approx(np.percentile(volume, 0.5))
    assert high == pytest.approx(np.percentile(volume, 99.5))


def test_each_slice_has_its_own_scale(tmp_path) -> None:
    paths = series(tmp_path / "pet", np.full((3, 4, 4), 100, np.int16), Modality="PT")
    for k, path in enumerate(paths):
        dataset = dcmread(path)
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 * (k + 1), 0
        save(dataset, path)
    assert values(open_source(tmp_path / "pet"))[:, 0, 0].tolist() == [50, 100, 150]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_monochrome1_is_turned_over(tmp_path, dtype) -> None:
    stored = np.array([[0, 100], [50, 25]], dtype)
    facts = {} if dtype == np.uint8 else {"WindowCenter": 50.5, "WindowWidth": 101}
    for name in ("MONOCHROME1", "MONOCHROME2"):
        dataset = image(stored, PhotometricInterpretation=name, Modality="DX", **facts)
        save(dataset, tmp_path / f"{name}.dcm")
    negative = open_source(tmp_path / "MONOCHROME1.dcm").read(0)
    positive = open_source(tmp_path / "MONOCHROME2.dcm").read(0)
    np.testing.assert_allclose(negative.astype(int), 255 - positive.astype(int), atol=1)


@pytest.mark.parametrize(
    "name", ["examples_palette.dcm", "examples_ybr_color.dcm", "SC_rgb_rle_16bit.dcm"]
)
def test_colours_are_those_that_pydicom_shows(name) -> None:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip("pydicom came without its test files")
    dataset = dcmread(path)
    frame = int(dataset.get("NumberOfFrames") or 1) - 1
    expected = pixel_array(path, index=frame)
    if "palette" in name:
        from pydicom.pixels.processing import apply_color_lut

        expected = apply_color_lut(expected, dataset)
    if expected.dtype != np.uint8:
        expected = expected >> 8
    source = open_source(path)
    np.testing.assert_array_equal(source.read(len(source) - 1), expected)


def test_ybr_becomes_rgb(tmp_path) -> None:
    red = np.zeros((2, 4, 4, 3), np.uint8)
    red[...] = (76, 85, 255)  # Y, Cb, Cr of pure red
    save(cine(red, PhotometricInterpretation="YBR_FULL"), tmp_path / "us.dcm")
    shown = open_source(tmp_path / "us.dcm").read(1)
    np.testing.assert_allclose(shown[0, 0].astype(int), (255, 0, 0), atol=2)


# --- many frames in one file ---------------------------------------------------------------


def test_a_cine_is_a_movie_with_its_rate(tmp_path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 6, 8), np.uint8)
    save(cine(frames), tmp_path / "us.dcm")
    source = open_source(tmp_path / "us.dcm")
    assert source.temporal
    assert source.frame_seconds == pytest.approx(0.05)
    assert source.spacing == pytest.approx((1, 0.3, 0.2))
    np.testing.assert_array_equal(values(source), frames)
    np.testing.assert_array_equal(source.read(3)[..., 1], frames[3])


def test_an_enhanced_image_is_a_volume_in_order(tmp_path, volume) -> None:
    order = np.random.default_rng(2).permutation(len(volume))
    save(enhanced(volume[order], [2.0 * k for k in order]), tmp_path / "enhanced.dcm")
    source = open_source(tmp_path / "enhanced.dcm")
    np.testing.assert_array_equal(values(source), volume.astype(int) - 1024)
    assert not source.temporal
    assert source.spacing == pytest.approx((2.0, 0.5, 0.75))
    assert source.window == (-160.5, 239.5)
    assert source.frame_indices == tuple(np.argsort(order))
    np.testing.assert_allclose(source.affine @ (1, 1, 3, 1), (-10.75, -20.5, 6, 1))


def test_an_enhanced_image_in_time_is_sorted_by_time_and_place(tmp_path, volume) -> None:
    stack = np.concatenate([volume, volume + 5000])
    order = np.random.default_rng(2).permutation(len(stack))
    dataset = enhanced(stack[order], [2.0 * (k % len(volume)) for k in order])
    for group, k in zip(dataset.PerFrameFunctionalGroupsSequence, order, strict=True):
        content = type(group)()
        content.TemporalPositionIndex = int(k) // len(volume) + 1
        group.FrameContentSequence = [content]
    save(dataset, tmp_path / "enhanced.dcm")
    for time in (0, 1):
        source = open_source(tmp_path / "enhanced.dcm", at={0: time})
        expected = volume.astype(int) - 1024 + 5000 * time
        np.testing.assert_array_equal(values(source), expected)


def test_an_enhanced_localizer_is_refused(tmp_path, volume) -> None:
    dataset = enhanced(volume, [2.0 * k for k in range(len(volume))])
    turned = type(dataset)()
    turned.ImageOrientationPatient = [float(v) for v in CORONAL]
    dataset.PerFrameFunctionalGroupsSequence[3].PlaneOrientationSequence = [turned]
    save(dataset, tmp_path / "enhanced.dcm")
    with pytest.raises(DataError, match="different planes"):
        open_source(tmp_path / "enhanced.dcm")


def test_nuclear_medicine_steps_from_its_first_slice(tmp_path, volume) -> None:
    facts = {"ImagePositionPatient": [10.0, 20.0, 30.0], "PixelSpacing": [4.0, 4.0]}
    facts |= {"ImageOrientationPatient": [1.0, 0, 0, 0, 1, 0], "SpacingBetweenSlices": 3.0}
    save(image(volume, multi=True, Modality="NM", **facts), tmp_path / "nm.dcm")
    source = open_source(tmp_path / "nm.dcm")
    np.testing.assert_array_equal(values(source), volume)
    assert (source.temporal, source.spacing) == (False, (3, 4, 4))
    np.testing.assert_allclose(source.affine @ (0, 0, 2, 1), (-10, -20, 36, 1))


def test_dose_lies_on_its_grid() -> None:
    path = get_testdata_file("rtdose.dcm", download=False)
    if path is None:
        pytest.skip("pydicom came without its test files")
    source = open_source(path)
    assert (len(source), source.spacing, source.temporal) == (15, (5, 10, 10), False)


# --- what is refused -----------------------------------------------------------------------


def test_what_is_no_image_says_so(tmp_path, volume) -> None:
    (tmp_path / "no.dcm").write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(DataError, match="not a DICOM file"):
        open_source(tmp_path / "no.dcm")
    report = image(volume[0], Modality="SR")
    del report.Rows
    save(report, tmp_path / "report.dcm")
    with pytest.raises(DataError, match=r"without an image \(SR\)"):
        open_source(tmp_path / "report.dcm")


def test_a_stream_of_mpeg_is_refused_with_what_to_do(tmp_path) -> None:
    dataset = cine(np.zeros((5, 8, 8), np.uint8))
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    dataset.PixelData = encapsulate([b"a stream of pictures"])
    save(dataset, tmp_path / "video.dcm")
    with pytest.raises(DataError, match=r"one stream \(MPEG-4 AVC.*mp4"):
        open_source(tmp_path / "video.dcm")


def test_a_file_without_an_ending_is_known_by_its_content(tmp_path, volume) -> None:
    path = save(image(volume[0], Modality="DX"), tmp_path / "IM0001")
    source = open_source(path)
    assert (len(source), source.ndim, source.shape) == (1, 2, (12, 10))


def test_a_file_that_is_cut_off_names_the_frame(tmp_path) -> None:
    frames = np.zeros((5, 40, 40), np.uint8)
    path = save(cine(frames), tmp_path / "us.dcm")
    path.write_bytes(path.read_bytes()[:-3000])
    source = open_source(path)
    with pytest.raises(DataError, match=r"[Ff]rame 4"):
        source.read(4)
