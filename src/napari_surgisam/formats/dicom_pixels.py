"""Pixels of DICOM frames, unpacked one frame at a time, as real values or RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ImplicitVRLittleEndian

from napari_surgisam.errors import DataError
from napari_surgisam.formats.dicom_headers import StoredFrame
from napari_surgisam.formats.dicom_stacks import Stack

_STREAMS = ("MPEG", "HEVC")  # how the names of their transfer syntaxes begin


class DicomArray:
    """The frames of a stack as one lazy array: (..., Y, X), or (..., Y, X, 3) in colour.

    Rescaled by slope and intercept, so that CT is in Hounsfield units. MONOCHROME1, whose low
    values are white, is turned over within its stored range: bright is what looks bright.

    Parameters
    ----------
    stack : Stack

    Raises
    ------
    DataError
        If the frames are one stream of MPEG.

    Attributes
    ----------
    window : (low, high) or None
        What the file asks to be shown as black and white, if all frames agree.
    """

    def __init__(self, stack: Stack) -> None:
        header = stack.frames[0].header
        _refuse_streams(stack.frames[0])
        self._frames, self._lengths = stack.frames, stack.lengths
        self.rgb = header.colour
        self.inverted = header.text("PhotometricInterpretation") == "MONOCHROME1"
        self.dtype = np.dtype(np.uint8) if self.rgb else _value_type(stack.frames)
        self.shape = (*stack.lengths, *header.shape, *((3,) if self.rgb else ()))
        self.ndim = len(self.shape)
        self.window = None if self.rgb else self._common_window()

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        leading = len(self._lengths)
        numbers = np.arange(len(self._frames)).reshape(self._lengths)
        wanted = np.asarray(numbers[index[:leading]])
        parts = [self.read(int(number))[index[leading:]] for number in wanted.ravel()]
        return np.stack(parts).reshape(*wanted.shape, *parts[0].shape)

    def read(self, number: int) -> NDArray[Any]:
        """Unpack a frame.

        Raises
        ------
        DataError
            If its compression needs a package that is not installed, or it is damaged.
        """
        frame = self._frames[number]
        values = _unpacked(frame)
        header = frame.header
        if header.palette:
            return _eight_bits(apply_color_lut(values, header.dataset), 16)
        if self.rgb:
            return _eight_bits(values, int(header.dataset.get("BitsStored") or 8))
        if "ModalityLUTSequence" in header.dataset:
            values = apply_modality_lut(values, header.dataset)
        elif (frame.slope, frame.intercept) != (1.0, 0.0):
            values = values * np.float64(frame.slope) + frame.intercept
        if self.inverted:
            values = _mirror(frame) - values.astype(np.float64)
        return values.astype(self.dtype, copy=False)

    def _common_window(self) -> tuple[float, float] | None:
        windows = {frame.window for frame in self._frames}
        window = windows.pop()
        if windows or window is None or "ModalityLUTSequence" in self._frames[0].header.dataset:
            return None
        low, high = window
        if self.inverted:
            mirror = _mirror(self._frames[0])
            low, high = mirror - high, mirror - low
        # of 8 bits shown whole nothing is to be changed
        return None if self.dtype == np.uint8 and low <= 0 and high >= 255 else (low, high)


def _refuse_streams(frame: StoredFrame) -> None:
    syntax = frame.header.dataset.file_meta.get("TransferSyntaxUID")
    if syntax and syntax.name.startswith(_STREAMS):
        raise DataError(
            f"{frame.path} holds a movie as one stream ({syntax.name}), which cannot be read frame "
            "by frame from DICOM: save it as a movie (mp4) in the viewer that it comes from, and "
            "open that."
        )


def _unpacked(frame: StoredFrame) -> NDArray[Any]:
    path = frame.path
    known = frame.header.dataset.file_meta.get("TransferSyntaxUID")
    options: dict[str, Any] = {} if known else {"transfer_syntax_uid": ImplicitVRLittleEndian}
    try:
        values: NDArray[Any] = pixel_array(path, index=frame.index or 0, **options)
        return values
    except RuntimeError as error:
        if "plugin" not in str(error) and "decompress" not in str(error):
            raise
        kind = known.name if known else "unknown"
        raise DataError(
            f"{path}, frame {frame.index or 0}, cannot be unpacked ({kind}): {_joined(error)}. If "
            "a package is missing: pip install 'napari-surgisam[all]'. Else the file is damaged."
        ) from error
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise DataError(
            f"{path}, frame {frame.index or 0}, cannot be unpacked: {error}."
        ) from error


def _joined(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _eight_bits(values: NDArray[Any], bits: int) -> NDArray[Any]:
    if values.dtype == np.uint8:
        return values
    shifted: NDArray[Any] = (values >> max(bits - 8, 0)).astype(np.uint8)
    return shifted


def _stored_range(frame: StoredFrame) -> tuple[int, int]:
    bits = int(frame.header.dataset.get("BitsStored") or 16)
    if int(frame.header.dataset.get("PixelRepresentation") or 0):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _mirror(frame: StoredFrame) -> float:
    """Return the sum of the lowest and highest value: less a value, it turns that over."""
    if "ModalityLUTSequence" in frame.header.dataset:
        bits = int(frame.header.dataset.ModalityLUTSequence[0].LUTDescriptor[2])
        return float(2**bits - 1)
    return frame.slope * sum(_stored_range(frame)) + 2 * frame.intercept


def _value_type(frames: tuple[StoredFrame, ...]) -> np.dtype[Any]:
    """Return the smallest type that holds every value that frames can have."""
    dataset = frames[0].header.dataset
    if int(dataset.get("BitsAllocated") or 16) >= 32 and "PixelRepresentation" not in dataset:
        return np.dtype(np.float32)  # Float Pixel Data
    if "ModalityLUTSequence" in dataset:
        return np.dtype(np.float32)
    scales = {(frame.slope, frame.intercept) for frame in frames}
    if any(slope != 1 or intercept % 1 for slope, intercept in scales):
        return np.dtype(np.float32)
    limits = [limit + int(i) for limit in _stored_range(frames[0]) for _, i in scales]
    return np.promote_types(np.min_scalar_type(min(limits)), np.min_scalar_type(max(limits)))
