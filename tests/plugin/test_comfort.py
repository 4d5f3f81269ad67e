"""Help, first steps, tips on every control, remembered choices, and buttons beside errors."""

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPushButton,
    QScrollBar,
    QWidget,
)

from napari_surgisam.engine import registry
from napari_surgisam.engine.devices import choose_device
from napari_surgisam.engine.models import find_weights
from napari_surgisam.errors import DataError, JobError, MemoryShortError, ModelError
from napari_surgisam.plugin.advanced_panel import AdvancedPanel
from napari_surgisam.plugin.guide_panel import GuidePanel
from napari_surgisam.plugin.keys import KEYS, written
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.plugin.preferences import first_steps_wanted
from napari_surgisam.plugin.remedies import remedies_for
from napari_surgisam.plugin.segment_widget import SegmentWidget

pytestmark = pytest.mark.qt

CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractItemView,
            QAbstractSlider)  # fmt: skip


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def says_what_it_does(control, dock):
    """Whether a tip shows over a control: Qt asks the widgets around it where it has none."""
    widget = control
    while widget is not dock:
        if widget.toolTip() or widget.accessibleName():
            return True
        widget = widget.parentWidget()
    return False


@pytest.mark.parametrize("name", ["Segment", "Review", "Evaluate", "Fine-tune"])
def test_every_control_says_what_it_does(make_napari_viewer, add_film, fake_network, name):
    viewer = make_napari_viewer()
    add_film(viewer)
    _, dock = viewer.window.add_plugin_dock_widget("napari-surgisam", name)
    controls = [w for w in dock.findChildren(QWidget) if isinstance(w, CONTROLS)]
    assert len(controls) > 5
    silent = [
        f"{type(w).__name__} {getattr(w, 'text', str)()!r} in {type(w.parentWidget()).__name__}"
        for w in controls
        if not isinstance(w, QScrollBar) and not says_what_it_does(w, dock)
    ]
    assert not silent
    names = [w.toolTip() for w in controls if isinstance(w, QAbstractButton)]
    assert any(names)


def test_the_help_lists_every_key_and_opens_by_button_and_key(desk, qtbot):
    panel, button = desk.widget.guide_panel, desk.widget.help_button
    texts = [label.text() for label in panel.help.findChildren(QWidget) if hasattr(label, "text")]
    listed = "".join(texts)
    assert all(f"<b>{written(key)}</b>" in listed and what in listed for key, _, what in KEYS)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert not panel.help.isHidden() and button.isChecked()
    desk.viewer.window.show()
    canvas = canvas_of(desk.viewer)
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Question, Qt.KeyboardModifier.ShiftModifier)
    assert panel.help.isHidden() and not button.isChecked()
    desk.viewer.layers.selection.active = desk.film
    qtbot.keyClick(canvas, Qt.Key.Key_Question, Qt.KeyboardModifier.ShiftModifier)
    assert panel.help.isHidden(), "the key is ours on our layers only"


def done(panel):
    return [step.done for step in panel.steps.steps]


def test_the_first_steps_are_ticked_go_by_themselves_and_can_be_called_back(desk, qtbot):
    widget, panel = desk.widget, desk.widget.guide_panel
    widget.guide._away.setInterval(50)
    assert not panel.steps.isHidden()
    assert done(panel) == [False, False, False]
    desk.click(230, 0)
    assert done(panel) == [True, False, False]
    with qtbot.waitSignal(widget.bench.live.finished, timeout=20_000):
        widget.propagate()
    desk.settle()
    assert done(panel) == [True, True, False]
    assert not panel.steps.isHidden()
    desk.click(230, 6)  # a correction
    assert done(panel) == [True, True, True]
    qtbot.waitUntil(panel.steps.isHidden)
    assert not first_steps_wanted()
    again = SegmentWidget(desk.viewer)
    assert again.guide_panel.steps.isHidden(), "they come again at the next start"
    again.close()
    again._stage.close()
    widget.guide.toggle_help()
    qtbot.mouseClick(
        next(b for b in panel.help.findChildren(QPushButton) if "first steps" in b.text()),
        Qt.MouseButton.LeftButton,
    )
    assert panel.help.isHidden() and not panel.steps.isHidden()
    assert done(panel) == [True, True, False]


def test_looking_for_doubtful_frames_is_reviewing(desk, qtbot):
    desk.click(230, 0)
    desk.widget.bench.review.next_doubtful()
    assert done(desk.widget.guide_panel) == [True, False, False], "there is nothing to review yet"
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.settle()
    desk.widget.bench.review.next_doubtful()
    assert done(desk.widget.guide_panel) == [True, True, True]


def test_a_step_that_was_done_stays_done_with_another_image(desk, add_film, qtbot):
    desk.click(230, 0)
    other = add_film(desk.viewer, name="other")
    desk.widget.image_box.setCurrentIndex(desk.widget.image_box.findData(other))
    desk.settle()
    assert done(desk.widget.guide_panel) == [True, False, False]


