"""What a person does to the prompts of the selected object, besides clicking; no widget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_surgisam.data.prompt_copies import copied, nearest_prompted
from napari_surgisam.data.prompts import MASK_SIZES, AnyPrompt, MaskSize, Prompt
from napari_surgisam.plugin.drawings import Drawings
from napari_surgisam.plugin.finder import Finder
from napari_surgisam.plugin.layer_reading import Key
from napari_surgisam.plugin.message_line import Message

if TYPE_CHECKING:
    from napari_surgisam.plugin.live_session import LiveSession
    from napari_surgisam.plugin.objects import Objects
    from napari_surgisam.plugin.prompt_layers import PromptLayers
    from napari_surgisam.plugin.runner import JobThread

NO_SIZE = (
    "A mask's size can be chosen where the object has a single click on the {unit} that is shown, "
    "and nothing else there."
)


class PromptTools(QObject):
    """Draws, switches polarity, sizes the masks of clicks, and copies prompts between frames.

    Parameters
    ----------
    live : LiveSession
    prompts : PromptLayers
    objects : Objects
    unit : {"frame", "slice", "picture"}
    thread : JobThread
        Where a search runs.
    """

    message = Signal(object)  # Message

    def __init__(
        self,
        live: LiveSession,
        prompts: PromptLayers,
        objects: Objects,
        unit: str,
        thread: JobThread,
    ) -> None:
        super().__init__()
        self._live, self._prompts, self._objects, self._unit = live, prompts, objects, unit
        self.drawings = Drawings(live, prompts, unit)
        self.drawings.message.connect(self.message.emit)
        self.finder = Finder(live, prompts, objects, unit, thread)
        self.finder.message.connect(self.message.emit)

    def actions(self) -> dict[str, Callable[[], object]]:
        """Return what the keys for prompts do, by name."""
        return {
            "toggle_polarity": self.toggle_polarity,
            "draw_box": self.draw_box,
            "scribble": lambda: self.drawings.draw("scribble"),
            "lasso": lambda: self.drawings.draw("lasso"),
            "use_drawing": self.drawings.use,
            "next_mask_size": self.next_mask_size,
            "copy_prompt": self.copy_here,
            "find_again": self.finder.find,
            "confirm": self.finder.confirm,
        }

    @property
    def shown(self) -> AnyPrompt | None:
        """What is said about the selected object on the frame that is shown, or None."""
        key, session = self._key, self._live.session
        return None if key is None or session is None else session.book.get(*key)

    def draw_box(self) -> None:
        """Make the layer of boxes active, ready for a rectangle."""
        shapes = self._prompts.boxes()
        self._live.viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        self._say("Drag a rectangle around the object; Esc or clicking the layer of clicks ends.")

    def toggle_polarity(self) -> None:
        """Switch between "this" and "not this"."""
        self._prompts.negative = not self._prompts.negative
        self._prompts.select()
        word = "not the object" if self._prompts.negative else "the object"
        self._say(f"Clicks now mark what is {word}. T switches back.")

    # -- the size of the mask of a single click

    def mask_size(self) -> MaskSize | None:
        """Return which mask the click that is shown means; None where there is no choice."""
        prompt = self.shown
        sized = isinstance(prompt, Prompt) and prompt.takes_mask_size
        return prompt.mask_size if isinstance(prompt, Prompt) and sized else None

    def set_mask_size(self, size: MaskSize) -> None:
        """Let the click that is shown mean a mask of some size: an undo step."""
        key, before = self._key, self.mask_size()
        if key is None or before is None:
            self._say(NO_SIZE.format(unit=self._unit))
        elif size != before:
            self._prompts.set_mask_size(key, size)
            self._prompts.read()

    def next_mask_size(self) -> None:
        """Go on to the next size, after the largest to the network's own choice."""
        before = self.mask_size()
        place = 0 if before is None else MASK_SIZES.index(before)
        self.set_mask_size(MASK_SIZES[(place + 1) % len(MASK_SIZES)])

    # -- prompts of other frames

    def sources(self) -> tuple[int, ...]:
        """Return the other frames from which the selected object's prompt can be copied."""
        key, session = self._key, self._live.session
        frames = () if key is None or session is None else session.book.frames(key[0])
        return tuple(f for f in frames if key is not None and f != key[1])

    def copy_here(self, source: int | None = None) -> None:
        """Say on the frame that is shown what is said about the object on another: a step.

        Parameters
        ----------
        source : int, optional
            The other frame; by default the nearest one that is prompted.
        """
        key, session = self._key, self._live.session
        if key is None or session is None:
            self._say(f"Show a {self._unit} of the image, and wait until the model is loaded.")
            return
        if source is None:
            source = nearest_prompted(session.book, *key)
        prompt = None if source is None else session.book.get(key[0], source)
        if prompt is None or source is None:
            name = self._objects.names.get(key[0], f"object {key[0]}")
            self._say(f"{name} has no prompt on another {self._unit} that could be copied.")
            return
        replaced = self.shown is not None
        copy = copied(prompt, key[1], self._live.grid.size)
        if copy is None:
            self._say(f"Nothing of the prompt of {self._unit} {source:,} lies inside the image.")
        elif self._live.enter([copy]):
            instead = ", in place of what was said here" if replaced else ""
            text = f"The prompt of {self._unit} {source:,} is copied{instead}. "
            self._say(f"{text}Move its clicks to fit; Ctrl+Z takes it back.")

    def _say(self, text: str) -> None:
        self.message.emit(Message(text))

    @property
    def _key(self) -> Key | None:
        frame, selected = self._live.frame, self._objects.selected
        return None if frame is None or selected is None else (selected, frame)
