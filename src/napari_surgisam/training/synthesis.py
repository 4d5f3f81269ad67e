"""Domain-randomised clips with known masks, made in batches on the training device.

A clip is a stack of moving, deforming layers over a background. Its look is drawn from four
families: colour film (natural and endoscopic), tomography (CT, MR), ultrasound, and
microscopy with many alike cells. Nothing is read from disk but pictures that ship with
scikit-image, which lend their texture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.training.textures import TexturePool

FILM, TOMOGRAPHY, ULTRASOUND, MICROSCOPY = range(4)


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticBatch:
    """A batch of clips and their objects.

    Parameters
    ----------
    images : (B, T, 3, S, S) uint8 Tensor
    labels : (B, T, S, S) uint8 Tensor
        0 is the background; a clip has at most `SyntheticClips.layers` objects.
    parents : (B, L + 1) long Tensor
        Label of the object that an object is a part of, or 0.
    """

    images: Tensor
    labels: Tensor
    parents: Tensor

    def mask(self, clip: int, label: int, *, whole: bool = False) -> Tensor:
        """Return the (T, S, S) bool mask of an object, with its parts if `whole`."""
        mask = self.labels[clip] == label
        if whole:
            for part in (self.parents[clip] == label).nonzero()[:, 0].tolist():
                mask = mask | (self.labels[clip] == part)
        return mask


@dataclass(frozen=True, slots=True)
class SyntheticClips:
    """An endless, seeded stream of synthetic clips.

    Parameters
    ----------
    batch, frames, size : int
        Clips in a batch, frames in a clip, and side of a frame in pixels.
    difficulty : float
        From 0 (few, large, clear objects) to 1 (small and faint ones as well).
    layers : int
        Most objects in a clip.
    seed : int
    device : str
    """

    batch: int
    frames: int = 1
    size: int = 256
    difficulty: float = 1.0
    layers: int = 8
    seed: int = 0
    device: str = "cpu"

    def __iter__(self) -> Iterator[SyntheticBatch]:
        """Yield batches for ever."""
        random = torch.Generator(device=self.device).manual_seed(self.seed)
        pool = TexturePool(random, self.device)
        while True:
            yield _Painter(self, random, pool).paint()
            pool.refresh()


class _Painter:
    """Draws one batch; every random number comes from one generator."""

    def __init__(self, clips: SyntheticClips, random: torch.Generator, pool: TexturePool) -> None:
        self.clips, self.random, self.pool = clips, random, pool
        self.device = clips.device
        batch, frames, size = clips.batch, clips.frames, clips.size
        axis = (torch.arange(size, device=self.device) + 0.5) / size * 2 - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        self.grid = torch.stack([x, y], dim=-1)  # (S, S, 2), x and y in [-1, 1]
        self.time = (
            torch.linspace(0, 1, frames, device=self.device)
            if frames > 1
            else (torch.zeros(1, device=self.device))
        )
        self.family = self.choose([0.45, 0.25, 0.12, 0.18], batch)

    # random numbers, one per clip unless a shape is given
    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        shape = shape or (self.clips.batch,)
        return torch.rand(shape, generator=self.random, device=self.device) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random, device=self.device)

    def choose(self, weights: list[float], *shape: int) -> Tensor:
        total = torch.tensor(weights, device=self.device).cumsum(0)
        draw = self.uniform(0, float(total[-1]), *shape)
        return torch.bucketize(draw, total).clamp(max=len(weights) - 1)

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def paint(self) -> SyntheticBatch:
        clips = self.clips
        batch, frames, size, layers = clips.batch, clips.frames, clips.size, clips.layers
        camera = self.camera()
        base, colours = self.palette(layers + 1)
        images = self.textured(camera, base[:, 0], colours[:, 0])
        labels = torch.zeros(batch, frames, size, size, dtype=torch.uint8, device=self.device)
        parents = torch.zeros(batch, layers + 1, dtype=torch.long, device=self.device)
        counts = self.choose([1.0] * layers, batch) + 1
        crowd = self.family == MICROSCOPY
        counts = torch.where(crowd, torch.full_like(counts, layers), counts)
        centres = self.uniform(-0.9, 0.9, batch, layers, 2)
        sizes = self.sizes(layers)
        common = self.uniform(0.1, 0.35)  # alike cells share one size
        sizes = torch.where(
            crowd[:, None], common[:, None] * self.uniform(0.8, 1.25, batch, layers), sizes
        )
        order = torch.where(
            (torch.rand(batch, generator=self.random, device=self.device) < 0.75)[:, None],
            sizes.argsort(dim=1, descending=True),
            torch.arange(layers, device=self.device).expand(batch, -1),
        )
        sizes = sizes.gather(1, order)
        for layer in range(layers):
            inside = self.chance(0.5) & ~crowd & (layer > 0)
            host = (self.uniform(0, 1) * layer).long().clamp(max=max(layer - 1, 0))
            if layer:
                rows = torch.arange(batch, device=self.device)
                near = centres[rows, host] + self.normal(batch, 2) * 0.3 * sizes[rows, host, None]
                touching = crowd & self.chance(0.7)
                angle = self.uniform(0, 2 * pi)
                beside = torch.stack([angle.cos(), angle.sin()], -1) * common[:, None] * 1.9
                beside = centres[rows, host] + beside
                centres[:, layer] = torch.where(inside[:, None], near, centres[:, layer])
                centres[:, layer] = torch.where(touching[:, None], beside, centres[:, layer])
                smaller = sizes[rows, host] * self.uniform(0.25, 0.6)
                sizes[:, layer] = torch.where(inside, smaller, sizes[:, layer])
                parents[:, layer + 1] = torch.where(inside, host + 1, 0)
            where = self.motion(centres[:, layer], sizes[:, layer], camera)
            field = self.shape(where, sizes[:, layer])
            field = torch.where(
                (layer < counts)[:, None, None, None], field, torch.full_like(field, -9.0)
            )
            softness = self.uniform(0.004, 0.012)
            blurred = self.chance(0.2)
            softness = torch.where(blurred, softness * 4, softness)
            alpha = torch.sigmoid(field / softness[:, None, None, None])
            texture = self.textured(where, base[:, layer + 1], colours[:, layer + 1])
            texture = self.shade(texture, field, sizes[:, layer])
            shadow = 1 - self.uniform(0, 0.5) * self.chance(0.3)
            halo = torch.sigmoid((field + 0.04) / 0.02)[:, :, None]
            shadow = 1 - halo * (1 - shadow)[:, None, None, None, None]
            images = images * shadow
            images = images + (texture - images) * alpha[:, :, None]
            labels = torch.where(alpha > 0.5, layer + 1, labels)
        images = self.degrade(images)
        return SyntheticBatch(
            (images * 255).round().to(torch.uint8), labels.to(torch.uint8), parents
        )

    def sizes(self, layers: int) -> Tensor:
        """Draw half-sizes, log-uniform; easy clips have large objects only."""
        hard = self.clips.difficulty
        low = 0.2 * (0.03 / 0.2) ** hard
        logs = self.uniform(0, 1, self.clips.batch, layers)
        return torch.exp(
            torch.log(torch.tensor(low)) * (1 - logs) + torch.log(torch.tensor(0.8)) * logs
        )

    def camera(self) -> Tensor:
        """Return (B, T, S, S, 2) coordinates that drift, turn and zoom slowly."""
        still = self.chance(0.4).float()[:, None]
        moving = 1 - still
        t = self.time[None]
        shift = self.normal(self.clips.batch, 1, 2) * 0.15 * (moving * t)[..., None]
        shift = shift + self.jitter(0.02) * moving[..., None]
        angle = self.normal(self.clips.batch, 1) * 0.15 * moving * t
        zoom = torch.exp(self.normal(self.clips.batch, 1) * 0.12 * moving * t)
        return _transform(self.grid[None, None], shift, angle, zoom)

    def jitter(self, scale: float) -> Tensor:
        shape = (self.clips.batch, self.clips.frames, 2)
        steps = self.normal(*shape) * scale
        return steps * (self.time > 0)[None, :, None]

    def motion(self, centre: Tensor, size: Tensor, camera: Tensor) -> Tensor:
        """Return (B, T, S, S, 2) coordinates in the object's own frame."""
        batch = self.clips.batch
        t = self.time[None]
        wander = self.normal(batch, 1, 2) * 0.35 * t[..., None] + self.jitter(0.03)
        # some leave and come back, some enter late
        away = (self.chance(0.3).float()[:, None] * torch.sin(pi * t) * 1.6)[..., None]
        heading = F.normalize(self.normal(batch, 1, 2), dim=-1)
        tomography = (self.family == TOMOGRAPHY).float()[:, None, None]
        shift = centre[:, None] + (wander + away * heading) * (1 - 0.8 * tomography)
        angle = self.uniform(0, 2 * pi)[:, None] + self.normal(batch, 1) * 0.4 * t
        growth = torch.exp(self.normal(batch, 1) * 0.4 * t)
        return _transform(camera, shift, angle, size[:, None] * growth)

    def shape(self, where: Tensor, size: Tensor) -> Tensor:
        """Return (B, T, S, S) signed distances, positive inside, in units of the frame."""
        batch = self.clips.batch
        x, y = where[..., 0], where[..., 1]
        noise = self.lumps(where)
        kind = self.choose([0.4, 0.14, 0.14, 0.14, 0.08, 0.1], batch)
        cells = self.family == MICROSCOPY
        kind = torch.where(cells, torch.zeros_like(kind), kind)
        lumpy = _over_frame(self.uniform(0, 0.6) * torch.where(cells, 0.3, 1.0))
        aspect = _over_frame(torch.exp(self.uniform(-0.6, 0.6)))
        radius = torch.sqrt((x * aspect).square() + (y / aspect).square() + 1e-6)
        blob = 1 - radius + lumpy * noise
        # a convex polygon with rounded sides
        turns = self.uniform(0, 1, batch, 6) + torch.arange(6, device=self.device)
        sides = self.choose([1.0, 1.0, 1.0, 1.0], batch) + 3
        polygon = torch.full_like(x, 9.0)
        for k in range(6):
            angle = _over_frame(turns[:, k] * 2 * pi / sides)
            side = 0.75 - (x * angle.cos() + y * angle.sin())
            used = _over_frame(k < sides)
            polygon = torch.where(used, torch.minimum(polygon, side), polygon)
        polygon = polygon + 0.15 * lumpy * noise
        # an instrument: a shaft from outside the frame, with an opening tip
        thick = _over_frame(self.uniform(0.15, 0.4))
        opening = _over_frame(self.uniform(0.0, 0.5))
        shaft = thick - torch.maximum(y.abs(), x)
        jaw = thick * 0.5 - torch.maximum(
            (y.abs() - opening * x).abs() - 0.05, (x - 0.5).abs() - 0.6
        )
        rod = torch.maximum(shaft, jaw)
        # a curved tube
        bend = _over_frame(self.uniform(-1.0, 1.0))
        width = _over_frame(self.uniform(0.1, 0.3))
        middle = y - bend * (x.square() - 0.4) - 0.3 * noise * (lumpy > 0.3)
        tube = torch.minimum(width - middle.abs(), 1 - x.abs())
        ring = _over_frame(self.uniform(0.12, 0.3)) - (radius - 0.75 - 0.3 * lumpy * noise).abs()
        # two lobes
        gap = _over_frame(self.uniform(0.4, 0.7))
        lobes = 0.6 - torch.sqrt((x.abs() - gap).square() + y.square() + 1e-6) + 0.3 * lumpy * noise
        fields = [blob, polygon, rod, tube, ring, lobes]
        field = blob
        for k, other in enumerate(fields[1:], start=1):
            field = torch.where(_over_frame(kind == k), other, field)
        return field * _over_frame(size)

    def lumps(self, where: Tensor) -> Tensor:
        """Smooth noise in the object's own frame that changes slowly with time."""
        batch, frames = self.clips.batch, self.clips.frames
        cells = int(self.choose([1.0, 1.0, 1.0], 1)) * 2 + 4
        still, moving = self.normal(2, batch, 1, 1, cells, cells)
        lively = self.uniform(0, 0.8)[:, None, None, None, None]
        t = self.time[None, :, None, None, None]
        noise = still * (1 - lively * t) + moving * lively * t
        field = F.grid_sample(
            noise.flatten(0, 1),
            (where / 2.5).flatten(0, 1),
            mode="bicubic" if self.clips.device != "cpu" else "bilinear",
            padding_mode="reflection",
            align_corners=False,
        )
        return field.view(batch, frames, *where.shape[2:4])

    def palette(self, count: int) -> tuple[Tensor, Tensor]:
        """Draw (B, N, 3) mean colours and (B, N, 3) texture amplitudes."""
        batch, hard = self.clips.batch, self.clips.difficulty
        grey = ((self.family != FILM) & ~((self.family == MICROSCOPY) & self.chance(0.4)))[
            :, None, None
        ]
        free = self.uniform(0.02, 0.98, batch, count, 3)
        free = torch.where(grey, free[..., :1].expand(-1, -1, 3), free)
        # faint clips: all colours near one
        faint = self.chance(0.35 * hard)[:, None, None]
        contrast = self.uniform(0.1, 0.35)[:, None, None]
        centre = free[:, :1] * 0.6 + 0.2
        base = torch.where(faint, centre + (free - 0.5) * contrast, free)
        # reddish tissue
        tissue = (self.chance(0.35) & (self.family == FILM))[:, None, None]
        red = torch.tensor([0.65, 0.3, 0.27], device=self.device) + (free - 0.5) * 0.4
        base = torch.where(tissue, red, base)
        # look-alikes: some objects take the look of the one before
        alike = self.chance(0.25) | (self.family == MICROSCOPY)
        for k in range(2, count):
            copies = (alike & (self.chance(0.6) | (self.family == MICROSCOPY)))[:, None]
            base[:, k] = torch.where(copies, base[:, k - 1], base[:, k])
        amplitude = self.uniform(0, 0.22, batch, count, 1) * self.uniform(0.2, 1.0)[:, None, None]
        tint = torch.where(grey, torch.ones_like(free), 0.6 + 0.8 * free.flip(1))
        # cut-outs: the pattern itself is the picture, with its own colours and contrast
        pictured = (self.chance(0.6) & (self.family == FILM))[:, None, None]
        cut_out = (self.uniform(0, 1, batch, count, 1) < 0.6) & pictured
        base = torch.where(cut_out, 0.25 + 0.5 * free[..., :1] + 0.2 * (free - 0.5), base)
        strong = self.uniform(0.12, 0.28, batch, count, 1)
        amplitude = torch.where(cut_out, strong, amplitude * tint)
        return base.clamp(0, 1), amplitude

    def textured(self, where: Tensor, base: Tensor, amplitude: Tensor) -> Tensor:
        """Return (B, T, 3, S, S) colour: a texture that moves with the coordinates."""
        batch, frames = where.shape[:2]
        patterns = self.pool.draw(batch)
        scale = torch.exp(self.uniform(-0.7, 0.9))[:, None, None, None, None]
        offset = self.uniform(-0.5, 0.5, batch, 1, 1, 1, 2)
        coordinates = where * scale * 0.5 + offset
        coordinates = (coordinates + 1).remainder(4.0)
        coordinates = torch.where(coordinates > 2, 4 - coordinates, coordinates) - 1  # mirror
        pattern = F.grid_sample(
            patterns[:, None].expand(-1, frames, -1, -1, -1).flatten(0, 1),
            coordinates.flatten(0, 1),
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        ).view(batch, frames, 3, *where.shape[2:4])
        grey = (self.family != FILM)[:, None, None, None, None]
        pattern = torch.where(grey, pattern.mean(2, keepdim=True), pattern)
        return base[:, None, :, None, None] + amplitude[:, None, :, None, None] * pattern

    def shade(self, texture: Tensor, field: Tensor, size: Tensor) -> Tensor:
        """Round objects off: brighter or darker towards the rim, or a thin membrane."""
        depth = (field / _over_frame(size)).clamp(0, 0.5) * 2
        strength = _over_frame(self.uniform(-0.35, 0.35) * self.chance(0.5))
        rim = torch.exp(-(field / 0.012).square())
        membrane = _over_frame(self.uniform(-0.5, 0.5) * self.chance(0.3))
        return texture + (strength * (1 - depth) + membrane * rim)[:, :, None]

    def degrade(self, images: Tensor) -> Tensor:
        """Light, optics, speckle, sensor noise and coarse sampling."""
        batch, frames, size = self.clips.batch, self.clips.frames, self.clips.size
        smooth = F.interpolate(self.normal(batch, 2, 4, 4), size=size, mode="bicubic")
        light = 1 + _over_film(self.uniform(0, 0.3) * self.chance(0.5)) * smooth[:, None, :1]
        distance = self.grid.square().sum(-1)
        vignette = 1 - _over_film(self.uniform(0, 0.45) * self.chance(0.3)) * distance
        flicker = 1 + self.normal(batch, frames, 1, 1, 1) * 0.04
        images = images * light * vignette.clamp(min=0) * flicker
        film = self.family == FILM
        smoke = _over_film(self.uniform(0, 0.6) * (film & self.chance(0.15))) * smooth[
            :, None, 1:
        ].clamp(0, 1)
        images = images * (1 - smoke) + 0.85 * smoke
        gloss = F.interpolate(self.normal(batch, 1, 20, 20), size=size, mode="bicubic")[:, None]
        threshold = _over_film(self.uniform(1.9, 3.0))
        gloss = ((gloss - threshold) * 6).clamp(0, 1) * _over_film(
            (film & self.chance(0.3)).float()
        )
        images = images + (1 - images) * gloss
        images = images.clamp(0, 1) ** _over_film(torch.exp(self.uniform(-0.4, 0.4)))
        speckle = _over_film(self.uniform(0.15, 0.6) * (self.family == ULTRASOUND).float())
        cell = size // (1, 2, 3)[int(self.choose([1.0, 1.0, 1.0], 1))]
        grain = self.normal(batch * frames, 1, cell, cell)
        grain = F.interpolate(grain, size=size, mode="bilinear").view(batch, frames, 1, size, size)
        images = images * (1 + speckle * grain).clamp(min=0)
        coarse = int(self.choose([0.55, 0.2, 0.15, 0.1], 1))
        if coarse:  # thick slices and small matrices, enlarged
            small = (size * 2 // 3, size // 2, size // 4)[coarse - 1]
            flat = F.interpolate(images.flatten(0, 1), size=small, mode="area")
            noisy = flat + self.normal(*flat.shape) * 0.02
            images = F.interpolate(noisy, size=size, mode="bicubic").view(images.shape)
        noise = _over_film(self.uniform(0, 0.06) * self.chance(0.7))
        images = images + noise * self.normal(batch, frames, 3, size, size)
        inverted = _over_film(self.chance(0.1).float() * (self.family != FILM))
        images = images * (1 - inverted) + (1 - images) * inverted
        return images.clamp(0, 1)


def _transform(grid: Tensor, shift: Tensor, angle: Tensor, scale: Tensor) -> Tensor:
    """Move (B or 1, T or 1, S, S, 2) coordinates into a shifted, turned, scaled frame."""
    moved = grid - shift[:, :, None, None]
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]
    x, y = moved[..., 0], moved[..., 1]
    turned = torch.stack([x * cos + y * sin, y * cos - x * sin], dim=-1)
    return turned / scale[..., None, None, None]


def _over_frame(value: Tensor) -> Tensor:
    """Shape one value a clip, (B,), to combine with (B, T, S, S)."""
    return value[:, None, None, None]


def _over_film(value: Tensor) -> Tensor:
    """Shape one value a clip, (B,), to combine with (B, T, 3, S, S)."""
    return value[:, None, None, None, None]
