"""The sample volume: an abdomen of analytic organs, "scanned" by a simulated MR sequence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from puppets import write_prompts
from scipy import ndimage as ndi

SHAPE = (32, 128, 128)
SPACING = (4.0, 2.5, 2.5)  # mm along (z, y, x)
FINE = 2  # the anatomy is drawn this much finer than it is scanned, along each axis

Field = NDArray[np.float32]
"""One value for each fine voxel (64, 256, 256)."""


@dataclass(frozen=True, slots=True)
class Organ:
    """An ellipsoid with an uneven surface.

    Parameters
    ----------
    centre, radii : (z, y, x) tuple of float
        In mm, from the middle of the volume; z upwards, y to the back, x to the left.
    signal : float
        Brightness of the tissue in a T2-weighted image, free water being 1.
    tilt : tuple of float
        Shift of the centre in mm along (y, x) for each mm upwards.
    bumps : float
        How much the surface's distance from the centre varies, as a share of it.
    grain : float
        How much the brightness varies inside, as a share of it.
    label : int
        Value in the truth, 0 if it is not an object.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    signal: float
    tilt: tuple[float, float] = (0.0, 0.0)
    bumps: float = 0.05
    grain: float = 0.06
    label: int = 0


BODY = (
    Organ((0, 0, 0), (900, 100, 142), 0.20, bumps=0.010, grain=0.10),  # fat under the skin
    Organ((0, 1, 0), (900, 85, 126), 0.27, bumps=0.014, grain=0.14),  # muscles
    Organ((0, -8, 0), (900, 73, 112), 0.15, bumps=0.020, grain=0.15),  # fat around the organs
)
ORGANS = (
    Organ((-4, -46, 34), (70, 24, 50), 0.42, bumps=0.22, grain=0.30),  # bowel
    Organ((-44, -34, -20), (46, 30, 60), 0.38, bumps=0.25, grain=0.30),  # bowel
    Organ((-20, 2, 78), (60, 26, 18), 0.46, bumps=0.20, grain=0.35),  # descending colon
    Organ((44, -24, 62), (36, 36, 34), 0.86, bumps=0.10, grain=0.04),  # stomach
    Organ((46, 28, 84), (44, 34, 24), 0.58, bumps=0.08),  # spleen
    Organ((-16, 32, -56), (54, 25, 23), 0.70, tilt=(-0.08, 0.16)),  # right kidney
    Organ((-6, 31, 54), (56, 27, 25), 0.70, tilt=(-0.08, -0.16), label=2),  # left kidney
    Organ((-6, 31, 45), (32, 11, 8), 0.90, tilt=(-0.08, -0.16), bumps=0.12, label=2),  # pelvis
    Organ((-16, 32, -47), (31, 10, 8), 0.90, tilt=(-0.08, 0.16), bumps=0.12),
    Organ((26, -12, -54), (62, 60, 54), 0.43, tilt=(0.12, 0.25), bumps=0.08, label=1),  # liver
    Organ((2, -46, -46), (30, 18, 16), 1.00, tilt=(-0.3, 0.1), grain=0.03, label=3),  # gallbladder
    Organ((0, 14, 14), (900, 10, 10), 0.06, tilt=(0.05, 0.0), bumps=0.02),  # aorta
    Organ((0, 10, -16), (900, 9, 12), 0.10, tilt=(-0.05, 0.0), bumps=0.04),  # vena cava
    Organ((0, 42, 0), (900, 20, 24), 0.36, bumps=0.05, grain=0.12),  # vertebrae
    Organ((0, 74, 0), (900, 14, 11), 0.30, bumps=0.10, grain=0.12),  # their processes
    Organ((0, 65, 0), (900, 8, 10), 0.97, bumps=0.03),  # spinal canal
    Organ((0, 65, 0), (900, 4.5, 5.5), 0.45, bumps=0.03),  # spinal cord
)


def _noise(rng: np.random.Generator, size: float) -> Field:
    """Return smooth, periodic noise of deviation 1 whose features are about `size` mm large."""
    sigmas = [size / 3 * FINE / spacing for spacing in SPACING]
    white = rng.standard_normal([n * FINE for n in SHAPE], dtype=np.float32)
    field = ndi.gaussian_filter(white, sigmas, mode="wrap")
    return (field / field.std()).astype(np.float32)


