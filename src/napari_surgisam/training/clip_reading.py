"""From labelled cases to what a step practises: one clip around one sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.data.prompts import Box
from napari_surgisam.data.regions import ROOM, Region, bounds, closer, mask_bounds, square_around
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.network import FrameEmbedding, Network
from napari_surgisam.engine.resizing import resize_images
from napari_surgisam.engine.views import FrameView
from napari_surgisam.evaluation.cases import OpenCase
from napari_surgisam.training.augmentation import Augmentation
from napari_surgisam.training.clips import Sample
from napari_surgisam.training.recipes import Recipe

Place = tuple[str, int, Region | None]
"""A case, a frame, and the part of it that is seen."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledClip:
    """One clip with its objects, as a batch of one.

    Parameters
    ----------
    images : (1, T, 3, S, S) uint8 Tensor
        Empty where embeddings are cached.
    labels : (1, T, S, S) uint8 Tensor
        1 is the sample's object, 2 and on are others that are seen with it; where classes are
        learned by name, their numbers from 1.
    sample : Sample
    places : tuple of Place
        Where each of the T frames is from.
    """

    images: Tensor
    labels: Tensor
    sample: Sample
    places: tuple[Place, ...]

    def mask(self, clip: int, label: int, *, whole: bool = False) -> Tensor:
        """Return the (T, S, S) bool mask of an object; objects have no parts here."""
        return self.labels[clip] == label

    def first_frame(self) -> LabelledClip:
        """Return the clip's first frame alone."""
        return replace(
            self,
            images=self.images[:, :1],
            labels=self.labels[:, :1],
            places=self.places[:1],
        )


