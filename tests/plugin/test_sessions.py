"""Sessions in a real window: saved by hand and by themselves, dropped, resumed after a crash."""

import gc
import json
import time

import numpy as np
import pytest
import tifffile
from sessions_alike import assert_same_annotation

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import ObjectId, Point, Prompt, PromptBook
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.errors import DataError
from napari_surgisam.formats.open_sessions import OpenSessions, sessions_folder
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_sources import describe_source
from napari_surgisam.formats.session_state import SessionState
from napari_surgisam.formats.sources import open_source
from napari_surgisam.plugin import session_desk, session_dialogs, session_opening
from napari_surgisam.plugin.lazy_labels import LazyLabels
from napari_surgisam.resources import sample_data

pytestmark = pytest.mark.qt


@pytest.fixture
def film_file(tmp_path, discs):
    path = tmp_path / "film.tif"
    frames = np.stack([discs.read(f)[..., 0] for f in range(len(discs))])
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    return path


@pytest.fixture
def on_file(desk, film_file):
    """Let the desk's film come from a file."""
    desk.film.metadata["surgisam_path"] = str(film_file)
    return desk


@pytest.fixture
def name(monkeypatch, tmp_path):
    """The name under which the person saves."""
    path = tmp_path / "work.surgisam"
    monkeypatch.setattr(session_desk, "ask_for_name", lambda *_: path)
    return path


@pytest.fixture
def viewer_of(make_napari_viewer, qtbot):
    """Open something in a new window and wait for what comes of it."""
    opened = []

    def open_in(path):
        viewer = make_napari_viewer()
        opened.append(viewer)
        viewer.open(str(path), plugin="napari-surgisam")
        qtbot.waitUntil(lambda: widget_in(viewer) is not None, timeout=20_000)
        widget = widget_in(viewer)
        qtbot.waitUntil(
            lambda: (
                widget.bench is not None and widget.bench.session is not None and not widget.busy
            ),
            timeout=20_000,
        )
        return viewer, widget

    yield open_in
    threads = [w.thread for v in opened if (w := widget_in(v)) is not None]
    for viewer in opened:
        viewer.close()
    gc.collect()
    for thread in threads:
        qtbot.waitUntil(lambda thread=thread: not thread.busy, timeout=20_000)


def widget_in(viewer):
    dock = viewer.window._wrapped_dock_widgets.get("Segment (SurgiSAM)")
    for title, found in viewer.window._wrapped_dock_widgets.items():
        if "Segment" in title:
            dock = found
    return None if dock is None else dock.inner_widget()


def sessions():
    return sorted(sessions_folder().glob("*.surgisam"))


def work(desk, qtbot):
    """Two objects, a box, a propagation, a correction, a name and a stroke of the brush."""
    desk.click(230, 0)
    desk.widget.bench.add_object()
    desk.click(140, 5)
    desk.widget.bench.tools.draw_box()
    y, x = desk.discs.centre(140, 8)
    box = [(8, y - 9, x - 9), (8, y - 9, x + 9), (8, y + 9, x + 9), (8, y + 9, x - 9)]
    desk.widget.bench.prompts.shapes.add_rectangles(np.array(box))
    desk.settle()
    desk.widget.plan.set_value(Plan("forward", Span(0, 10)))
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.widget.bench.rename(2, "grasper")
    desk.click(230, 7, object_id=1)
    desk.viewer.dims.set_current_step(0, 3)
    desk.settle()
    labels = desk.widget.bench.labels
    labels.selected_label = 2
    labels.brush_size = 5
    labels.paint((3, 4, 4), 2)
    desk.settle()


def test_what_was_saved_comes_back_in_another_window(on_file, qtbot, name, viewer_of):
    desk = on_file
    work(desk, qtbot)
    desk.widget.sessions.save()
    assert desk.widget.session_row.label.text() == "work"
    session, shown = desk.widget.bench.session, np.asarray(desk.widget.bench.labels.data).copy()
    desk.dock.close()
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)

    viewer, widget = viewer_of(name)
    bench = widget.bench
    assert viewer.layers[0].name == "film"
    assert bench.image.axis_labels == ("time", "y", "x")
    assert widget.session_row.label.text() == "work"
    found = bench.session.annotation
    assert set(found.book.entries) == set(session.book.entries)
    assert_same_annotation(found, session.annotation)
    assert [(r.name, r.prompts) for r in widget.table.rows] == [
        ("object 1", "2 clicks"),
        ("grasper", "1 click, 1 box"),
    ]
    assert widget.table.rows[0].stale
    assert widget.plan.value() == Plan("forward", Span(0, 10))
    assert isinstance(bench.labels.data, LazyLabels)
    np.testing.assert_array_equal(np.asarray(bench.labels.data), shown)
    assert bench.live.writer.ledger.painted == {3: frozenset({2})}
    assert not bench.session.can_undo


