"""Layers to frames and prompts and back: all the ways in which an image can lie in the world."""

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_surgisam.data.prompts import Box, MaskPrompt, Point, Prompt
from napari_surgisam.errors import DataError, PromptError
from napari_surgisam.plugin.label_store import label_store
from napari_surgisam.plugin.layer_reading import layer_frames, layer_grid, shown_frame
from napari_surgisam.plugin.layers import LabelsWriter, add_labels_layer, show_frame
from napari_surgisam.plugin.prompt_reading import (
    is_click_layer,
    merge_prompts,
    read_boxes,
    read_points,
)
from napari_surgisam.plugin.prompt_writing import (
    add_points_layer,
    add_shapes_layer,
    style_points,
    write_prompts,
)

TURNED = np.array(
    [[1, 0, 0, 3.0], [0, 0.8, -0.6, 10], [0, 0.6, 0.8, -4], [0, 0, 0, 1]]
)  # a turn in the plane of the frames, and a shift


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def film():
    return np.random.default_rng(0).integers(0, 255, (7, 20, 30), np.uint8)


def add_clicks(viewer, rows, object_id=1, polarity="positive", **placement):
    return viewer.add_points(
        np.array(rows, float),
        features={"object_id": [object_id] * len(rows), "polarity": [polarity] * len(rows)},
        **placement,
    )


# frames


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_frames_of_a_grey_film(viewer, film, kind):
    data = {
        "numpy": lambda: film,
        "dask": lambda: da.from_array(film, chunks=(1, 20, 30)),
        "zarr": lambda: zarr.array(film, chunks=(1, 20, 30)),
    }[kind]()
    image = viewer.add_image(data, axis_labels=("time", "y", "x"), contrast_limits=(0, 255))
    frames = layer_frames(image, layer_grid(viewer, image))
    assert (len(frames), frames.shape, frames.temporal) == (7, (20, 30), True)
    np.testing.assert_array_equal(frames.read(4), np.repeat(film[4][..., None], 3, -1))


def test_dask_frames_are_computed_one_by_one(viewer):
    read = []

    def block(block_id=None):
        read.append(block_id[0])
        return np.full((1, 8, 8), block_id[0], np.uint8)

    data = da.map_blocks(block, chunks=((1,) * 50, 8, 8), dtype=np.uint8, meta=np.zeros((0, 0, 0)))
    image = viewer.add_image(data, contrast_limits=(0, 255))
    frames = layer_frames(image, layer_grid(viewer, image))
    read.clear()
    assert frames.read(31)[0, 0, 0] == 31
    assert read == [31]


def test_the_window_is_what_the_layer_shows_or_automatic(viewer):
    data = np.linspace(0, 1000, 4 * 64, dtype=np.float32).reshape(4, 8, 8)
    image = viewer.add_image(data, contrast_limits=(0, 500))
    grid = layer_grid(viewer, image)
    shown = layer_frames(image, grid)
    assert shown.read(3).min() == 255
    assert layer_frames(image, grid, "auto").read(3).min() < 255
    assert layer_frames(image, grid, (900, 1000)).read(0).max() == 0
    assert shown.fingerprint != layer_frames(image, grid, "auto").fingerprint


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)]
)
def test_colour_is_taken_as_shown(viewer, dtype, white):
    data = np.zeros((3, 8, 9, 3), dtype)
    data[..., 1] = white
    image = viewer.add_image(data, rgb=True)
    frame = layer_frames(image, layer_grid(viewer, image)).read(2)
    assert frame.shape == (8, 9, 3)
    assert frame[0, 0].tolist() == [0, 255, 0]


def test_a_picture_is_a_clip_of_one_frame(viewer):
    image = viewer.add_image(np.zeros((20, 30), np.uint8))
    grid = layer_grid(viewer, image)
    frames = layer_frames(image, grid)
    assert (len(frames), frames.shape) == (1, (20, 30))
    assert shown_frame(viewer, image, grid) == 0
    assert read_points(add_clicks(viewer, [(3, 4)]), image, grid)[0] == {
        (1, 0): Prompt(1, 0, (Point(3, 4),))
    }


