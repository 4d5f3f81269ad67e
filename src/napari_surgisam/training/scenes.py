"""One batch of synthetic scenes: what is where, how it moves, and in which colours."""

from __future__ import annotations

from math import pi

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage as ndi
from torch import Tensor

from napari_surgisam.training import shapes
from napari_surgisam.training.draws import Draws, over_frames, over_images
from napari_surgisam.training.optics import Look, degrade
from napari_surgisam.training.palettes import draw_palette
from napari_surgisam.training.textures import TexturePool
from napari_surgisam.training.tissue import in_relief, lumen, stained

REGIONS = 5  # tissues of a partitioned background
LARGEST = 0.6  # share of the frame: a larger region is background, not an object


def paint_scene(
    draws: Draws,
    pool: TexturePool,
    *,
    frames: int,
    size: int,
    layers: int,
    difficulty: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw one batch of clips.

    Returns
    -------
    images : (B, T, 3, S, S) uint8 Tensor
    labels : (B, T, S, S) uint8 Tensor
        1 to `layers` are objects, from the back to the front; higher ones are regions of a
        partitioned background.
    parents : (B, layers + REGIONS + 1) long Tensor
        Label of the object that an object is a part of, or 0.
    """
    scene = _Scene(draws, pool, frames, size, layers, difficulty)
    return scene.paint()


class _Scene:
    """The random choices that a batch's clips share their code for."""

    def __init__(
        self,
        draws: Draws,
        pool: TexturePool,
        frames: int,
        size: int,
        layers: int,
        difficulty: float,
    ) -> None:
        self.draws, self.pool = draws, pool
        self.frames, self.size, self.layers = frames, size, layers
        self.difficulty = difficulty
        self.look = draws.choose([0.35, 0.2, 0.27, 0.07, 0.11], draws.batch)
        self.time = self._times()
        self.shake = draws.uniform(0, 1)[:, None, None]

    def paint(self) -> tuple[Tensor, Tensor, Tensor]:
        draws, batch, layers = self.draws, self.draws.batch, self.layers
        device = draws.random.device
        axis = (torch.arange(self.size, device=device) + 0.5) / self.size * 2 - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        grid = torch.stack([x, y], dim=-1)  # (S, S, 2), x and y in [-1, 1]
        camera = self._camera(grid)
        kinds = self._kinds()
        base, amplitude = draw_palette(draws, self.pool, self.look, kinds, self.difficulty)
        images = self._textured(camera, base[:, 0], amplitude[:, 0])
        images, regions = self._partitioned(images, camera, base, amplitude)
        images = lumen(draws, images, camera, self.look)
        labels = torch.zeros(batch, self.frames, self.size, self.size, device=device).byte()
        parents = torch.zeros(batch, layers + REGIONS + 1, dtype=torch.long, device=device)
        centres, sizes, parents[:, 1 : layers + 1], counts = self._layout(kinds)
        for layer in range(layers):
            where, seen = self._motion(centres[:, layer], sizes[:, layer], camera)
            field = shapes.signed_distance(draws, kinds[:, layer], where, self.time)
            field = field * over_frames(sizes[:, layer])
            field = torch.where(over_frames(layer < counts) & seen, field, -9.0)
            softness = draws.log_uniform(0.003, 0.015)
            softness = torch.where(draws.chance(0.2), softness * 4, softness)
            alpha = torch.sigmoid(field / over_frames(softness))
            texture = self._textured(where, base[:, layer + 1], amplitude[:, layer + 1])
            texture = self._banded(texture, where, kinds[:, layer], base)
            texture = self._shaded(texture, field, sizes[:, layer])
            tool = kinds[:, layer] == shapes.ROD
            texture, alpha = stained(draws, images, texture, alpha, self.look, tool)
            texture = in_relief(draws, texture, field, sizes[:, layer], self.look)
            images = self._surroundings(images, field)
            images = images + (texture - images) * alpha[:, :, None]
            labels = torch.where(alpha > 0.5, torch.tensor(layer + 1, device=device).byte(), labels)
        images, shown = degrade(draws, images, self.look, grid)
        seen = (shown > 0.5)[:, None]
        labels = _with_regions(labels * seen, regions * seen, layers)
        return (images * 255).round().to(torch.uint8), labels, parents

    # -- time and place

    def _times(self) -> Tensor:
        """Return (B, T) times from 0, in uneven steps: dropped frames and missing slices.

        Half of the clips are slow: from one frame to the next most films and scans change little.
        """
        if self.frames == 1:
            return torch.zeros(self.draws.batch, 1, device=self.look.device)
        steps = (self.draws.normal(self.draws.batch, self.frames) * 0.6).exp()
        steps[:, 0] = 0
        passed = steps.cumsum(1)
        return passed / passed[:, -1:] * self.draws.log_uniform(0.08, 1.0)[:, None]

    def _jitter(self, scale: float) -> Tensor:
        steps = self.draws.normal(self.draws.batch, self.frames, 2) * scale
        return steps * self.shake * (self.time > 0)[..., None]

    def _camera(self, grid: Tensor) -> Tensor:
        """Return (B, T, S, S, 2) coordinates that drift, turn and zoom, and now and then jump."""
        draws, batch = self.draws, self.draws.batch
        restless = torch.where(self.look == Look.ENDOSCOPY, 1.5, 1.0)
        moving = ((~draws.chance(0.35)) * restless)[:, None]
        t = self.time
        shift = draws.normal(batch, 1, 2) * 0.25 * (moving * t)[..., None]
        shift = shift + self._jitter(0.025) * moving[..., None]
        angle = draws.normal(batch, 1) * 0.2 * moving * t
        zoom = draws.normal(batch, 1) * 0.2 * moving * t
        # a focus window that moves or grows, a cut, a shaken probe
        jumped = (t > draws.uniform(0.05, 0.9)[:, None]) * draws.chance(0.25)[:, None]
        shift = shift + draws.normal(batch, 1, 2) * 0.15 * jumped[..., None]
        zoom = zoom + draws.normal(batch, 1) * 0.3 * jumped
        return _transform(grid[None, None], shift, angle, zoom.exp())

    def _layout(self, kinds: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (B, L, 2) centres, (B, L) half-sizes, (B, L) parents and (B,) counts."""
        draws, batch, layers = self.draws, self.draws.batch, self.layers
        crowd = self.look == Look.MICROSCOPY
        rows = torch.arange(batch, device=crowd.device)
        counts = draws.choose([1.0] * layers, batch) + 1
        counts = torch.where(crowd, layers, counts)
        centres = draws.uniform(-0.85, 0.85, batch, layers, 2)
        smallest = 0.25 * (0.06 / 0.25) ** self.difficulty
        sizes = draws.log_uniform(smallest, 0.8, batch, layers)
        common = draws.log_uniform(0.12, 0.45)  # alike cells share one size
        alike = common[:, None] * draws.uniform(0.8, 1.25, batch, layers)
        sizes = torch.where(crowd[:, None], alike, sizes)
        sizes = torch.where(kinds == shapes.ROD, sizes.clamp(min=0.2), sizes)
        order = sizes.argsort(dim=1, descending=True)
        keep = torch.arange(layers, device=crowd.device).expand(batch, -1)
        sizes = sizes.gather(1, torch.where(draws.chance(0.75)[:, None], order, keep))
        parents = torch.zeros(batch, layers, dtype=torch.long, device=crowd.device)
        for layer in range(1, layers):
            host = (draws.uniform(0, 1) * layer).long().clamp(max=layer - 1)
            inside = draws.chance(0.4) & ~crowd
            near = centres[rows, host]
            near = near + draws.normal(batch, 2) * 0.3 * sizes[rows, host, None]
            angle = draws.uniform(0, 2 * pi)
            beside = torch.stack([angle.cos(), angle.sin()], -1) * common[:, None] * 1.9
            beside = centres[rows, host] + beside
            touching = crowd & draws.chance(0.7)
            centres[:, layer] = torch.where(inside[:, None], near, centres[:, layer])
            centres[:, layer] = torch.where(touching[:, None], beside, centres[:, layer])
            smaller = sizes[rows, host] * draws.uniform(0.3, 0.6)
            sizes[:, layer] = torch.where(inside, smaller, sizes[:, layer])
            parents[:, layer] = torch.where(inside, host + 1, 0)
        return centres, sizes, parents, counts

    def _motion(self, centre: Tensor, size: Tensor, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, T, S, S, 2) coordinates in the object's frame, and (B, T, 1, 1) if seen."""
        draws, batch = self.draws, self.draws.batch
        t = self.time
        section = self.look == Look.TOMOGRAPHY
        free = torch.where(section, 0.15, 1.0)[:, None, None]
        wander = draws.normal(batch, 1, 2) * 0.45 * t[..., None] + self._jitter(0.03)
        # some leave and come back
        heading = F.normalize(draws.normal(batch, 1, 2), dim=-1)
        away = (draws.chance(0.2)[:, None] * torch.sin(pi * t) * 1.6)[..., None]
        shift = centre[:, None] + (wander + away * heading) * free
        angle = draws.uniform(0, 2 * pi)[:, None] + draws.normal(batch, 1) * 0.5 * t
        growth = (draws.normal(batch, 1) * 0.4 * t).exp()
        # what a section shows of a body that ends above and below
        ends = (section & draws.chance(0.8)) | draws.chance(0.08)
        middle, reach = draws.normal(batch, 1) * 0.2, draws.log_uniform(0.2, 1.5, batch, 1)
        profile = (1 - ((t - middle) / reach).square()).clamp(min=0).sqrt()
        profile = torch.where(ends[:, None], profile, 1.0)
        shown = size[:, None] * growth * profile.clamp(min=0.02)
        seen = (profile > 0.15)[..., None, None]
        return _transform(camera, shift, angle, shown), seen

    # -- looks

    def _kinds(self) -> Tensor:
        draws, batch = self.draws, self.draws.batch
        kinds = draws.choose([0.42, 0.14, 0.12, 0.14, 0.07, 0.11], batch, self.layers)
        tool = draws.chance(0.35, batch, self.layers) & (self.look == Look.ENDOSCOPY)[:, None]
        kinds = torch.where(tool, shapes.ROD, kinds)
        organic = (self.look == Look.TOMOGRAPHY) | (self.look == Look.ULTRASOUND)
        round_ = organic[:, None] & ((kinds == shapes.POLYGON) | (kinds == shapes.ROD))
        cells = (self.look == Look.MICROSCOPY)[:, None]
        return torch.where(round_ | cells, shapes.BLOB, kinds)

    def _textured(self, where: Tensor, base: Tensor, amplitude: Tensor) -> Tensor:
        """Return (B, T, 3, S, S) colour: a texture that moves with the coordinates."""
        draws = self.draws
        batch, frames = where.shape[:2]
        scale = draws.log_uniform(0.5, 2.5)[:, None, None, None, None]
        coordinates = where * scale * 0.5 + draws.uniform(-0.5, 0.5, batch, 1, 1, 1, 2)
        coordinates = (coordinates + 1).remainder(4.0)
        coordinates = torch.where(coordinates > 2, 4 - coordinates, coordinates) - 1  # mirror
        patterns = self.pool.draw(batch)
        pattern = F.grid_sample(
            patterns[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1),
            coordinates.flatten(0, 1),
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        ).view(batch, frames, 3, *where.shape[2:4])
        coloured = over_images(self.look == Look.NATURAL)
        pattern = torch.where(coloured, pattern, pattern.mean(2, keepdim=True))
        return base[:, None, :, None, None] + amplitude[:, None, :, None, None] * pattern

    def _partitioned(
        self, images: Tensor, camera: Tensor, base: Tensor, amplitude: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Lay regions over the ground; their (B, T, S, S) numbers are 0 where there are none."""
        draws, batch = self.draws, self.draws.batch
        likely = torch.tensor([0.12, 0.2, 0.55, 0.3, 0.1], device=self.look.device)
        split = draws.chance(likely[self.look])
        shares = shapes.partition(draws, camera, self.time, REGIONS)
        tone = base.gather(
            1, draws.choose([1.0] * base.shape[1], batch, REGIONS)[..., None].expand(-1, -1, 3)
        )
        tone = tone + draws.normal(batch, REGIONS, 1) * 0.06
        rough = amplitude[:, :REGIONS] if amplitude.shape[1] >= REGIONS else amplitude[:, :1]
        pattern = self._textured(camera, torch.zeros_like(base[:, 0]), torch.ones_like(base[:, 0]))
        colour = torch.einsum("btrhw,brc->btchw", shares, tone)
        depth = torch.einsum("btrhw,brc->btchw", shares, rough.expand(-1, REGIONS, -1))
        images = torch.where(over_images(split), colour + depth * pattern, images)
        numbers = shares.argmax(dim=2) + 1
        return images, torch.where(over_frames(split), numbers, 0)

    def _banded(self, texture: Tensor, where: Tensor, kind: Tensor, base: Tensor) -> Tensor:
        """Give an object two colours or shades: a dark shaft with a bright tip, a striped coat."""
        draws, batch = self.draws, self.draws.batch
        tool = kind == shapes.ROD
        often = torch.where(self.look == Look.NATURAL, 0.5, 0.3)
        banded = draws.chance(torch.where(tool, 0.7, often)) & (self.look != Look.MICROSCOPY)
        angle = torch.where(tool, 0.0, draws.uniform(0, 2 * pi))
        along = where[..., 0] * over_frames(angle.cos()) + where[..., 1] * over_frames(angle.sin())
        place = along - over_frames(draws.uniform(-1.2, 0.7))
        period = over_frames(draws.log_uniform(0.2, 1.0))
        stripes = torch.sin(place * pi / period) * period
        place = torch.where(over_frames(draws.chance(0.25)), stripes, place)
        share = torch.sigmoid(place / over_frames(draws.log_uniform(0.01, 0.3)))
        rows = torch.arange(batch, device=kind.device)
        step = base[rows, draws.choose([1.0] * base.shape[1], batch)] - texture.mean((1, 3, 4))
        step = step * draws.log_uniform(0.2, 1.0)[:, None] * banded[:, None]
        return texture + share[:, :, None] * step[:, None, :, None, None]

    def _shaded(self, texture: Tensor, field: Tensor, size: Tensor) -> Tensor:
        """Round objects off: brighter or darker towards the rim, or a thin membrane."""
        draws = self.draws
        depth = (field / over_frames(size)).clamp(0, 0.5) * 2
        strength = over_frames(draws.uniform(-0.35, 0.35) * draws.chance(0.5))
        rim = torch.exp(-(field / 0.012).square())
        membrane = over_frames(draws.uniform(-0.5, 0.5) * draws.chance(0.25))
        return texture + (strength * (1 - depth) + membrane * rim)[:, :, None]

    def _surroundings(self, images: Tensor, field: Tensor) -> Tensor:
        """Cast a shadow around an object, or the bright halo of phase contrast."""
        draws = self.draws
        near = torch.sigmoid((field + 0.04) / 0.02)[:, :, None]
        shadow = draws.uniform(0, 0.5) * draws.chance(0.25)
        halo = draws.uniform(0, 0.35) * (draws.chance(0.4) & (self.look == Look.MICROSCOPY))
        ring = torch.exp(-((field + 0.025) / 0.02).square())[:, :, None]
        return images * (1 - near * over_images(shadow)) + ring * over_images(halo)


def _transform(grid: Tensor, shift: Tensor, angle: Tensor, scale: Tensor) -> Tensor:
    """Move (B or 1, T or 1, S, S, 2) coordinates into a shifted, turned, scaled frame."""
    moved = grid - shift[:, :, None, None]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    x, y = moved[..., 0], moved[..., 1]
    turned = torch.stack([x * cos + y * sin, y * cos - x * sin], dim=-1)
    return turned / scale[..., None, None, None]


def _with_regions(labels: Tensor, regions: Tensor, layers: int) -> Tensor:
    """Label the largest connected part, in space and time, of each region still in view."""
    if not regions.any():
        return labels
    seen = torch.where(labels == 0, regions, 0).cpu().numpy()
    result = labels.cpu().numpy()
    for clip in np.flatnonzero(seen.any(axis=(1, 2, 3))):
        for region in range(1, REGIONS + 1):
            parts, count = ndi.label(seen[clip] == region)
            if not count:
                continue
            sizes = np.bincount(parts.ravel())[1:]
            part = parts == int(sizes.argmax()) + 1
            if part.mean() <= LARGEST:
                result[clip][part] = layers + region
    return torch.from_numpy(result).to(labels.device)
