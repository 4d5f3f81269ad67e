"""Random weights that notice what memories say and when they are from, and a film for them.

Random weights as they come prove little: reversing all temporal rows moves the logits by
less than any tolerance.
"""

import re

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

GAINS = {  # by the end of a weight's name; all others stay as they are
    r"maskmem_tpos_enc": 50.0,  # as large as what it is added to
    r"obj_ptr_tpos_proj.weight": 20.0,
    r"obj_ptr_proj.*weight": 3.0,
    r"no_obj_ptr|no_obj_embed_spatial|no_mem_embed": 20.0,
    r"cross_attn_image.(v|out)_proj.weight": 3.0,  # memories matter
    r"memory_encoder.out_proj.weight": 4.0,
    r"memory_encoder.mask_downsampler.encoder.12.weight": 0.5,
    r"sam_mask_decoder.transformer.*out_proj.weight": 2.0,
    r"output_hypernetworks.*weight": 2.0,
    r"iou_prediction_head.*weight": 3.0,
}
MEMORY_OFFSET = 64.0  # rounding to bfloat16 is relative: an offset makes it count
PRESENT = 5.0  # bias of the presence head: random weights would see nothing


def rescale(model):
    """Make random weights sensitive to what memories say, and when they are from."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            for pattern, gain in GAINS.items():
                if re.search(f"({pattern})$", name):
                    value.mul_(gain)
            if "memory_encoder.fuser" in name and name.endswith("gamma"):
                value.fill_(0.5)
            if name == "memory_encoder.out_proj.bias":
                value.copy_(value.sign() * MEMORY_OFFSET)
            if name == "sam_mask_decoder.pred_obj_score_head.layers.2.bias":
                value.fill_(PRESENT)
        offset = model.memory_encoder.out_proj.bias.sign()
        for layer in model.memory_attention.layers:  # which must not drown the memories
            for projection in (layer.cross_attn_image.k_proj, layer.cross_attn_image.v_proj):
                along = projection.weight @ offset / len(offset)
                projection.weight.sub_(along[:, None] * offset)


def write_film(folder, length, height=90, width=120):
    """Write a film of three discs that move over a moving texture as numbered JPEGs."""
    random = np.random.default_rng(0)
    unit = height / 90
    texture = random.standard_normal((height + 2 * length, width + 3 * length, 3))
    texture = ndimage.gaussian_filter(texture, (4, 4, 0))
    texture = 150 * (texture - texture.min()) / np.ptp(texture)
    rows, columns = np.ogrid[:height, :width]
    folder.mkdir()
    for t in range(length):
        image = texture[2 * t : 2 * t + height, 3 * t : 3 * t + width].copy()
        for y, x, radius, colour in (
            (30, 20 + 3 * t, 14, (255, 80, 60)),
            (60, 90 - 2 * t, 12, (60, 255, 90)),
            (20 + 2 * t, 70, 10, (80, 90, 255)),
        ):
            image[(rows - y * unit) ** 2 + (columns - x * unit) ** 2 < (radius * unit) ** 2] = (
                colour
            )
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{t:05d}.jpg", quality=95)
    return folder