def _positions() -> tuple[Field, Field, Field]:
    axes = [
        (np.arange(n * FINE) - (n * FINE - 1) / 2) * s / FINE
        for n, s in zip(SHAPE, SPACING, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z.astype(np.float32), y.astype(np.float32), x.astype(np.float32)


def anatomy(rng: np.random.Generator) -> tuple[Field, NDArray[np.uint8]]:
    """Draw the organs, later ones over earlier ones: T2-weighted signal, and labels."""
    z, y, x = _positions()
    signal, labels = np.full(z.shape, 0.02, np.float32), np.zeros(z.shape, np.uint8)
    bumps, grain = _noise(rng, 50), _noise(rng, 8)
    inside_body = np.ones(z.shape, bool)
    for number, organ in enumerate((*BODY, *ORGANS)):
        cz, cy, cx = organ.centre
        rz, ry, rx = organ.radii
        dz, dy, dx = z - cz, y - cy, x - cx
        radius = np.sqrt(
            (dz / rz) ** 2
            + ((dy - organ.tilt[0] * dz) / ry) ** 2
            + ((dx - organ.tilt[1] * dz) / rx) ** 2
        )
        shifted = np.roll(bumps, (7 * number, 31 * number, 53 * number), axis=(0, 1, 2))
        inside = (radius * (1 + organ.bumps * shifted) < 1) & inside_body
        pieces, _ = ndi.label(inside)
        inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1  # no crumbs
        signal[inside] = organ.signal * (1 + organ.grain * grain[inside])
        labels[inside] = organ.label
        if number == len(BODY) - 1:
            inside_body = inside | (np.hypot(y - 60, x / 1.2) < 52)  # the organs stay within
    # Two smooth fields vanish together on curves: a tree of vessels, part of the liver.
    vessels = np.hypot(_noise(rng, 42), _noise(rng, 42)) < 0.13
    signal[vessels & (labels == 1)] = 0.72
    return signal, labels


def scan(signal: Field, rng: np.random.Generator) -> NDArray[np.int16]:
    """Image the anatomy: slice profile, coil shading, finite k-space, complex noise."""
    _, y, x = _positions()
    coil = 1.15 - 0.30 * np.exp(-(((y + 20) / 120) ** 2) - (x / 130) ** 2) + 0.0008 * x
    thick = ndi.gaussian_filter1d(signal * coil, 0.8, axis=0)
    slices = thick.reshape(SHAPE[0], FINE, *thick.shape[1:]).mean(axis=1)
    rows, columns = (np.fft.fftshift(np.fft.fftfreq(n)) for n in slices.shape[1:])
    # Half a fine voxel: a scanned voxel's centre lies between two fine ones.
    to_centre = np.exp(1j * np.pi * (rows[:, None] + columns))
    kspace = np.fft.fftshift(np.fft.fft2(slices), axes=(1, 2)) * to_centre
    kspace[:, np.abs(rows) > 0.8 * 0.5 / FINE] = 0  # fewer phase-encoding steps, as usual
    y0, x0 = (n * (FINE - 1) // 2 for n in SHAPE[1:])
    kspace = (
        kspace[:, y0 : y0 + SHAPE[1], x0 : x0 + SHAPE[2]] * np.hanning(SHAPE[1] + 2)[1:-1] ** 0.2
    )
    image = np.fft.ifft2(np.fft.ifftshift(kspace, axes=(1, 2))) / FINE**2
    image += 0.018 * (rng.standard_normal(image.shape) + 1j * rng.standard_normal(image.shape))
    return np.rint(np.abs(image) * 250).astype(np.int16)


def _reduce(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give each scanned voxel the label that fills most of it."""
    z, y, x = SHAPE
    blocks = labels.reshape(z, FINE, y, FINE, x, FINE)
    shares = np.stack([(blocks == label).mean(axis=(1, 3, 5)) for label in range(4)])
    return shares.argmax(axis=0).astype(np.uint8)


def _write_nifti(path: Path, volume: NDArray[np.int16] | NDArray[np.uint8]) -> None:
    z, y, x = SPACING
    affine = np.diag([-x, -y, z, 1.0])  # x to the left, y to the back: shown as doctors do
    affine[:3, 3] = [158.75, 158.75, -62.0]
    image = nib.Nifti1Image(volume.transpose(2, 1, 0), affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


CLICKS = (  # slice, y, x, object, polarity: what a person would click on the middle slice
    (16, 60, 33, 1, "positive"),  # the liver, twice
    (16, 74, 44, 1, "positive"),
    (16, 77, 86, 2, "positive"),  # the left kidney
    (16, 46, 45, 3, "positive"),  # the gallbladder
)


def write_volume(folder: Path) -> None:
    """Write volume.nii.gz, volume_labels.nii.gz and volume_prompts.csv."""
    rng = np.random.default_rng(11)
    signal, labels = anatomy(rng)
    _write_nifti(folder / "volume.nii.gz", scan(signal, rng))
    _write_nifti(folder / "volume_labels.nii.gz", _reduce(labels))
    write_prompts(folder / "volume_prompts.csv", CLICKS)