def test_a_click_goes_on_where_the_session_was(on_file, qtbot, name, viewer_of):
    desk = on_file
    work(desk, qtbot)
    desk.widget.sessions.save()
    before = desk.widget.bench.session.annotation
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)

    viewer, widget = viewer_of(name)
    y, x = desk.discs.centre(140, 6)
    viewer.dims.set_current_step(0, 6)
    widget.bench.select(2)
    widget.bench.prompts.points.add((6, y, x))
    qtbot.wait(50)
    qtbot.waitUntil(lambda: not widget.busy, timeout=20_000)
    after = widget.bench.session.annotation
    assert set(after.book.entries) == {*before.book.entries, (2, 6)}
    for key, prompt in before.book.entries.items():
        assert after.book.entries[key] == prompt
    for key in before.book.entries:  # the old masks were not asked for again
        one, other = before.mask(*key), after.mask(*key)
        assert one.data == other.data
    widget.bench.undo()
    qtbot.waitUntil(lambda: not widget.busy, timeout=20_000)
    assert_same_annotation(widget.bench.session.annotation, before)
    with qtbot.waitSignal(widget.bench.live.finished, timeout=20_000):
        widget.propagate()
    assert not widget.table.rows[0].stale


def test_work_saves_itself_and_goes_when_the_window_is_closed_properly(on_file, qtbot):
    desk = on_file
    assert sessions() == []
    desk.click(230, 0)
    qtbot.waitUntil(lambda: bool(sessions()) and (sessions()[0] / "session.json").exists())
    (path,) = sessions()
    assert path.name.startswith("film-")
    assert desk.widget.session_row.label.text() == "not saved yet"
    with pytest.raises(DataError, match="another window"):
        SessionFolder(path)
    notes = OpenSessions(sessions_folder())
    assert notes.interrupted() == []
    desk.widget.restart(desk.film)
    qtbot.waitUntil(lambda: not sessions())
    assert not list(sessions_folder().glob("*.json"))


def test_every_change_is_saved_within_seconds(on_file, qtbot, name):
    desk = on_file
    desk.click(230, 0)
    desk.widget.sessions.save()
    keeper = desk.widget.sessions._keepers[desk.widget.bench]

    def saved():
        data = (name / "session.json").read_text()
        return '"wristed"' in data and data.count('"points"') == 2

    started = time.monotonic()
    desk.click(140, 4)
    desk.widget.bench.rename(1, "wristed")
    qtbot.waitUntil(saved, timeout=8_000)
    assert time.monotonic() - started < 8
    keeper._saver.close()
    other = name.with_name("copy.surgisam")
    name.rename(other)
    (other / "lock").unlink()
    folder = SessionFolder(other)
    assert_same_annotation(folder.read().annotation, desk.widget.bench.session.annotation)
    folder.close()


def test_after_a_crash_the_last_session_is_offered(
    on_file, qtbot, tmp_path, make_napari_viewer, viewer_of, monkeypatch
):
    desk = on_file
    desk.click(230, 0)
    qtbot.waitUntil(lambda: bool(sessions()) and (sessions()[0] / "session.json").exists())
    desk.click(140, 4, object_id=1)
    keeper = desk.widget.sessions._keepers[desk.widget.bench]
    path = keeper._folder.path
    keeper._saver.close()
    keeper._folder.close()  # as the system does for a process that is killed
    keeper._saver = keeper._folder = None
    annotation = desk.widget.bench.session.annotation

    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-surgisam", "Segment")
    assert "“film” was not closed properly" in widget.line.message.text
    remedies = dict(widget.line.message.remedies)
    assert widget.session_row.resume.isEnabled()
    remedies["Resume last session"]()
    qtbot.waitUntil(
        lambda: widget.bench is not None and widget.bench.session is not None and not widget.busy,
        timeout=20_000,
    )
    assert_same_annotation(widget.bench.session.annotation, annotation)
    assert not widget.session_row.resume.isEnabled()
    assert widget.session_row.label.text() == "not saved yet"
    widget.bench.rename(1, "again")
    qtbot.waitUntil(lambda: '"again"' in (path / "session.json").read_text(), timeout=8_000)
    assert sessions() == [path]
    thread = widget.thread
    viewer.close()
    qtbot.waitUntil(lambda: not thread.busy, timeout=20_000)
    qtbot.waitUntil(lambda: not path.exists(), timeout=20_000)


