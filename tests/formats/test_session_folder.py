"""Saved sessions on disk: atomic, incremental, versioned, locked, and honest about damage."""

import gc
import json
import os
import shutil
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from sessions_alike import assert_same_state

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.catalogue import Catalogue
from napari_surgisam.data.classes import ClassList, ObjectClass
from napari_surgisam.data.masklets import CHUNK, Masklet
from napari_surgisam.data.prompts import MaskPrompt, ObjectId, Point, Prompt, PromptBook
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import DamagedError, DataError
from napari_surgisam.formats import session_parts, session_versions
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_state import (
    ModelRecord,
    ObjectRecord,
    SessionState,
    SourceRecord,
)

SOURCE = SourceRecord("", "f", "p", 500, (16, 16), axis=1, window=(-160.0, 240.1), channel=2,
                      at=MappingProxyType({0: 3}))  # fmt: skip


def mask(seed, **changes):
    logits = np.random.default_rng(seed).normal(0, 4, (16, 16)).astype(np.float32)
    about = {"iou": 0.1 + seed, "presence": 1 / 3, "pointer": np.ones(4), "conditioning": False}
    return StoredMask.from_logits(logits, **{**about, "direction": 1, **changes})


def masklet(object_id, frames):
    made = Masklet(ObjectId(object_id))
    for frame in frames:
        made = made.with_mask(frame, mask(frame))
    return made


CLASSES = ClassList(
    (ObjectClass("organ", 3, (1, 2, 3), "first", -1), ObjectClass("unused", 9, (0, 0, 255)))
)


def state(*masklets, **changes):
    one, two = ObjectId(1), ObjectId(2)
    prompts = [
        Prompt(one, 4, (Point(0.1, 1 / 3), Point(2.0, 3.0, positive=False))),
        Prompt(one, 5, (Point(1.0, 2.0),), mask_size="large"),
        MaskPrompt(two, 7, np.eye(16, dtype=bool)),
    ]
    annotation = Annotation(
        PromptBook(MappingProxyType({(p.object_id, p.frame): p for p in prompts})),
        masklets=MappingProxyType({m.object_id: m for m in masklets}),
        stale=MappingProxyType({one: (range(3, 9), range(20, 30))}),
        accepted=MappingProxyType({one: (range(0, 4),)}),
        by_class=MappingProxyType({two: (range(5, 6),)}),
        catalogue=Catalogue(CLASSES, {one: "organ"}, frozenset({two}), frozenset({one})),
    )
    about = {
        "model": ModelRecord("mine", "0" * 64, 512, "sam2", "off", None),
        "objects": {
            one: ObjectRecord("gallbladder", "organ", locked=True),
            two: ObjectRecord("Ö", "", False),
        },
        "order": "outward",
        "span": (3, None),
        "touched": {},
        "view": {"name": "film", "scale": [1.0, 0.1]},
    }
    return SessionState(SOURCE, annotation=annotation, **{**about, **changes})


@pytest.fixture
def folder(tmp_path):
    made = SessionFolder(tmp_path / "film.surgisam", new=True)
    yield made
    made.close()


def reopen(folder):
    folder.close()
    return SessionFolder(folder.path)


def parts(folder):
    return {file.name: file.stat().st_ino for file in (folder.path / "parts").iterdir()}


def test_all_that_a_session_holds_comes_back(folder):
    saved = state(masklet(1, range(100)), masklet(2, [5, 499]))
    folder.save(saved)
    again = reopen(folder)
    assert_same_state(again.read(), saved)
    again.close()


def test_a_session_from_before_there_were_lists_of_classes_is_read(folder):
    folder.save(state())
    index = folder.path / "session.json"
    data = json.loads(index.read_text())
    del data["classes"], data["objects"][0]["locked"]
    index.write_text(json.dumps(data))
    again = reopen(folder)
    known = again.read().annotation.catalogue
    assert dict(known.named) == {1: "organ"} and known.class_of(1).label == 1
    assert known.hidden == {2} and not known.locked
    again.close()


