"""A network that thresholds brightness and a film of moving discs: no weights, no files."""

import threading
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from napari_surgisam.engine.memory import Memory
from napari_surgisam.engine.network import FrameEmbedding, Prediction, Query, Traits

TOLERANCE = 20.0  # grey levels around an object's own brightness


class FakeNetwork:
    """An object is what is as bright as the clicked pixel, or as the remembered pointer.

    A negative point clears its surroundings. One click without memory gives three masks of
    growing tolerance. `queries` and `remembered` record what was asked. Of `classes`, the label
    is the brightness, too.
    """

    memory_slots = 6
    pointer_slots = 15
    image_size = 128
    mask_size = 32
    device = torch.device("cpu")
    traits = Traits()
    classes: ClassVar[dict[str, int]] = {}

    def __init__(self, encoder_fingerprint: str = "fake") -> None:
        self.encoder_fingerprint = encoder_fingerprint
        self.embedded = 0
        self.queries: list[Query] = []
        self.remembered: list[int] = []

    def embed(self, images):
        self.embedded += len(images)
        grey = images.float().mean(dim=1, keepdim=True)
        size = (self.mask_size, self.mask_size)
        features = F.interpolate(grey, size=size, mode="bilinear", align_corners=False)
        return [FrameEmbedding(f, (), tuple(images.shape[-2:])) for f in features.split(1)]

    def segment(self, embedding, queries):
        self.queries.extend(queries)
        shared = isinstance(embedding, FrameEmbedding)
        frames = [embedding] * len(queries) if shared else embedding
        return [self._answer(e, q) for e, q in zip(frames, queries, strict=True)]

    def remember(self, embedding, predictions, frame):
        self.remembered.extend([frame] * len(predictions))
        return [
            Memory(frame, p.mask_logits[None, None].clone(), p.pointer, p.iou, float(p.presence))
            for p in predictions
        ]

    def _answer(self, embedding, query):
        image, (height, width) = embedding.features[0, 0], embedding.size
        rows = (torch.arange(self.mask_size) + 0.5) * height / self.mask_size - 0.5
        columns = (torch.arange(self.mask_size) + 0.5) * width / self.mask_size - 0.5

        def at(y, x):
            return int((rows - y).abs().argmin()), int((columns - x).abs().argmin())

        if query.mask is not None:
            mask = torch.from_numpy(query.mask).float()[None, None]
            logits = F.interpolate(mask, size=image.shape)[0, 0] * 20 - 10
            brightness = image[logits > 0].mean() if (logits > 0).any() else torch.tensor(-1e3)
            return self._prediction([logits], [1.0], brightness, query)
        positive = [p for p in query.points if p.positive]
        if query.class_name:
            brightness = torch.tensor(float(self.classes[query.class_name]))
        elif positive:
            brightness = torch.stack([image[at(p.y, p.x)] for p in positive]).mean()
        elif query.box is not None:
            box = query.box
            brightness = image[at((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2)]
        elif query.recall is not None:
            brightness = torch.stack([m.pointer[0] for _, m in query.recall.pointers]).mean()
        else:
            brightness = torch.tensor(-1e3)  # nothing said, nothing there
        far = (image - brightness).abs()
        one_click = len(query.points) == 1 and query.box is None and query.recall is None
        tolerances = [1.0, 0.5, 2.0] if one_click and query.previous_logits is None else [1.0]
        logits = [10 * (1 - far / (TOLERANCE * t)).clamp(min=-1) for t in tolerances]
        if query.previous_logits is not None:
            logits = [torch.minimum(m, query.previous_logits + 10.0) for m in logits]
        for point in query.points:
            if not point.positive:
                disc = (rows[:, None] - point.y) ** 2 + (columns - point.x) ** 2 < 36
                logits = [torch.where(disc, -10.0, m) for m in logits]
        return self._prediction(logits, [0.9, 0.8, 0.7][: len(logits)], brightness, query)

    def _prediction(self, logits, ious, brightness, query):
        maps = torch.stack(logits)
        pointers = torch.stack([brightness, torch.tensor(1.0)]).expand(len(maps), 2)
        presence = torch.where((maps[0] > 0).any(), 10.0, -10.0)
        return Prediction(maps, torch.tensor(ious), pointers, presence, query.prompted, 0)


@dataclass
class MovingDiscs:
    """A dark film with one disc per grey level, all moving down to the right.

    Parameters
    ----------
    length : int
    levels : tuple of int
        Grey level of each disc; they start below each other.
    hidden : mapping of int to range
        Frames without the disc of a level.
    """

    length: int = 12
    levels: tuple[int, ...] = (230,)
    shape: tuple[int, int] = (48, 64)
    hidden: dict[int, range] = field(default_factory=dict)
    temporal: bool = True
    axis: int = 0
    ndim: int = 3
    spacing = None
    affine = None

    def __post_init__(self):
        self.reads: list[int] = []
        self._lock = threading.Lock()

    @property
    def fingerprint(self):
        return f"discs-{self.length}-{self.levels}-{self.shape}"

    def __len__(self):
        return self.length

    def centre(self, level, frame):
        height, width = self.shape
        lane = (self.levels.index(level) + 0.5) * height / len(self.levels)
        return lane, 8 + (width - 16) * frame / max(self.length - 1, 1)

    def mask(self, level, frame):
        if frame in self.hidden.get(level, ()):
            return np.zeros(self.shape, bool)
        y, x = self.centre(level, frame)
        radius = min(7.0, self.shape[0] / len(self.levels) / 2 - 1)
        rows, columns = np.ogrid[: self.shape[0], : self.shape[1]]
        return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2

    def read(self, frame):
        with self._lock:
            self.reads.append(frame)
        image = np.full(self.shape, 20, np.uint8)
        for level in self.levels:
            image[self.mask(level, frame)] = level
        return np.repeat(image[..., None], 3, axis=2)


class HaloDiscs(MovingDiscs):
    """Discs with two fainter rings: one click may mean the disc, or one ring more, or both."""

    def read(self, frame):
        image = super().read(frame)
        rows, columns = np.ogrid[: self.shape[0], : self.shape[1]]
        for level in self.levels:
            y, x = self.centre(level, frame)
            distance = np.hypot(rows - y, columns - x)
            for outer, darker in ((16, 34), (12, 14)):
                ring = (distance <= outer) & ~self.mask(level, frame)
                image[ring] = level - darker
        return image