def test_four_axes_at_one_index_along_either(viewer):
    data = np.arange(3 * 4 * 5 * 6, dtype=np.uint16).reshape(3, 4, 5, 6) % 251
    image = viewer.add_image(
        data, axis_labels=("t", "z", "y", "x"), contrast_limits=(0, 255), units=("s", *["um"] * 3)
    )
    viewer.dims.set_point((0, 1), (1, 2))
    along_time, along_z = layer_grid(viewer, image), layer_grid(viewer, image, axis=1)
    assert (len(along_time), dict(along_time.fixed)) == (3, {1: 2})
    assert (len(along_z), dict(along_z.fixed)) == (4, {0: 1})
    np.testing.assert_array_equal(layer_frames(image, along_time).read(0)[..., 0], data[0, 2])
    frames = layer_frames(image, along_z)
    np.testing.assert_array_equal(frames.read(3)[..., 0], data[1, 3])
    assert not frames.temporal
    assert frames.spacing == pytest.approx((1e-3,) * 3)
    clicks, elsewhere = read_points(
        add_clicks(viewer, [(1, 3, 2, 2), (0, 3, 2, 2)]), image, along_z
    )
    assert clicks == {(1, 3): Prompt(1, 3, (Point(2, 2),))}
    assert elsewhere == 1


def test_channels_are_chosen_and_their_labels_lie_on_all(viewer):
    data = np.zeros((5, 2, 8, 8), np.uint8)
    data[:, 1] = 200
    image = viewer.add_image(data, axis_labels=("t", "channel", "y", "x"), contrast_limits=(0, 255))
    viewer.dims.set_point(1, 1)
    grid = layer_grid(viewer, image)
    assert grid.channel_axis == 1
    assert layer_frames(image, grid).read(0).min() == 200
    labels = add_labels_layer(viewer, image, grid, "masks")
    LabelsWriter(viewer, labels, image, grid).write(3, np.full((8, 8), 4))
    assert (labels.data[3] == 4).all()
    assert labels.data.sum() == 2 * 64 * 4


def test_a_coarser_level_keeps_its_place_in_the_world(viewer):
    fine = np.zeros((3, 16, 24), np.uint8)
    image = viewer.add_image(
        [fine, fine[:, ::2, ::2]], multiscale=True, scale=(2, 0.5, 0.5), translate=(0, 7, 9)
    )
    grid = layer_grid(viewer, image, level=1)
    assert layer_frames(image, grid).shape == (8, 12)
    labels = add_labels_layer(viewer, image, grid, "masks")
    assert labels.data.shape == (3, 8, 12)
    # the corner of the coarse pixel (0, 0) is the corner of the fine one
    np.testing.assert_allclose(
        labels.data_to_world((0, -0.5, -0.5)), image.data_to_world((0, -0.5, -0.5))
    )
    np.testing.assert_allclose(
        labels.data_to_world((2, 7.5, 11.5)), image.data_to_world((2, 15.5, 23.5))
    )
    clicks, _ = read_points(add_clicks(viewer, [labels.data_to_world((1, 3, 4))]), image, grid)
    ((y, x),) = [(p.y, p.x) for p in clicks[1, 1].points]
    assert (y, x) == pytest.approx((3, 4))
    with pytest.raises(DataError, match="no resolution level 2"):
        layer_grid(viewer, image, level=2)


def test_another_plane_on_screen_changes_the_axis_of_the_frames(viewer, film):
    image = viewer.add_image(film)
    viewer.dims.order = (1, 0, 2)
    grid = layer_grid(viewer, image)
    assert (grid.axis, grid.size, len(grid)) == (1, (7, 30), 20)
    np.testing.assert_array_equal(layer_frames(image, grid, "auto").read(5)[..., 0], film[:, 5])
    assert shown_frame(viewer, image, layer_grid(viewer, image, axis=1)) is not None
    viewer.dims.order = (0, 1, 2)
    assert shown_frame(viewer, image, grid) is None
    with pytest.raises(DataError, match="on screen"):
        layer_grid(viewer, image, axis=1)


