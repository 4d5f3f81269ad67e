"""How a propagation that was killed goes on exactly where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from napari_surgisam.data.mask_records import StepMasks
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.memory import Memory
from napari_surgisam.errors import DataError

LENGTH = 24
"""Steps whose memories are kept; SAM 2 looks back at 15 frames."""

StepMemories = Mapping[ObjectId, Memory]

_TENSORS = ("tokens", "pointer", "look", "mask")  # of a memory; some have only the first two


@dataclass(frozen=True, slots=True, eq=False)
class Interrupted:
    """What a propagation had done when it was interrupted.

    Parameters
    ----------
    steps : iterable of StepMasks
        In the order in which they were made; prompted frames do not matter.
    memories : mapping of (int, int) to mapping of ObjectId to Memory
        Exact memories by frame and direction. Where they are missing they are encoded again
        from the stored masks, which need not give the same masks to the last percent.
    """

    steps: Iterable[StepMasks] = ()
    memories: Mapping[tuple[int, int], StepMemories] = field(
        default_factory=lambda: MappingProxyType({})
    )


class MemoryTail:
    """The memories of the latest steps, in a ring of files; none is ever half there.

    Read what is there first: writing goes on behind the latest.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        folder.mkdir(exist_ok=True)

    def keep(self, frame: int, direction: int, memories: StepMemories) -> None:
        """Write the memories of a step over those of `LENGTH` steps before.

        Raises
        ------
        DataError
            If they cannot be written.
        """
        tensors, about = {}, {}
        for object_id, memory in memories.items():
            for name in _TENSORS:
                if (tensor := getattr(memory, name)) is not None:
                    tensors[f"{object_id}.{name}"] = tensor.detach().cpu().contiguous()
            regions = (memory.next_region, memory.region)
            places = [None if region is None else asdict(region) for region in regions]
            about[object_id] = [memory.iou, memory.presence, *places]
        step = {"number": self._count, "frame": frame, "direction": direction}
        header = json.dumps({**step, "objects": about})
        place = self._folder / f"{self._count % LENGTH:03d}.safetensors"
        new = place.with_suffix(".new")
        try:
            save_file(tensors, new, metadata={"about": header})
            os.replace(new, place)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise DataError(
                f"The memories of frame {frame} cannot be written to {self._folder}: {error}. "
                "What was done is kept. Make room, and go on with --resume."
            ) from error
        self._count += 1

    def read(self, device: torch.device) -> dict[tuple[int, int], StepMemories]:
        """Return what is kept, by frame and direction, on a device; what is damaged is not."""
        found: dict[tuple[int, int], StepMemories] = {}
        for file in sorted(self._folder.glob("*.safetensors")):
            with suppress(OSError, SafetensorError, ValueError, KeyError, TypeError):
                number, step, memories = _read(file, device)
                self._count = max(self._count, number + 1)
                found[step] = memories
        return found


def _read(file: Path, device: torch.device) -> tuple[int, tuple[int, int], StepMemories]:
    with safe_open(file, framework="pt") as tensors:
        about = json.loads(tensors.metadata()["about"])
        frame, direction = int(about["frame"]), int(about["direction"])
        names = set(tensors.keys())
        memories = {
            ObjectId(int(number)): Memory(
                frame=frame,
                iou=iou,
                presence=presence,
                next_region=None if following is None else Region(**following),
                region=None if region is None else Region(**region),
                **{
                    name: tensors.get_tensor(key).to(device)
                    for name in _TENSORS
                    if (key := f"{number}.{name}") in names
                },
            )
            for number, (iou, presence, following, region) in about["objects"].items()
        }
    return int(about["number"]), (frame, direction), memories
