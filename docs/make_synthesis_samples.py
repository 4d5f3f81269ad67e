"""Make the pictures of `docs/synthesis.md`: what the embedded model is trained on.

Run from the repository's root: ``python docs/make_synthesis_samples.py``.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.color import label2rgb

from napari_surgisam.training.synthesis import SyntheticBatch, SyntheticClips

IMAGES = Path(__file__).parent / "images"


def shown(batch: SyntheticBatch, clip: int, frame: int) -> NDArray[np.uint8]:
    """Return a frame above itself with its objects painted over it."""
    image = batch.images[clip, frame].permute(1, 2, 0).numpy()
    painted = label2rgb(batch.labels[clip, frame].numpy(), image, alpha=0.45, bg_label=0)
    return np.concatenate([image, (painted * 255).astype(np.uint8)])


def main() -> None:
    """Write one sheet of single frames and one of clips."""
    torch.set_num_threads(1)
    (frames,) = islice(SyntheticClips(40, 1, 128, seed=7), 1)
    rows = [
        np.concatenate([shown(frames, 10 * row + column, 0) for column in range(10)], axis=1)
        for row in range(4)
    ]
    Image.fromarray(np.concatenate(rows)).save(IMAGES / "synthetic_frames.jpg", quality=88)
    (clips,) = islice(SyntheticClips(5, 10, 128, seed=21, layers=6), 1)
    rows = [
        np.concatenate([shown(clips, clip, frame) for frame in range(10)], axis=1)
        for clip in range(5)
    ]
    Image.fromarray(np.concatenate(rows)).save(IMAGES / "synthetic_clips.jpg", quality=88)


if __name__ == "__main__":
    main()