def test_the_slider_goes_to_a_frame_and_back(viewer, film):
    viewer.add_image(np.zeros((50, 4, 4)), scale=(0.5, 1, 1))
    image = viewer.add_image(film, scale=(3, 1, 1), translate=(2, 0, 0))
    grid = layer_grid(viewer, image)
    for frame in (0, 6, 3):
        show_frame(viewer, image, grid, frame)
        assert shown_frame(viewer, image, grid) == frame


# prompts


@pytest.mark.parametrize(
    "placement",
    [
        {"scale": (2, 0.5, 0.25)},
        {"translate": (5, -3, 8)},
        {"affine": TURNED},
        {"scale": (2, 0.5, 0.25), "translate": (5, -3, 8), "affine": TURNED},
        {"rotate": (0, 0, 30), "scale": (1, 2, 2)},
    ],
    ids=["scale", "translate", "turned", "all", "rotate"],
)
@pytest.mark.parametrize("own", [False, True], ids=["identity-points", "placed-points"])
def test_clicks_go_through_the_world(viewer, film, placement, own):
    image = viewer.add_image(film, **placement)
    grid = layer_grid(viewer, image)
    target = (5, 11.0, 23.5)
    world = np.array(image.data_to_world(target))
    if own:  # the layer of clicks lies differently from the image, and from the world
        points = add_clicks(viewer, [(0, 0, 0)], scale=(1, 3, 3), translate=(1, 1, 1))
        points.data = np.array([points.world_to_data(world)])
    else:
        points = add_clicks(viewer, [world])
    clicks, elsewhere = read_points(points, image, grid)
    assert elsewhere == 0
    ((key, prompt),) = clicks.items()
    (point,) = prompt.points
    assert key == (1, 5)
    assert (point.y, point.x) == pytest.approx(target[1:], abs=1e-6)


def test_units_of_the_clicks_are_converted(viewer, film):
    image = viewer.add_image(film, scale=(1, 0.5, 0.5), units=("mm", "mm", "mm"))
    points = add_clicks(viewer, [(3000, 2000, 5000)], units=("um", "um", "um"))
    clicks, _ = read_points(points, image, layer_grid(viewer, image))
    assert clicks == {(1, 3): Prompt(1, 3, (Point(4, 10),))}


@pytest.mark.parametrize(
    ("ids", "polarity", "row", "message"),
    [
        ([1.5], ["positive"], (0, 1, 1), "whole number"),
        ([0], ["positive"], (0, 1, 1), "1 to 65535"),
        ([70_000], ["positive"], (0, 1, 1), "65535"),
        (["cat"], ["positive"], (0, 1, 1), "whole number"),
        ([1], ["maybe"], (0, 1, 1), "'positive' or 'negative'"),
        ([1], ["positive"], (0, np.nan, 1), "finite"),
    ],
)
def test_clicks_that_cannot_be_read(viewer, film, ids, polarity, row, message):
    image = viewer.add_image(film)
    grid = layer_grid(viewer, image)
    points = viewer.add_points(np.zeros((1, 3)), features={"object_id": ids, "polarity": polarity})
    points.data = np.array([row])
    with pytest.raises(PromptError, match=message):
        read_points(points, image, grid)


def test_rectangles_are_boxes(viewer, film):
    image = viewer.add_image(film, scale=(1, 2, 2))
    grid = layer_grid(viewer, image)
    shapes = viewer.add_shapes(
        [
            [(2, 8, 10), (2, 8, 30), (2, 20, 30), (2, 20, 10)],
            [(3, 8, 10), (3, 8, 30), (3, 20, 30), (3, 20, 10)],
        ],
        shape_type=["rectangle", "ellipse"],
        features={"object_id": [4, 4]},
    )
    assert read_boxes(shapes, image, grid) == {(4, 2): Box(4, 5, 10, 15)}
    shapes.data = [[(2, 8, 10), (2, 8, 30), (4, 20, 30), (4, 20, 10)]]
    shapes.features = {"object_id": [4]}
    with pytest.raises(PromptError, match="frame 2 to 4"):
        read_boxes(shapes, image, grid)


