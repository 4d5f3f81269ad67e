"""sam2's own video predictor, driven as its notebooks do; with random weights."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sam2.build_sam import build_sam2_video_predictor

from napari_surgisam.data.prompts import Prompt
from napari_surgisam.engine.sam2_network import POSTPROCESSING

if TYPE_CHECKING:
    from napari_surgisam.benchmark.footage import Footage

_PRESENCE = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"


class Official:
    """A `SAM2VideoPredictor` whose objects are always present.

    Parameters
    ----------
    config : str
        For example ``configs/sam2.1/sam2.1_hiera_t.yaml``.
    image_size : int
    device : str

    References
    ----------
    Ravi et al., SAM 2: Segment Anything in Images and Videos, arXiv:2408.00714.
    """

    def __init__(self, config: str, image_size: int, device: str) -> None:
        torch.manual_seed(0)
        self.predictor: Any = build_sam2_video_predictor(
            config,
            device=device,
            hydra_overrides_extra=[*POSTPROCESSING, f"++model.image_size={image_size}"],
            apply_postprocessing=False,
        )
        self.predictor.load_state_dict(
            {**self.predictor.state_dict(), _PRESENCE: torch.tensor([10.0])}
        )
        self.device = torch.device(device)

    def save(self, path: Path) -> Path:
        """Write the weights to a checkpoint that others can load."""
        state = {name: tensor.cpu() for name, tensor in self.predictor.state_dict().items()}
        torch.save({"model": state}, path)
        return path

    def first_pass(
        self, footage: Footage, prompts: Sequence[Prompt], precision: torch.dtype
    ) -> tuple[float, float]:
        """Return seconds to load the frames, and from there to the last mask."""
        with self._scope(precision):
            start = time.perf_counter()
            state = self.predictor.init_state(str(footage.pictures))
            loaded = time.perf_counter()
            self._tell(state, prompts)
            self._propagate(state)
            return loaded - start, time.perf_counter() - loaded

    def corrected(
        self,
        footage: Footage,
        prompts: Sequence[Prompt],
        correction: Prompt,
        precision: torch.dtype,
    ) -> Iterator[float]:
        """Make a first pass, then yield seconds from a correction to the last mask, for ever."""
        with self._scope(precision):
            state = self.predictor.init_state(str(footage.pictures))
            self._tell(state, prompts)
            self._propagate(state)
        while True:
            with self._scope(precision):
                start = time.perf_counter()
                self._tell(state, [correction])
                self._propagate(state)
                seconds = time.perf_counter() - start
            yield seconds

    @contextmanager
    def _scope(self, precision: torch.dtype) -> Iterator[None]:
        half = precision != torch.float32
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half),
            redirect_stderr(io.StringIO()),  # its progress bars
        ):
            yield

    def _tell(self, state: Any, prompts: Sequence[Prompt]) -> None:
        for prompt in prompts:
            self.predictor.add_new_points_or_box(
                state,
                prompt.frame,
                int(prompt.object_id),
                points=[[p.x, p.y] for p in prompt.points],
                labels=[int(p.positive) for p in prompt.points],
            )

    def _propagate(self, state: Any) -> None:
        for _, _, logits in self.predictor.propagate_in_video(state):
            (logits > 0).cpu().numpy()
