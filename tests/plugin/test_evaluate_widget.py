"""The dock widget *Evaluate* in a real window: figures, the plot, jumps, files, protocols."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from films import truth_of
from qtpy.QtCore import Qt

from napari_surgisam.metrics.masks import dsc

pytestmark = pytest.mark.qt


@pytest.fixture
def table(make_napari_viewer, qtbot, fake_network, discs, add_film):
    """A viewer with a film, its truth, and labels that lie one pixel to the left."""
    viewer = make_napari_viewer()
    film = add_film(viewer)
    truth = truth_of(discs)
    moved = np.roll(truth, -1, axis=2)
    moved[8:][moved[8:] == 2] = 0
    names = {"axis_labels": ("time", "y", "x")}
    reference = viewer.add_labels(truth, name="truth", **names)
    labels = viewer.add_labels(moved, name="mine", **names)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-surgisam", "Evaluate")
    desk = SimpleNamespace(
        viewer=viewer,
        widget=widget,
        film=film,
        reference=reference,
        labels=labels,
        truth=truth,
        moved=moved,
        discs=discs,
    )

    def settle():
        qtbot.wait(20)
        qtbot.waitUntil(lambda: not desk.widget.busy, timeout=30_000)

    desk.settle = settle
    settle()
    yield desk
    thread = widget.thread
    viewer.close()
    del desk.widget, widget, dock
    qtbot.waitUntil(lambda: not thread.busy, timeout=20_000)


def test_how_a_model_is_prompted_is_chosen_again_at_the_next_start(table):
    form = table.widget.protocol
    form._prompt.setCurrentIndex(form._prompt.findData("box"))
    form._prompt.activated.emit(form._prompt.currentIndex())
    form._clicks.setValue(5)
    form._clicks.editingFinished.emit()
    table.viewer.window.remove_dock_widget(table.widget.parentWidget())
    _, again = table.viewer.window.add_plugin_dock_widget("napari-surgisam", "Evaluate")
    assert again.protocol is not form
    assert (again.protocol._prompt.currentData(), again.protocol._clicks.value()) == ("box", 5)


def test_it_opens_with_the_layers_that_there_are(table):
    widget = table.widget
    assert widget.reference_box.currentText() == "truth"
    assert widget.labels_box.currentText() == "mine"
    assert widget.image_box.currentText() == "film"
    assert widget.compare_button.isEnabled()
    assert widget.run_button.isEnabled()
    assert not widget.save_button.isEnabled()
    assert "nothing to save" in widget.save_button.toolTip()
    widget.labels_box.setCurrentText("truth")
    assert "two different layers" in widget.compare_button.toolTip()


def test_compare_fills_table_and_plot(table, qtbot):
    widget = table.widget
    qtbot.mouseClick(widget.compare_button, Qt.MouseButton.LeftButton)
    table.settle()
    assert [row.object_id for row in widget.rows] == [1, 2]
    for row in widget.rows:
        pairs = zip(table.moved == row.object_id, table.truth == row.object_id, strict=True)
        assert row.figures["dsc"] == pytest.approx(np.mean([dsc(a, b) for a, b in pairs]))
        assert "j_and_f" in row.figures
    assert widget.table.text(0, 0) == "1"
    assert widget.table.text(0, 2) == f"{widget.rows[0].figures['dsc']:.3f}"
    assert widget.table.text(2, 0) == "mean"
    lines = widget.plot.lines
    assert set(lines) == {"object 1", "object 2"}
    frames, values = lines["object 2"]
    assert frames == list(range(12))
    assert values[9] == 0
    assert values[3] > 0.8
    assert not widget.progress.isVisible()


def test_a_click_into_the_plot_goes_to_the_frame(table):
    table.widget.compare()
    table.settle()
    table.widget.plot.click_at(8.4)
    assert table.viewer.dims.current_step[0] == 8
    table.viewer.dims.set_current_step(0, 3)
    assert table.widget.plot._here.value() == 3
    table.widget.plot.click_at(-5)
    assert table.viewer.dims.current_step[0] == 0


def test_selecting_an_object_brings_its_line_out(table):
    table.widget.compare()
    table.settle()
    table.widget.table.select(2)
    pens = {
        item.name(): item.opts["pen"].width() for item in table.widget.plot._plot.listDataItems()
    }
    assert pens == {"object 1": 1, "object 2": 2}


def test_figures_are_saved_as_csv(table, tmp_path):
    table.widget.compare()
    table.settle()
    assert table.widget.save_button.isEnabled()
    table.widget.save(tmp_path / "mine.csv")
    with (tmp_path / "mine.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["object"], float(row["dsc"])) for row in rows] == [
        (str(row.object_id), row.figures["dsc"]) for row in table.widget.rows
    ]
    with (tmp_path / "mine_frames.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 24
    table.widget.save(tmp_path / "nowhere" / "mine.csv")
    assert table.widget.line.message.kind == "error"


def test_classes_come_from_the_layers_features(table):
    table.reference.features = {"index": [0, 1, 2], "class": ["", "grasper", "hook"]}
    table.widget.compare()
    table.settle()
    assert [row.class_name for row in table.widget.rows] == ["grasper", "hook"]
    assert table.widget.table.text(1, 1) == "hook"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(lambda t: t[:, 1:], "differ in shape", id="other-shape"),
        pytest.param(lambda t: t[1:], "differ in shape", id="other-length"),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_words(data, reason, table):
    table.viewer.add_labels(data(table.truth), name="other")
    table.widget.labels_box.setCurrentText("other")
    table.widget.compare()
    table.settle()
    assert table.widget.line.message.kind == "error"
    assert reason in table.widget.line.message.text


def test_an_empty_reference_is_said(table):
    table.viewer.add_labels(np.zeros_like(table.truth), name="empty")
    table.widget.reference_box.setCurrentText("empty")
    table.widget.compare()
    table.settle()
    assert "reference is empty" in table.widget.line.message.text


@pytest.mark.parametrize("protocol", ["video", "image"])
def test_a_protocol_runs_on_the_open_layers(protocol, table, qtbot, tmp_path):
    widget = table.widget
    widget.protocol.choose(protocol)
    steps = []
    advance = widget.progress.advance
    widget.progress.advance = lambda what, done, total: (
        steps.append((done, total)),
        advance(what, done, total),
    )
    qtbot.mouseClick(widget.run_button, Qt.MouseButton.LeftButton)
    assert not widget.run_button.isEnabled()
    table.settle()
    assert [row.object_id for row in widget.rows] == [1, 2]
    assert steps[-1] == (12, 12)
    assert min(row.figures["dsc"] for row in widget.rows) > 0.5
    assert "Segmented in" in widget.line.message.text
    assert len(widget.plot.lines) == 2
    assert widget.run_button.isEnabled()
    widget.save(tmp_path / "mine.csv")
    with (tmp_path / "mine.csv").open(newline="") as file:
        saved = [row["object"] for row in csv.DictReader(file)]
    assert saved == (["1", "2", ""] if protocol == "image" else ["1", "2"])  # F1 is of the whole


def test_a_protocol_can_be_cancelled(table, slow, qtbot):
    widget = table.widget
    widget.run()
    qtbot.waitUntil(lambda: "step" in widget.progress.text, timeout=20_000)
    widget.progress.cancelled.emit()
    table.settle()
    assert widget.rows == []
    assert "Stopped" in widget.line.message.text
    assert widget.run_button.isEnabled()


def test_layers_that_go_are_forgotten(table):
    table.widget.compare()
    table.settle()
    table.viewer.layers.remove("truth")
    assert table.widget.reference_box.currentText() == "mine"
    table.widget.plot.click_at(3)
    table.viewer.dims.set_current_step(0, 5)
    table.viewer.layers.clear()
    assert "Open the true labels" in table.widget.compare_button.toolTip()


def test_a_protocol_form_gives_what_it_shows(qtbot):
    from napari_surgisam.evaluation.protocols import PROTOCOLS
    from napari_surgisam.plugin.protocol_form import WORDS, ProtocolForm

    form = ProtocolForm()
    qtbot.addWidget(form)
    assert {name for name, _ in WORDS} == set(PROTOCOLS)
    for name in PROTOCOLS:
        form.choose(name)
        assert form.value().name == name
    form.choose("video")
    form._count.setValue(4)
    form._clicks.setValue(5)
    assert (form.value().prompted_frames, form.value().prompting.clicks) == (4, 5)