def test_prompts_written_to_our_layers_are_read_back(viewer, film):
    image = viewer.add_image(film, scale=(2, 0.5, 0.25), affine=TURNED)
    grid = layer_grid(viewer, image)
    points = add_points_layer(viewer, image, grid, "clicks")
    shapes = add_shapes_layer(viewer, image, "boxes")
    assert is_click_layer(points)
    assert not is_click_layer(shapes)
    assert not is_click_layer(image)
    prompts = [
        Prompt(1, 2, (Point(3, 4), Point(5, 6, positive=False))),
        Prompt(1, 3, (Point(3, 4),), mask_size="large"),
        Prompt(2, 6, (Point(7, 8),), Box(1, 2, 9, 10)),
        MaskPrompt(3, 1, np.ones((20, 30), bool)),
    ]
    for _ in range(2):  # a second time they replace the first ones
        write_prompts(prompts, points, shapes, grid)
        clicks, _ = read_points(points, image, grid)
        boxes = read_boxes(shapes, image, grid)
        read = merge_prompts(clicks, boxes)
        assert list(read) == [(1, 2), (1, 3), (2, 6)]
        for prompt in prompts[:3]:
            found = read[prompt.object_id, prompt.frame]
            assert found.mask_size == prompt.mask_size
            assert [p.positive for p in found.points] == [p.positive for p in prompt.points]
            np.testing.assert_allclose(
                [(p.y, p.x) for p in found.points], [(p.y, p.x) for p in prompt.points]
            )
        box = read[2, 6].box
        assert (box.y0, box.x0, box.y1, box.x1) == pytest.approx((1, 2, 9, 10))
    write_prompts([], points, shapes, grid)
    assert (len(points.data), len(shapes.data)) == (0, 0)


def test_negative_clicks_are_hollow_and_others_dim(viewer, film):
    image = viewer.add_image(film)
    grid = layer_grid(viewer, image)
    points = add_points_layer(viewer, image, grid, "clicks")
    write_prompts(
        [Prompt(1, 0, (Point(1, 1), Point(2, 2, positive=False))), Prompt(2, 0, (Point(3, 3),))],
        points,
        None,
        grid,
    )
    style_points(points, {1: (1, 0, 0, 1), 2: (0, 0, 1, 1)}, selected=1)
    np.testing.assert_allclose(points.face_color[0], (1, 0, 0, 1))
    assert points.face_color[1, 3] == 0
    np.testing.assert_allclose(points.border_color[1], (1, 0, 0, 1))
    assert points.face_color[2, 3] < 1


# labels


def test_labels_lie_where_the_image_does(viewer, film):
    image = viewer.add_image(
        film,
        scale=(2, 0.5, 0.25),
        translate=(1, 2, 3),
        affine=TURNED,
        units=("s", "mm", "mm"),
        axis_labels=("time", "y", "x"),
    )
    grid = layer_grid(viewer, image)
    labels = add_labels_layer(viewer, image, grid, "masks")
    np.testing.assert_allclose(labels.data_to_world((3, 4, 5)), image.data_to_world((3, 4, 5)))
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels
    np.testing.assert_allclose(labels.scale, image.scale)
    np.testing.assert_allclose(np.asarray(labels.affine), np.asarray(image.affine))


def test_long_labels_are_stored_compressed():
    store = label_store((100_000, 480, 854), (1, 2))
    assert not isinstance(store, np.ndarray)
    store[99_999] = np.ones((480, 854), np.uint16)
    assert store[99_999].sum() == 480 * 854
    assert store[7].sum() == 0


def test_napari_paints_on_labels_on_disk_and_strokes_are_taken_back(viewer, film, monkeypatch):
    monkeypatch.setattr("napari_surgisam.plugin.label_store.labels_limit", lambda: 0)
    image = viewer.add_image(film)
    grid = layer_grid(viewer, image)
    labels = add_labels_layer(viewer, image, grid, "masks")
    assert not isinstance(labels.data, np.ndarray) and labels.data.chunks == (1, 20, 30)
    writer = LabelsWriter(viewer, labels, image, grid)
    viewer.dims.set_point(0, 4)
    writer.write(4, block(7))
    writer.watch()
    labels.brush_size = 4
    labels.paint((4, 12, 20), 3)
    assert writer.notice_stroke() == (4, {3})
    assert set(np.unique(writer.read(4))) == {0, 3, 7}
    writer.write(4, block(7, slice(2, 9)))  # the model goes around the stroke
    assert set(np.unique(writer.read(4))) == {0, 3, 7}
    writer.write(4, block(7))
    writer.undo_stroke()
    np.testing.assert_array_equal(writer.read(4), block(7))
    labels.fill((4, 2, 2), 5)
    assert (writer.read(4)[:5] == 5).all()
    labels.undo()
    np.testing.assert_array_equal(writer.read(4), block(7))
    assert writer.read(3).max() == 0