def test_help_takes_the_place_of_the_steps(qtbot):
    panel = GuidePanel()
    qtbot.addWidget(panel)
    panel.show_parts(steps=True, help_=True)
    assert panel.steps.isHidden() and not panel.help.isHidden()
    panel.show_parts(steps=False, help_=False)
    assert panel.isHidden()


def test_what_a_person_chose_is_there_at_the_next_start(desk, monkeypatch, tmp_path, qtbot):
    monkeypatch.setenv(registry.CACHE_VARIABLE, str(tmp_path))
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(b"weights")
    widget = desk.widget
    widget.models.refresh()
    widget.models.set_value("sam2.1_hiera_tiny")
    desk.settle()
    widget.advanced.set_value(
        replace(widget.advanced.value(), image_size=384, policy="confident", max_conditioning=3,
                window="auto")
    )  # fmt: skip
    desk.settle()
    qtbot.mouseClick(widget.plan._ways.button(1), Qt.MouseButton.LeftButton)
    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {})  # as a new process: from the file
    again = SegmentWidget(desk.viewer)
    assert again.models.value() == "sam2.1_hiera_tiny"
    shown = again.advanced.value()
    assert (shown.image_size, shown.policy, shown.max_conditioning) == (384, "confident", 3)
    assert shown.window == "shown", "the window is the image's"
    assert again.plan.value().order == "forward"
    again.close()
    again._stage.close()
    (tmp_path / "sam2.1_hiera_tiny.pt").unlink()
    third = SegmentWidget(desk.viewer)
    assert third.models.value() == registry.EMBEDDED, "a model that is gone is not insisted on"
    third.close()
    third._stage.close()


def test_what_a_session_brings_along_is_not_a_persons_choice(desk):
    from napari_surgisam.plugin.preferences import remembered

    advanced = desk.widget.advanced
    advanced.blockSignals(True)  # as when a saved session is opened
    advanced.set_value(replace(advanced.value(), policy="diverse", image_size=256))
    advanced.blockSignals(False)
    desk.widget.guide.look()
    advanced.set_value(replace(advanced.value(), max_conditioning=5))
    desk.settle()
    assert remembered("max_conditioning", 8) == 5
    assert (remembered("policy", "auto"), remembered("image_size", 0)) == ("auto", 0)


@pytest.fixture
def choices(qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv(registry.CACHE_VARIABLE, str(tmp_path))
    models, advanced = ModelChooser(), AdvancedPanel()
    qtbot.addWidget(models)
    qtbot.addWidget(advanced)
    return models, advanced


def words(remedies):
    return [text for text, _ in remedies]


def test_weights_that_are_missing_can_be_fetched_or_imported(choices):
    models, advanced = choices
    with pytest.raises(ModelError) as caught:
        find_weights("sam2.1_hiera_tiny")
    remedies = remedies_for(caught.value, models, advanced)
    assert words(remedies) == ["Fetch sam2.1_hiera_tiny", "Import file…"]
    asked = []
    models.fetch_requested.connect(asked.append)
    remedies[0][1]()
    assert asked == ["sam2.1_hiera_tiny"]
    with pytest.raises(ModelError) as caught:
        find_weights("medsam2")
    assert words(remedies_for(caught.value, models)) == ["Import file…"]


def test_too_little_memory_proposes_the_next_smaller_size(choices, tmp_path):
    models, advanced = choices
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(b"weights")
    models.refresh()
    models.set_value("sam2.1_hiera_tiny")
    models.show_device("cuda")
    short = MemoryShortError("The device ran out of memory on frame 3.")
    remedies = remedies_for(short, models, advanced)
    assert words(remedies) == ["Use 768 px", "Use the CPU"]
    remedies[0][1]()
    assert advanced.value().image_size == 768
    remedies = remedies_for(short, models, advanced)
    assert words(remedies)[0] == "Use 512 px"
    remedies[1][1]()
    assert advanced.value().device == "cpu"
    advanced.set_image_size(256)
    models.show_device("cpu")
    assert remedies_for(JobError("can't allocate memory"), models, advanced) == ()


def test_a_device_that_is_not_here_is_chosen_by_itself(choices):
    models, advanced = choices
    advanced.set_value(replace(advanced.value(), device="mps"))
    with pytest.raises(ModelError) as caught:
        choose_device("xpu")
    remedies = remedies_for(caught.value, models, advanced)
    assert words(remedies) == ["Choose by itself"]
    remedies[0][1]()
    assert advanced.value().device == "auto"


def test_what_no_button_helps_has_none(choices):
    assert remedies_for(DataError("The file is empty."), *choices) == ()


def test_a_second_dock_is_a_tab_beside_the_first(desk, qtbot):
    from qtpy.QtWidgets import QDockWidget, QMainWindow

    window = desk.viewer.window
    window.show()
    dock, _ = window.add_plugin_dock_widget("napari-surgisam", "Evaluate")
    main = next(w for w in (dock.parentWidget(),) if isinstance(w, QMainWindow))
    qtbot.waitUntil(lambda: desk.dock in main.tabifiedDockWidgets(dock), timeout=5000)
    assert isinstance(dock, QDockWidget)
    qtbot.waitUntil(lambda: not dock.visibleRegion().isEmpty(), timeout=5000)