def test_prompts_alone_are_not_locked(folder):
    folder.save(state(masklet(1, range(3))))
    again = reopen(folder)
    known = again.read(masks=False).annotation.catalogue
    assert known.classes == CLASSES and not known.locked
    again.close()


def test_a_save_writes_what_changed_and_deletes_what_is_left(folder):
    first = masklet(1, range(3 * CHUNK))
    folder.save(state(first))
    before = parts(folder)
    assert len(before) == 4  # three chunks and the mask prompt
    folder.save(state(first))
    assert parts(folder) == before
    second = first.with_mask(CHUNK, mask(1000))
    folder.save(state(second))
    after = parts(folder)
    assert len(after) == 4 and len(before.items() & after.items()) == 3
    folder.save(state())
    assert len(parts(folder)) == 1


def test_masks_kept_for_undo_outlive_the_save_that_drops_them(folder):
    wanted = masklet(1, range(10))
    folder.save(state(wanted))
    again = reopen(folder)
    opened = again.read()
    past = opened.annotation
    again.save(state(objects=dict(opened.objects)))
    np.testing.assert_array_equal(past.masklets[1][3].logits(), wanted[3].logits())
    again.save(replace(opened, annotation=past))
    del opened, past
    gc.collect()
    again.save(state())
    assert len(parts(again)) == 1
    again.close()


def test_a_session_is_saved_elsewhere_without_being_read_into_memory(folder, tmp_path):
    folder.save(state(masklet(1, range(100))))
    again = reopen(folder)
    opened = again.read()
    copy = SessionFolder(tmp_path / "copy.surgisam", new=True)
    copy.save(opened)
    assert not any(c.in_memory for c in opened.annotation.masklets[1].chunks.values())
    again.close()
    shutil.rmtree(again.path)
    copy.close()
    other = SessionFolder(copy.path)
    assert_same_state(other.read(), state(masklet(1, range(100))))
    other.close()


@pytest.mark.parametrize("moment", range(12))
def test_wherever_a_save_stops_one_state_is_whole(folder, monkeypatch, moment):
    """Every call that changes the disk is made to fail in turn, as a full disk would."""
    old, new = state(masklet(1, range(130))), state(masklet(1, range(129)), order="forward")
    folder.save(old)
    calls = []

    def failing(call):
        def wrapped(*args, **kwargs):
            calls.append(call)
            if len(calls) == moment + 1:
                raise OSError(28, "No space left on device")
            return call(*args, **kwargs)

        return wrapped

    for name in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(session_parts.os, name, failing(getattr(os, name)))
    try:
        folder.save(new)
        stopped = False
    except DataError as error:
        stopped = True
        assert "is kept" in str(error)
    monkeypatch.undo()
    again = reopen(folder)
    assert_same_state(again.read(), old if stopped else new)
    again.save(new)
    assert len(parts(again)) == 4
    assert_same_state(again.read(), new)
    again.close()


def test_two_windows_never_hold_one_session(folder):
    folder.save(state())
    with pytest.raises(DataError, match="open in another window"):
        SessionFolder(folder.path)
    with pytest.raises(DataError, match="open in another window"):
        SessionFolder(folder.path, new=True)
    folder.close()
    with pytest.raises(DataError, match="cannot be written"):
        folder.save(state())
    SessionFolder(folder.path).close()


def test_other_folders_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="something else"):
        SessionFolder(tmp_path, new=True)
    with pytest.raises(DataError, match="no saved session"):
        SessionFolder(tmp_path)
    with pytest.raises(DataError, match="no saved session"):
        SessionFolder(tmp_path / "none.surgisam")
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_session_that_was_never_saved_is_begun_again(tmp_path):
    SessionFolder(tmp_path / "film.surgisam", new=True).close()
    again = SessionFolder(tmp_path / "film.surgisam", new=True)
    again.save(state())
    assert_same_state(again.read(), state())
    again.close()