@pytest.fixture
def writer(viewer, film):
    image = viewer.add_image(film)
    grid = layer_grid(viewer, image)
    return LabelsWriter(viewer, add_labels_layer(viewer, image, grid, "masks"), image, grid)


def block(value, rows=slice(0, 5)):
    labels = np.zeros((20, 30), np.uint16)
    labels[rows] = value
    return labels


def test_only_the_frame_on_screen_is_redrawn(viewer, writer):
    show_frame(viewer, writer.image, writer.grid, 2)
    drawn = []
    writer.layer.events.set_data.connect(lambda: drawn.append(True))
    writer.write(5, block(1))
    assert not drawn
    writer.write(2, block(1))
    assert len(drawn) == 1
    assert (writer.layer.data[[2, 5], :5] == 1).all()


def test_a_stroke_is_kept_and_other_objects_still_follow_the_model(viewer, writer):
    show_frame(viewer, writer.image, writer.grid, 3)
    writer.write(3, block(1))
    writer.watch()
    writer.layer.data[3, 10:12] = 1  # a person paints more of object 1
    assert writer.notice_stroke() == (3, {1})
    writer.write(3, block(1, slice(0, 2)) + block(2, slice(15, 18)))
    kept = writer.read(3)
    assert (kept[:5] == 1).all()
    assert (kept[10:12] == 1).all()
    assert (kept[15:18] == 2).all()
    assert writer.notice_stroke() is None


def test_erasing_is_kept_too(viewer, writer):
    show_frame(viewer, writer.image, writer.grid, 3)
    writer.write(3, block(1))
    writer.watch()
    writer.layer.data[3, 2:] = 0
    assert writer.notice_stroke() == (3, {1})
    writer.write(3, block(1))
    assert (writer.read(3)[2:] == 0).all()


def test_a_stroke_that_nobody_reported_is_found_when_the_model_comes(writer):
    writer.write(3, block(1))
    writer.layer.data[3, 8] = 1
    writer.write(3, block(1, slice(0, 1)))
    assert (writer.read(3)[8] == 1).all()
    assert (writer.read(3)[:5] == 1).all()
    assert writer.ledger.painted == {3: {1}}


def test_labels_that_the_user_had_are_kept(viewer, film):
    image = viewer.add_image(film)
    grid = layer_grid(viewer, image)
    labels = viewer.add_labels(np.zeros((7, 20, 30), np.int32))
    labels.data[4, 10:] = 9
    writer = LabelsWriter(viewer, labels, image, grid)
    writer.write(4, block(2))
    assert (labels.data[4, 10:] == 9).all()
    assert (labels.data[4, :5] == 2).all()
    assert writer.ledger.painted == {4: {9}}


def test_the_undone_stroke_is_forgotten(viewer, writer):
    show_frame(viewer, writer.image, writer.grid, 3)
    writer.write(3, block(1))
    writer.watch()
    writer.layer.paint((3, 12, 12), 7)
    assert writer.notice_stroke() == (3, {7})
    writer.undo_stroke()
    assert writer.ledger.painted == {}
    np.testing.assert_array_equal(writer.read(3), block(1))


def test_a_released_frame_is_the_models_again(viewer, writer):
    show_frame(viewer, writer.image, writer.grid, 3)
    writer.watch()
    writer.layer.data[3, 12] = 5
    writer.notice_stroke()
    writer.ledger.release(3, writer.read(3))
    writer.write(3, block(1))
    np.testing.assert_array_equal(writer.read(3), block(1))