def test_a_source_that_moved_is_asked_for(on_file, qtbot, name, film_file, viewer_of, monkeypatch):
    desk = on_file
    desk.click(230, 0)
    desk.widget.sessions.save()
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)
    moved = film_file.with_name("elsewhere.tif")
    film_file.rename(moved)
    asked = []

    def answer(why, wanted):
        asked.append((why, wanted))
        return moved

    monkeypatch.setattr(session_dialogs, "ask_for_source", answer)
    _, widget = viewer_of(name)
    ((why, wanted),) = asked
    assert wanted == "film.tif" and str(film_file) in why
    assert widget.bench.image.metadata["surgisam_path"] == str(moved)


def test_a_source_that_changed_is_refused_or_gets_the_prompts_alone(
    on_file, qtbot, name, film_file, viewer_of, monkeypatch, make_napari_viewer
):
    from napari.errors import ReaderPluginError

    desk = on_file
    desk.click(230, 0)
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.widget.sessions.save()
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)
    frames = tifffile.imread(film_file)
    tifffile.imwrite(film_file, np.maximum(frames, 25), imagej=True, metadata={"axes": "TYX"})
    monkeypatch.setattr(session_dialogs, "ask_about_changed", lambda *_: None)
    viewer = make_napari_viewer()
    with pytest.raises((DataError, ReaderPluginError), match="other content"):
        viewer.open(str(name), plugin="napari-surgisam")
    assert not viewer.layers
    monkeypatch.setattr(
        session_dialogs, "ask_about_changed", lambda *_: session_dialogs.PROMPTS_ALONE
    )
    _, widget = viewer_of(name)
    annotation = widget.bench.session.annotation
    assert len(annotation.book) == 1 and len(annotation.masklets[ObjectId(1)]) == 1
    assert widget.session_row.label.text() == "not saved yet"
    assert "stays as it is" in widget.line.message.text
    before = (name / "session.json").read_text()
    widget.bench.rename(1, "anew")
    qtbot.waitUntil(lambda: len(sessions()) == 1 and (sessions()[0] / "session.json").exists())
    assert (name / "session.json").read_text() == before


def test_an_image_without_a_file_is_found_in_the_viewer(desk, qtbot, name):
    desk.click(230, 0)
    desk.widget.sessions.save()
    before = desk.widget.bench.session.annotation
    desk.widget._drop(desk.film)
    for layer in [layer for layer in desk.viewer.layers if layer is not desk.film]:
        desk.viewer.layers.remove(layer)
    desk.widget.sessions.open(name)
    desk.settle()
    assert desk.widget.bench.image is desk.film
    assert [type(layer).__name__ for layer in desk.viewer.layers] == ["Image", "Labels", "Points"]
    assert_same_annotation(desk.widget.bench.session.annotation, before)


def test_napari_opens_sessions_with_our_reader_and_other_folders_with_its_own(desk, tmp_path):
    from napari.plugins.utils import get_preferred_reader

    SessionFolder(tmp_path / "a.surgisam", new=True).close()
    assert get_preferred_reader(tmp_path / "a.surgisam") == "napari-surgisam"
    assert get_preferred_reader(tmp_path) is None
    assert session_opening.session_reader(str(tmp_path)) is None
    assert session_opening.session_reader([str(tmp_path)]) is None
    assert session_opening.session_reader(str(tmp_path / "a.surgisam")) is None  # never saved


def test_of_a_damaged_session_the_prompts_are_offered(on_file, qtbot, name, viewer_of, monkeypatch):
    desk = on_file
    desk.click(230, 0)
    desk.widget.sessions.save()
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)
    next((name / "parts").iterdir()).unlink()
    asked = []

    def answer(why):
        asked.append(why)
        return True

    monkeypatch.setattr(session_dialogs, "ask_about_damage", answer)
    _, widget = viewer_of(name)
    assert "missing" in asked[0]
    annotation = widget.bench.session.annotation
    assert set(annotation.book.entries) == {(1, 0)} and 0 in annotation.masklets[ObjectId(1)]
    assert np.asarray(widget.bench.labels.data)[0].any(), "the click was not answered"


def test_a_name_that_cannot_be_used_is_refused_and_the_old_one_stays(
    on_file, qtbot, name, monkeypatch, tmp_path
):
    desk = on_file
    desk.click(230, 0)
    desk.widget.sessions.save()
    (tmp_path / "taken.surgisam").mkdir()
    (tmp_path / "taken.surgisam" / "mine.txt").write_text("mine")
    for bad, words in (
        (tmp_path / "taken.surgisam", "something else"),
        (sessions_folder() / "hidden.surgisam", "another folder"),
    ):
        monkeypatch.setattr(session_desk, "ask_for_name", lambda *_, bad=bad: bad)
        desk.widget.sessions.save_as()
        assert words in desk.widget.line.message.text
        assert desk.widget.line.message.kind == "error"
        assert desk.widget.session_row.label.text() == "work"
    monkeypatch.setattr(session_desk, "ask_for_name", lambda *_: tmp_path / "new.surgisam")
    desk.widget.sessions.save_as()
    assert desk.widget.session_row.label.text() == "new"
    desk.click(140, 4)
    desk.widget.sessions.save()
    first, second = (
        (tmp_path / f"{word}.surgisam" / "session.json").read_text() for word in ("work", "new")
    )
    assert first.count('"points"') == 1 and second.count('"points"') == 2


