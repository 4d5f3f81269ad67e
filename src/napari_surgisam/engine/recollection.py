"""From stored masks back to what the network made: exact while kept, rebuilt afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace

import torch

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.mask_records import StepMasks
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.bounded import BoundedStore
from napari_surgisam.engine.memory import Memory
from napari_surgisam.engine.network import Prediction, Query
from napari_surgisam.engine.tracker import Tracker

DEFAULT_BUDGET = 1 << 24
LEAST = 128
"""Masks that stay exact whatever they take: SAM 2's reach of 15 frames, for 8 objects."""


@dataclass(frozen=True, slots=True, eq=False)
class _Exact:
    """What is lost in a stored mask: unquantised tensors, the memory, the policy's state."""

    prediction: Prediction
    memory: Memory | None
    state: object = None

    @property
    def nbytes(self) -> int:
        tensors = [self.prediction.logits, self.prediction.pointers]
        if self.memory is not None:
            tensors += [self.memory.tokens, self.memory.pointer]
        return sum(t.numel() * t.element_size() for t in tensors)


class Recollection:
    """Predictions and memories of stored masks, within a byte budget.

    What the budget has dropped is rebuilt: the prediction from the stored logits, which
    costs nothing, the memory by encoding these again, which needs the frame's embedding.

    Parameters
    ----------
    source : FrameSource
    tracker : Tracker
    budget : int
        Bytes that exact predictions and memories may take together, 0 for none; else the `LEAST`
        latest are kept anyway.
    """

    def __init__(self, source: FrameSource, tracker: Tracker, budget: int = DEFAULT_BUDGET) -> None:
        self.source = source
        self.tracker = tracker
        self._exact: BoundedStore[StoredMask, _Exact] = BoundedStore(budget, LEAST if budget else 0)

    def store(
        self,
        prediction: Prediction,
        direction: int,
        memory: Memory | None = None,
        state: object = None,
    ) -> StoredMask:
        """Return a prediction as a mask to store, and keep what that loses.

        Parameters
        ----------
        prediction : Prediction
        direction : int
            Pass whose memories it was made with: 1, -1, or 0 for none.
        memory : Memory, optional
            What was made of it.
        state : object
            What the pass's memory policy carried on from this frame.
        """
        stored = StoredMask.from_logits(
            prediction.logits[prediction.choice].float().cpu().numpy(),
            iou=prediction.iou,
            presence=float(prediction.presence),
            pointer=prediction.pointer.float().cpu().numpy(),
            conditioning=prediction.prompted,
            direction=direction,
            region=prediction.region,
        )
        if not prediction.prompted:
            prediction = _chosen_alone(prediction)
        self._keep(stored, prediction, memory, state)
        return stored

    def restore(
        self, step: StepMasks, memories: Mapping[tuple[int, int], Mapping[ObjectId, Memory]]
    ) -> None:
        """Take up the exact memories of a step's masks, where they are among `memories`."""
        exact = memories.get((step.frame, step.direction), {})
        for object_id, stored in step.masks.items():
            if object_id in exact:
                self._keep(stored, _rebuilt(stored), exact[object_id])

    def prediction(self, stored: StoredMask) -> Prediction:
        """Return what the network answered; rebuilt, it has the chosen candidate only."""
        exact = self._exact.get(stored)
        return _rebuilt(stored) if exact is None else exact.prediction

    def state(self, stored: StoredMask) -> object:
        """Return what a memory policy carried on from a mask's frame; None once forgotten."""
        exact = self._exact.get(stored)
        return None if exact is None else exact.state

    def memories(self, frame: int, masks: list[StoredMask]) -> list[Memory]:
        """Return the memories of masks of one frame, encoding together what is not kept.

        A mask of another network is shown to this one first, as it is.
        """
        found: dict[int, Memory] = {}
        missing: list[tuple[int, Prediction]] = []
        for index, stored in enumerate(masks):
            exact = self._exact.get(stored)
            if exact is not None and exact.memory is not None:
                found[index] = exact.memory
            elif stored.pointer.size:
                missing.append((index, self.prediction(stored)))
            else:
                missing.append((index, self._shown(frame, stored)))
        if missing:
            region = missing[0][1].region
            device = self.tracker.embed(self.source, frame, region).features.device
            predictions = [_on(device, prediction) for _, prediction in missing]
            encoded = self.tracker.remember(self.source, frame, predictions)
            for (index, prediction), memory in zip(missing, encoded, strict=True):
                found[index] = memory
                self._keep(masks[index], prediction, memory)
        return [found[index] for index in range(len(masks))]

    def _shown(self, frame: int, stored: StoredMask) -> Prediction:
        query = Query(mask=stored.paint(self.source.shape), clip_length=len(self.source))
        (prediction,) = self.tracker.segment(self.source, frame, [query])
        return prediction

    def _keep(
        self,
        stored: StoredMask,
        prediction: Prediction,
        memory: Memory | None,
        state: object = None,
    ) -> None:
        exact = _Exact(prediction, memory, state)
        self._exact.keep(stored, exact, exact.nbytes)


class RememberedFrames(MutableMapping[int, Memory]):
    """Memories of one object's prompted frames, each encoded when it is first attended to."""

    def __init__(self, recollection: Recollection, masks: Mapping[int, StoredMask]) -> None:
        self._recollection = recollection
        self._masks = dict(masks)
        self._memories: dict[int, Memory] = {}

    def __getitem__(self, frame: int) -> Memory:
        if frame not in self._memories:
            (memory,) = self._recollection.memories(frame, [self._masks[frame]])
            self._memories[frame] = memory
        return self._memories[frame]

    def __setitem__(self, frame: int, memory: Memory) -> None:
        self._memories[frame] = memory

    def __delitem__(self, frame: int) -> None:
        self._masks.pop(frame, None)
        del self._memories[frame]

    def __contains__(self, frame: object) -> bool:
        return frame in self._memories or frame in self._masks

    def __iter__(self) -> Iterator[int]:
        return iter({**self._masks, **self._memories})

    def __len__(self) -> int:
        return len({*self._masks, *self._memories})


def _chosen_alone(prediction: Prediction) -> Prediction:
    chosen = slice(prediction.choice, prediction.choice + 1)
    return replace(
        prediction,
        logits=prediction.logits[chosen].clone(),
        ious=prediction.ious[chosen].clone(),
        pointers=prediction.pointers[chosen].clone(),
        choice=0,
    )


def _rebuilt(stored: StoredMask) -> Prediction:
    return Prediction(
        logits=torch.from_numpy(stored.logits())[None],
        ious=torch.tensor([stored.iou]),
        pointers=torch.from_numpy(stored.pointer).float()[None],
        presence=torch.tensor(stored.presence),
        prompted=stored.conditioning,
        choice=0,
        region=stored.region,
    )


def _on(device: torch.device, prediction: Prediction) -> Prediction:
    return replace(
        prediction,
        logits=prediction.logits.to(device),
        ious=prediction.ious.to(device),
        pointers=prediction.pointers.to(device),
        presence=prediction.presence.to(device),
    )
