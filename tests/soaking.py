"""Random things that a person does at the window, each held against what must be true then."""

import random
import shutil
from collections import Counter
from collections.abc import Callable

import numpy as np
from persons import LENGTH, Person, wait, wait_until
from sessions_alike import assert_same_annotation, assert_same_state

from napari_surgisam.data.prompts import Prompt
from napari_surgisam.engine.saved_sessions import restored_session
from napari_surgisam.plugin.prompt_reading import merge_prompts, read_boxes, read_points
from napari_surgisam.plugin.session_jobs import same_prompt
from napari_surgisam.plugin.session_opening import open_session
from napari_surgisam.plugin.session_restoring import lazy_labels
from napari_surgisam.plugin.workbench import Workbench

WEIGHTS = {
    "click": 28,
    "propagate": 15,
    "cancel": 6,
    "undo": 10,
    "redo": 7,
    "switch_layer": 7,
    "add_object": 9,
    "delete_object": 4,
    "save": 6,
    "reopen": 3,
    "paint": 3,
    "draw_box": 3,
    "move_click": 3,
    "review": 3,
    "merge_or_split": 2,
    "rename": 1,
    "hide": 1,
}
"""How often a person does what, next to the rest."""

HURRIED = ("click", "undo", "redo", "paint", "draw_box", "delete_object", "move_click")
"""What a person may do without waiting for what comes of it."""


class Soak:
    """Does random things, the same for the same seed; many before the last one has ended.

    Parameters
    ----------
    person : Person
    seed : int

    Attributes
    ----------
    done : Counter of str
        How often each thing was done; "meanwhile" counts what was done while a propagation ran,
        "compared" the sessions that were held against what was saved of them.
    """

    def __init__(self, person: Person, seed: int) -> None:
        self.person, self.seed = person, seed
        self.done: Counter[str] = Counter()

    def act(self, actions: int, after: Callable[[int, str], None] = lambda *_: None) -> None:
        """Do some things; at the end save, and open that in a new window.

        Parameters
        ----------
        actions : int
        after : callable
            Called after each, with its number and name.
        """
        for number in range(actions):
            dice = random.Random(f"{self.seed}/{number}")  # no choice depends on those before
            (name,) = dice.choices([*WEIGHTS], [*WEIGHTS.values()])
            self.done["meanwhile"] += self.person.running
            try:
                self._do(name, dice)
            except BaseException as error:
                error.add_note(f"in action {number} of seed {self.seed}: {name}")
                raise
            self.done[name] += 1
            after(number, name)
        self.person.settle()
        self._save(random.Random(self.seed))
        self._reopen(self.person.reopen_in_new_window)
        self.check()

    def _do(self, name: str, dice: random.Random) -> None:
        if name in ("save", "reopen"):
            self._save(dice)
        if name == "reopen":
            self._reopen(self.person.reopen)
        elif name != "save":
            getattr(self.person, name)(dice)
        if name == "propagate" and dice.random() < 0.6:
            self._let_run(dice.randrange(1, 12))
        elif name in HURRIED and dice.random() < 0.3:
            wait(dice.randrange(20))
        else:
            self.person.settle()
            self.check()

    def _let_run(self, steps: int) -> None:
        """Let a propagation do some steps, and leave it running."""
        live = self.person.bench.live
        wait_until(lambda: not live.is_propagating or live._done >= steps, "frames were done")

    def _save(self, dice: random.Random) -> None:
        person, calm = self.person, self.person.is_settled()
        person.save(dice)
        person.settle()
        if not calm:  # what was asked before was answered after
            person.save(dice)
            person.settle()
        compare_with_saved(person)
        self.done["compared"] += 1

    def _reopen(self, reopen: Callable[[], object]) -> None:
        person = self.person
        before, rows = person.bench.session.annotation, _named(person)
        labels = np.array(person.bench.labels.data)
        reopen()
        person.settle()
        assert_same_annotation(person.bench.session.annotation, before)
        assert _named(person) == rows
        np.testing.assert_array_equal(np.asarray(person.bench.labels.data), labels)

    def check(self) -> None:
        """Hold what the window shows of both films against their sessions."""
        widget = self.person.widget
        for bench in widget._stage.benches.values():
            if bench.session is not None:  # else its model is loaded when it is chosen
                _check_objects(bench)
                _check_prompts(bench)
                _check_masks(bench)
        rows = [row.object_id for row in widget.table.rows]
        assert rows == sorted(widget.bench.objects.names)


def compare_with_saved(person: Person) -> None:
    """Open what was just saved without a window, and hold it against the live session."""
    bench, keeper, copy = person.bench, person.keeper, person.folder / "copy.surgisam"
    with keeper._folder._mutex:  # it saves itself, too
        shutil.copytree(keeper.path, copy, ignore=shutil.ignore_patterns("lock"))
    opened = open_session(copy)
    try:
        assert_same_state(opened.state, keeper.snapshot())
        tracker, sha256 = bench.session.tracker, opened.state.model.sha256
        session = restored_session(opened.computed, opened.frames, tracker, sha256)
        assert_same_annotation(session.annotation, bench.session.annotation)
        shown, _ = lazy_labels(opened, bench.grid)
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(bench.labels.data))
    finally:
        opened.folder.close()
        shutil.rmtree(copy)


def _named(person: Person) -> list[tuple[int, str]]:
    return [(row.object_id, row.name) for row in person.widget.table.rows]


def _check_objects(bench: Workbench) -> None:
    assert set(bench.session.object_ids) <= set(bench.objects.names)
    assert bench.objects.selected in bench.objects.names
    assert bench.labels.selected_label == bench.objects.selected


def _check_prompts(bench: Workbench) -> None:
    clicks, _ = read_points(bench.prompts.points, bench.image, bench.grid)
    shapes = bench.prompts.shapes
    boxes = {} if shapes is None else read_boxes(shapes, bench.image, bench.grid)
    said = merge_prompts(clicks, boxes)
    known = {key: p for key, p in bench.session.book.entries.items() if isinstance(p, Prompt)}
    assert said.keys() == known.keys(), "the layers hold other prompts than the session"
    assert all(same_prompt(said[key], known[key]) for key in said)


def _check_masks(bench: Workbench) -> None:
    writer = bench.live.writer
    for frame in range(LENGTH):
        if frame not in writer.ledger.painted:
            labels = bench.session.labels(frame)
            np.testing.assert_array_equal(writer.read(frame), labels, f"frame {frame}")
