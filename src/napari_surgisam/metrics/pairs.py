"""Two masks that are compared: whether they can be, and where they have anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.errors import DataError


def check_masks(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> None:
    """Check that two arrays can be compared as masks.

    Raises
    ------
    DataError
        If the shapes differ or an array is not boolean.
    """
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.dtype != np.bool_:
            raise DataError(
                f"The {name} holds {mask.dtype} values, but a mask is boolean: compare one "
                "object at a time, as `labels == object_id`."
            )
    if prediction.shape != reference.shape:
        raise DataError(
            f"The prediction's shape {prediction.shape} is not the reference's "
            f"{reference.shape}: bring both to the image's own grid first."
        )


def union_window(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> tuple[slice, ...] | None:
    """Return the smallest window that holds both masks, None where both are empty."""
    window = []
    for axis in range(prediction.ndim):
        others = tuple(a for a in range(prediction.ndim) if a != axis)
        found = np.flatnonzero(prediction.any(axis=others) | reference.any(axis=others))
        if not found.size:
            return None
        window.append(slice(int(found[0]), int(found[-1]) + 1))
        # what is known not to matter need not be looked at again
        crop = (*(slice(None),) * axis, window[-1])
        prediction, reference = prediction[crop], reference[crop]
    return tuple(window)