def test_names_that_it_had_before_can_be_used_again(on_file, qtbot, tmp_path, monkeypatch):
    desk = on_file
    work(desk, qtbot)
    for frame, word in enumerate(("first", "first", "second", "first"), start=3):
        path = tmp_path / f"{word}.surgisam"
        monkeypatch.setattr(session_desk, "ask_for_name", lambda *_, path=path: path)
        desk.click(140, frame, object_id=2)
        desk.widget.sessions.save_as()
        assert desk.widget.line.message.kind != "error", desk.widget.line.message.text
        assert desk.widget.session_row.label.text() == word
    annotation = desk.widget.bench.session.annotation
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)
    SessionFolder(path.with_stem("second")).close()  # nothing holds it any more
    folder = SessionFolder(path)
    assert set(folder.read().annotation.book.entries) == set(annotation.book.entries)
    folder.close()


def test_the_widget_still_opens_folders_of_frames_with_naparis_reader(desk, tmp_path):
    from napari_surgisam.plugin.opening import open_file

    folder = tmp_path / "frames"
    folder.mkdir()
    for frame in range(3):
        tifffile.imwrite(folder / f"{frame}.tif", np.full((20, 30), frame, np.uint8))
    open_file(desk.viewer, folder)
    assert desk.viewer.layers[-1].data.shape == (3, 20, 30)


def test_a_session_that_is_only_looked_at_is_not_written_to(on_file, qtbot, name, viewer_of):
    desk = on_file
    work(desk, qtbot)
    desk.widget.sessions.save()
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)
    index = name / "session.json"
    index.write_text(index.read_text() + "\n")
    before = index.read_text()
    viewer, widget = viewer_of(name)
    viewer.dims.set_current_step(0, 5)
    qtbot.wait(2_500)
    assert index.read_text() == before and sessions() == []
    widget.bench.editor.show([1], False)
    qtbot.waitUntil(lambda: index.read_text() != before, timeout=8_000)


def test_with_another_model_the_session_stays_as_it_is(on_file, qtbot, name, viewer_of):
    desk = on_file
    work(desk, qtbot)
    desk.widget.sessions.save()
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)
    index = name / "session.json"
    data = json.loads(index.read_text())
    data["model"] |= {"name": "sam2.1_hiera_huge", "sha256": "0" * 64}
    index.write_text(json.dumps(data))
    before = index.read_text()
    _, widget = viewer_of(name)
    assert "sam2.1_hiera_huge" in widget.line.message.text
    assert all(row.stale for row in widget.table.rows)
    assert widget.session_row.label.text() == "not saved yet"
    with qtbot.waitSignal(widget.bench.live.finished, timeout=20_000):
        widget.propagate()
    qtbot.waitUntil(lambda: len(sessions()) == 1 and (sessions()[0] / "session.json").exists())
    assert index.read_text() == before


def test_the_file_inside_opens_the_session_too(on_file, qtbot, name, viewer_of):
    desk = on_file
    desk.click(230, 0)
    desk.widget.sessions.save()
    desk.viewer.layers.clear()
    qtbot.waitUntil(lambda: desk.widget.bench is None, timeout=20_000)
    _, widget = viewer_of(name / "session.json")
    assert widget.session_row.label.text() == "work"


def test_a_movie_is_shown_and_computed_as_the_shell_read_it(fake_network, tmp_path, viewer_of):
    clip = sample_data() / "clip.mp4"
    frames = open_source(clip, window=(20, 200), channel=1)
    record = describe_source(frames, clip, window=(20, 200), channel=1)
    prompt = Prompt(ObjectId(3), 2, (Point(130.1, 462.3),))
    book = PromptBook({(ObjectId(3), 2): prompt})
    folder = SessionFolder(tmp_path / "clip.surgisam", new=True)
    folder.save(SessionState(record, annotation=Annotation(book)))
    folder.close()
    _, widget = viewer_of(folder.path)
    bench = widget.bench
    np.testing.assert_array_equal(np.asarray(bench.image.data[2]), frames.read(2))
    assert bench.session.frames.fingerprint == record.fingerprint
    assert bench.session.book.get(ObjectId(3), 2) == prompt  # whatever the layer rounds
    assert 2 in bench.session.masklets[3], "a click whose mask was not saved is not answered"
    state = widget.sessions._keepers[bench].snapshot()
    assert state.source == record