@dataclass(frozen=True, eq=False)
class ClipReader:
    """Cuts clips out of labelled cases.

    Parameters
    ----------
    cases : mapping of str to OpenCase
    recipe : Recipe
    size : int
        Side of a frame before the network, in pixels.
    focused : bool
        Whether the network will be used with a focus window: then most clips show the
        surroundings of an object, as that does.
    device : torch.device
    augmentation : Augmentation or None
    classes : sequence of str
        To be learned by name; then clips are frames from anywhere in a case, or one frame
        where a class is looked at more closely.
    """

    cases: Mapping[str, OpenCase]
    recipe: Recipe
    size: int
    focused: bool
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    augmentation: Augmentation | None = field(default_factory=Augmentation)
    classes: Sequence[str] = ()

    def read(self, sample: Sample, seed: Sequence[int]) -> LabelledClip:
        """Cut out a clip that begins with a sample.

        Parameters
        ----------
        sample : Sample
        seed : sequence of int
            All that the cut and its changes depend on.

        Raises
        ------
        DataError
            If a frame cannot be read.
        """
        random = np.random.default_rng(list(seed))
        case = self.cases[sample.case]
        if self.classes:
            frames, region = self._scattered(case, sample, random)
            labels = self._classes(case, frames, region)
        else:
            frames = self._frames(case, sample, random)
            region = self._region(case, sample, frames, random)
            labels = self._labels(case, sample, frames, region)
        places = tuple((sample.case, frame, region) for frame in frames)
        if self.recipe.cached:
            images = torch.zeros(1, len(frames), 3, 0, 0, dtype=torch.uint8)
            return LabelledClip(images, labels[None].to(self.device), sample, places)
        images = self._images(case, frames, region)
        if self.augmentation is not None:
            changes = torch.Generator().manual_seed(int(random.integers(2**62)))
            changed, moved = self.augmentation(images, labels, changes)
            if (moved[0] == 1).any():  # else the object was moved out of sight
                images, labels = changed, moved
        return LabelledClip(
            images[None].to(self.device), labels[None].to(self.device), sample, places
        )

    def _frames(self, case: OpenCase, sample: Sample, random: np.random.Generator) -> list[int]:
        """Draw the clip's frames among the labelled ones, forward or backward."""
        labelled = case.truth.frames
        here = labelled.index(sample.frame)
        wanted = 1 if random.random() < self.recipe.image_share else self.recipe.frames
        strides = list(self.recipe.strides)
        stride = strides[random.choice(len(strides), p=list(self.recipe.strides.values()))]
        ways = [labelled[here::stride], labelled[here::-stride]]
        way = ways[int(random.random() < 0.5)]
        if len(way) < wanted:
            way = max(ways, key=len)
        if wanted > 1 + self.recipe.far and self.recipe.far and random.random() < 0.5:
            return self._near_and_far(way, wanted, random)
        return list(way[:wanted])

    def _near_and_far(
        self, way: Sequence[int], wanted: int, random: np.random.Generator
    ) -> list[int]:
        """Draw frames after the first: some from anywhere, then a run of neighbours."""
        run = wanted - 1 - self.recipe.far
        if len(way) <= wanted:
            return list(way)
        start = int(random.integers(1 + self.recipe.far, len(way) - run + 1))
        between = random.choice(np.arange(1, start), self.recipe.far, replace=False)
        return [way[0], *(way[k] for k in sorted(between)), *way[start : start + run]]

    def _region(
        self, case: OpenCase, sample: Sample, frames: Sequence[int], random: np.random.Generator
    ) -> Region | None:
        """Return the part of the frames to see, as a focus window would."""
        shape = case.frames.shape
        whole = random.random() < (0.15 if self.focused else 0.8)
        if whole and self._survives(case, sample):
            return None
        masks = (case.truth.mask(sample.object_id, frame) for frame in frames)
        boxes = [box for mask in masks if (box := mask_bounds(mask, None, shape)) is not None]
        box = bounds(boxes=boxes[:1] if self.recipe.cached else boxes)
        room, away = ROOM, (0.0, 0.0)
        if not self.recipe.cached:
            room *= float(random.uniform(0.7, 1.6))
            away = (float(random.uniform(-0.3, 0.3)), float(random.uniform(-0.3, 0.3)))
        side = max(box.y1 - box.y0, box.x1 - box.x0)
        moved = Box(
            box.y0 + away[0] * side,
            box.x0 + away[1] * side,
            box.y1 + away[0] * side,
            box.x1 + away[1] * side,
        )
        least = self.size // 4
        return square_around(bounds(boxes=[box, moved]), max(room * side, least), shape)

    def _scattered(
        self, case: OpenCase, sample: Sample, random: np.random.Generator
    ) -> tuple[list[int], Region | None]:
        """Draw whole frames from anywhere, or look closer at the sample as the tracker does."""
        if self.focused and random.random() < 0.5:
            name, labels = sample.class_name, case.truth.on(sample.frame)
            alike = [n for n in np.unique(labels) if n and case.classes.name(case.name, n) == name]
            box = mask_bounds(np.isin(labels, alike), None, case.frames.shape)
            if box and (region := closer(box, case.frames.shape, self.size // 4)) is not None:
                return [sample.frame], region
        others = [frame for frame in case.truth.frames if frame != sample.frame]
        wanted = min(self.recipe.frames - 1, len(others))
        return [sample.frame, *random.choice(others, wanted, replace=False).tolist()], None

    def _classes(self, case: OpenCase, frames: Sequence[int], region: Region | None) -> Tensor:
        """Return (T, S, S) labels: the numbers of classes, from 1."""
        stack = np.stack([case.truth.on(frame) for frame in frames])
        renamed = np.zeros(stack.shape, np.uint8)
        for label in case.truth.object_ids:
            name = case.classes.name(case.name, label)
            renamed[stack == label] = list(self.classes).index(name) + 1
        cut = renamed if region is None else np.stack([region.crop(one) for one in renamed])
        return torch.from_numpy(_nearest(cut, self.size))

    def _survives(self, case: OpenCase, sample: Sample) -> bool:
        """Whether an object is still seen where the whole frame is resized."""
        labels = self._labels(case, sample, [sample.frame], None)
        return bool((labels == 1).any())

    def _images(self, case: OpenCase, frames: Sequence[int], region: Region | None) -> Tensor:
        images = []
        for frame in frames:
            image = case.frames.read(frame)
            image = np.ascontiguousarray(image if region is None else region.crop(image))
            images.append(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])
        return torch.cat([resize_images(image, self.size) for image in images])

    def _labels(
        self, case: OpenCase, sample: Sample, frames: Sequence[int], region: Region | None
    ) -> Tensor:
        """Return (T, S, S) labels: 1 the sample's object, others that its first frame shows."""
        stack = [case.truth.on(frame) for frame in frames]
        cut = np.stack([labels if region is None else region.crop(labels) for labels in stack])
        numbers, areas = np.unique(cut[0], return_counts=True)
        others = [
            int(n)
            for _, n in sorted(zip(-areas, numbers, strict=True))
            if n not in (0, sample.object_id)
        ]
        kept = [int(sample.object_id), *others[: self.recipe.lesson.objects - 1]]
        renamed = np.zeros(cut.shape, np.uint8)
        for number, label in enumerate(kept, start=1):
            renamed[cut == label] = number
        return torch.from_numpy(_nearest(renamed, self.size))


def embed_cached(
    clip: LabelledClip, cases: Mapping[str, OpenCase], network: Network, cache: EmbeddingCache
) -> list[FrameEmbedding]:
    """Return the embeddings of a clip's frames, computed once while the cache keeps them."""
    side = clip.labels.shape[-1]
    found = []
    for case, frame, region in clip.places:
        view = FrameView(network, cache, cases[case].frames, frame)
        found.append(replace(view.embed([region])[0], size=(side, side)))
    return found


@dataclass(frozen=True, eq=False)
class Schedule:
    """Which sample comes when: every epoch all of them, in an order of its own.

    Parameters
    ----------
    samples : sequence of Sample
    seed : int
    """

    samples: Sequence[Sample]
    seed: int

    def __call__(self, place: int) -> Sample:
        """Return the sample at a place counted over all epochs and processes."""
        epoch, rest = divmod(place, len(self.samples))
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(len(self.samples))
        return self.samples[int(order[rest])]


def _nearest(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize (T, h, w) labels to squares, by the nearest pixel's centre."""
    places = partial(_centres, size=size)
    rows, columns = places(labels.shape[1]), places(labels.shape[2])
    return np.ascontiguousarray(labels[:, rows][:, :, columns])


def _centres(length: int, size: int) -> NDArray[np.intp]:
    return np.minimum(((np.arange(size) + 0.5) * length / size).astype(np.intp), length - 1)
