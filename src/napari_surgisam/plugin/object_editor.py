"""What a person does to whole objects: class, lock, merge, split, delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.merging import merge_objects
from napari_surgisam.data.object_changes import ChangeComputed, ObjectChange
from napari_surgisam.data.prompts import ObjectId, Prompt
from napari_surgisam.data.splitting import split_frame, split_object
from napari_surgisam.data.suggestions import with_suggestions
from napari_surgisam.errors import SurgisamError
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.session_jobs import same_prompt

if TYPE_CHECKING:
    from napari_surgisam.data.classes import ClassList
    from napari_surgisam.data.suggestions import Suggestion
    from napari_surgisam.engine.session import Session
    from napari_surgisam.jobs import Event
    from napari_surgisam.plugin.layer_reading import Key
    from napari_surgisam.plugin.live_session import LiveSession
    from napari_surgisam.plugin.objects import Objects
    from napari_surgisam.plugin.runner import JobThread, RunningJob

NO_SESSION = "The model is still loading: objects can be changed in a moment."


class ObjectEditor(QObject):
    """Changes the objects of one image, each time as one undo step.

    Parameters
    ----------
    live : LiveSession
    objects : Objects
    thread : JobThread
    taken : callable
        Returns ids that are somebody else's.
    """

    stepped = Signal()  # undo has one more step
    recoloured = Signal()  # colours or what is hidden changed
    edited = Signal()  # objects came or went, prompts with them
    message = Signal(object)  # Message
    working = Signal(str)  # what is being done; empty when it has ended
    progressed = Signal(object)  # Event

    def __init__(
        self,
        live: LiveSession,
        objects: Objects,
        thread: JobThread,
        taken: Callable[[], Iterable[int]],
    ) -> None:
        super().__init__()
        self._live, self._objects, self._thread, self._taken = live, objects, thread, taken
        self._job: RunningJob | None = None
        self._ours: set[ObjectId] = set()  # objects that were made or taken away here
        live.edited.connect(self._follow)
        live.writer.locked = lambda: self._objects.catalogue.locked

    # -- what objects are

    def set_class(self, object_ids: Iterable[int], name: str) -> None:
        """Say of which class objects are; an empty name is none."""
        ids = _ids(object_ids)
        self._say_of(lambda session: session.set_class(ids, name))

    def set_classes(self, classes: ClassList, renamed: Mapping[str, str]) -> None:
        """Take another list of classes."""
        self._say_of(lambda session: session.set_classes(classes, renamed))

    def lock(self, object_ids: Iterable[int], locked: bool) -> None:
        """Let nothing change objects any more, or free them."""
        ids = _ids(object_ids)
        self._say_of(lambda session: session.lock(ids, locked))

    def show(self, object_ids: Iterable[int], visible: bool) -> None:
        """Show or hide objects' masks."""
        ids = _ids(object_ids)
        self._say_of(lambda session: session.hide(ids, not visible))

    def colour_by_class(self, by_class: bool) -> None:
        """Show objects in the colours of their classes, or in their own."""
        if by_class != self._objects.by_class:
            self._objects.by_class = by_class
            self.recoloured.emit()
            self._live.edited.emit()

    def refuses(self, prompts: Mapping[Key, Prompt]) -> bool:
        """Whether prompts change a locked object; the person is told why they do not count."""
        session, locked = self._live.session, self._objects.catalogue.locked
        if session is None or not locked:
            return False
        known = session.book.entries
        changed = []
        for key in sorted(key for key in {*prompts, *known} if key[0] in locked):
            before = known.get(key)
            if not same_prompt(before if isinstance(before, Prompt) else None, prompts.get(key)):
                changed.append(key[0])
        catalogue = session.annotation.catalogue
        return not self._try(lambda: catalogue.check_open(changed, "prompted"))

    # -- objects that come and go

    def delete(self, object_ids: Iterable[int]) -> None:
        """Delete objects with their prompts and masks."""
        ids = _ids(object_ids)
        session = self._live.session
        if session is not None:
            catalogue = session.annotation.catalogue
            if not self._try(lambda: catalogue.check_open(ids, "deleted")):
                return

            def change(annotation: Annotation) -> Annotation:
                return reduce(Annotation.without_object, ids, annotation)

            self._ours.update(ids)
            if self._live.rewrite(lambda session: session.edit(change)):
                self.stepped.emit()
        for object_id in ids:
            self._objects.remove(object_id)
        self.edited.emit()

    def merge(self, object_ids: Sequence[int]) -> None:
        """Merge objects into the first of them."""
        ids = _ids(object_ids)
        session = self._free()
        if session is None:
            return
        shape = session.frames.shape
        self._begin(
            lambda: merge_objects(session.annotation, ids[0], ids[1:], shape, session.shelve),
            f"Merging {len(ids)} objects …",
            ids[1:],
            lambda event: self._on_merged(event, ids),
        )

    def split(self, object_id: int) -> None:
        """Split an object into its connected pieces, on all frames."""
        session = self._free()
        if session is None:
            return
        known, new_id = ObjectId(object_id), self._new_id(session)
        shape = session.frames.shape
        self._begin(
            lambda: split_object(session.annotation, known, shape, new_id, shelve=session.shelve),
            f"Splitting {self._objects.names.get(known, '')} …",
            (),
            self._on_split,
        )

    def split_here(self, object_id: int) -> None:
        """Split an object on the frame that is shown alone."""
        session, frame = self._free(), self._live.frame
        if session is None or frame is None:
            return
        known, shape, new_id = ObjectId(object_id), session.frames.shape, self._new_id(session)
        made: list[tuple[ObjectId, ...]] = []

        def change(annotation: Annotation) -> Annotation:
            after, ids = split_frame(annotation, known, frame, shape, new_id)
            self._ours.update(ids[1:])
            made.append(ids)
            return after

        if self._try(lambda: self._live.rewrite(lambda session: session.edit(change))) and made:
            self.stepped.emit()
            self._take_pieces(made[-1])

    def keep(self, frame: int, suggestions: Sequence[Suggestion]) -> None:
        """Make suggestions objects; an object that was never named nor prompted makes room."""
        session, made = self._live.session, list[ObjectId]()
        if session is None or not suggestions:
            return
        for object_id, name in list(self._objects.names.items()):
            if object_id not in session.object_ids and name == f"object {object_id}":
                self._objects.remove(object_id)
        taken = (*self._objects.names, *self._taken())

        def change(annotation: Annotation) -> Annotation:
            after, ids = with_suggestions(annotation, frame, suggestions, taken)
            self._ours.update(ids)
            made.extend(ids)
            return after

        if self._try(lambda: self._live.rewrite(lambda session: session.edit(change))) and made:
            self.stepped.emit()
            self._objects.include(made)
            self._objects.selected = made[0]
            self.edited.emit()
            word = "suggestion is an object" if len(made) == 1 else "suggestions are objects"
            self.message.emit(Message(f"{len(made)} {word} now: correct them, and propagate."))

    def travelled(self, left: Annotation | None) -> None:
        """Let the table have what undo or redo did to the objects that were there before."""
        before = () if left is None else left.object_ids
        now = self._live.annotation
        present = set() if now is None else {*now.object_ids, *now.catalogue.object_ids}
        for object_id in self._ours.intersection(before) - present:
            self._objects.remove(object_id)
        self._objects.include(self._ours & present)

    def cancel(self) -> None:
        """Stop merging or splitting; nothing is changed then."""
        if self._job is not None:
            self._job.cancel()

    # -- steps of several methods

    def _follow(self) -> None:
        """Take up what a session says of objects."""
        session = self._live.session
        if session is not None and self._objects.follow(session.annotation.catalogue):
            self.recoloured.emit()

    def _say_of(self, change: Callable[[Session], None]) -> None:
        if self._live.session is None:
            self.message.emit(Message(NO_SESSION))
            return
        changed: list[bool] = []
        if self._try(lambda: changed.append(self._live.edit(change, stop=False))) and changed[0]:
            self.stepped.emit()

    def _free(self) -> Session | None:
        """Return the session if nothing else is at work on it; else say what is."""
        session = self._live.session
        if session is None:
            self.message.emit(Message(NO_SESSION))
        elif self._live.is_propagating or self._job is not None:
            what = "A propagation" if self._job is None else "Another change"
            self.message.emit(Message(f"{what} is running: wait for it, or cancel it first."))
        else:
            return session
        return None

    def _begin(
        self,
        job: Callable[[], ObjectChange],
        what: str,
        going: Iterable[ObjectId],
        on_computed: Callable[[ChangeComputed], None],
    ) -> None:
        started: list[ObjectChange] = []
        if not self._try(lambda: started.append(job())):
            return

        def on_event(event: Event) -> None:
            if not isinstance(event, ChangeComputed):
                self.progressed.emit(event)
            elif self._job is not None and not self._job.cancelled:
                change = event.change
                self._ours.update((*going, *event.object_ids[1:]))
                if self._try(lambda: self._live.rewrite(lambda session: session.edit(change))):
                    self.stepped.emit()
                    on_computed(event)

        self._job = self._thread.run(
            started[0], on_event=on_event, on_error=self._on_error, on_end=self._on_end
        )
        self.working.emit(what)

    def _on_end(self) -> None:
        self._job = None
        self.working.emit("")

    def _on_error(self, error: SurgisamError) -> None:
        self.message.emit(Message(str(error), "error"))

    def _on_merged(self, event: ChangeComputed, ids: Sequence[ObjectId]) -> None:
        (keep,) = event.object_ids
        self._live.writer.relabel(ids[1:], keep)
        for object_id in ids[1:]:
            self._objects.remove(object_id)
        self._objects.selected = keep
        self.edited.emit()
        self.message.emit(Message(f"{self._objects.names[keep]} is all of them now."))

    def _on_split(self, event: ChangeComputed) -> None:
        self._take_pieces(event.object_ids)

    def _take_pieces(self, ids: Sequence[ObjectId]) -> None:
        name = self._objects.names.get(ids[0], "")
        self._objects.include(ids)
        if name != f"object {ids[0]}":
            for number, object_id in enumerate(ids[1:], start=2):
                self._objects.names[object_id] = f"{name} ({number})"
        self.edited.emit()
        self.message.emit(Message(f"{name} is in {len(ids)} pieces now, the largest first."))

    def _new_id(self, session: Session) -> int:
        return max((0, *self._objects.names, *session.object_ids, *self._taken())) + 1

    def _try(self, action: Callable[[], Any]) -> bool:
        """Do something; False where it was refused, and the person has been told why."""
        try:
            action()
        except SurgisamError as error:
            self.message.emit(Message(str(error), "error"))
            return False
        return True


def _ids(object_ids: Iterable[int]) -> tuple[ObjectId, ...]:
    return tuple(ObjectId(object_id) for object_id in object_ids)