def damaged(folder, how):
    index = folder.path / "session.json"
    part = next((folder.path / "parts").iterdir())
    data = json.loads(index.read_text())
    if how == "cut off":
        index.write_text(index.read_text()[:-300])
    elif how == "another's":
        index.write_text("[1, 2]")
    elif how == "key missing":
        del data["prompts"]
        index.write_text(json.dumps(data))
    elif how == "part missing":
        part.unlink()
    elif how == "part cut off":
        part.write_bytes(part.read_bytes()[:-1])
    elif how == "version gone":
        index.write_text(json.dumps({**data, "version": "new"}))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut off", "no JSON"),
        ("another's", "no session of napari-surgisam"),
        ("key missing", "prompts"),
        ("part missing", "parts are missing or cut off"),
        ("part cut off", "parts are missing or cut off"),
        ("version gone", "version"),
    ],
)
def test_damage_is_named_with_the_folder(folder, how, words):
    folder.save(state(masklet(1, range(10))))
    damaged(folder, how)
    again = reopen(folder)
    with pytest.raises(DataError, match=words) as raised:
        again.read()
    assert str(folder.path) in str(raised.value)
    again.close()


def test_the_prompts_survive_lost_masks(folder):
    folder.save(state(masklet(1, range(10))))
    for file in (folder.path / "parts").iterdir():
        if file.stat().st_size > 200:
            file.unlink()
    again = reopen(folder)
    with pytest.raises(DamagedError, match="--prompts-only"):
        again.read()
    left = again.read(masks=False)
    assert set(left.annotation.book.entries) == {(1, 4), (1, 5), (2, 7)}
    assert not left.annotation.masklets and not left.annotation.accepted
    assert left.annotation.draft(ObjectId(1), 4) is not None
    again.close()


def test_a_mask_that_rots_is_noticed_when_it_is_read(folder):
    folder.save(state(masklet(1, range(10))))
    again = reopen(folder)
    opened = again.read()
    part = max((folder.path / "parts").iterdir(), key=lambda file: file.stat().st_size)
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    with pytest.raises(DataError, match="content is not what was saved"):
        opened.annotation.masklets[1][3]
    again.close()


def test_an_older_version_is_brought_to_this_one_step_by_step(folder, monkeypatch):
    saved = state(masklet(1, range(10)))
    folder.save(saved)
    index = folder.path / "session.json"
    data = json.loads(index.read_text())
    data["clicks"] = data.pop("prompts")
    data["way"] = data.pop("plan")["order"]
    index.write_text(json.dumps({**data, "version": -1 + session_versions.VERSION}))

    def renamed(old):
        return {
            **{k: v for k, v in old.items() if k not in ("clicks", "way")},
            "prompts": old["clicks"],
            "plan": {"order": old["way"], "span": [3, None]},
        }

    again = reopen(folder)
    with pytest.raises(DataError, match="knows no way"):
        again.read()
    monkeypatch.setitem(session_versions.MIGRATIONS, session_versions.VERSION - 1, renamed)
    assert_same_state(again.read(), saved)
    again.save(again.read())
    assert json.loads(index.read_text())["version"] == session_versions.VERSION
    again.close()


def test_several_steps_follow_each_other_and_a_broken_one_is_named(tmp_path):
    def first(data):
        return {**data, "a": 1}

    def second(data):
        return {**data, "b": data["a"] + 1}

    old = {"format": session_versions.FORMAT, "version": 3}
    found = session_versions.migrate(old, "film", {3: first, 4: second}, 5)
    assert found == {**old, "version": 5, "a": 1, "b": 2}
    with pytest.raises(DataError, match="from version 4 of the format to 5"):
        session_versions.migrate({**old, "version": 4}, "film", {4: second}, 5)


def test_a_newer_version_is_left_alone(folder):
    folder.save(state())
    index = folder.path / "session.json"
    text = json.dumps({**json.loads(index.read_text()), "version": 99})
    index.write_text(text)
    again = reopen(folder)
    with pytest.raises(DataError, match="newer napari-surgisam"):
        again.read()
    assert index.read_text() == text
    again.close()


def test_what_a_later_program_added_without_need_is_passed_over(folder):
    folder.save(state())
    index = folder.path / "session.json"
    data = json.loads(index.read_text())
    data["model"]["colour"] = data["objects"][0]["mood"] = data["news"] = "blue"
    index.write_text(json.dumps(data))
    again = reopen(folder)
    assert_same_state(again.read(), state())
    again.close()
