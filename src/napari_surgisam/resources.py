"""Files that ship with the package: the sample data and the embedded model's weights."""

from __future__ import annotations

from pathlib import Path

from napari_surgisam.errors import DataError

_PACKAGE = Path(__file__).parent

WEIGHTS = _PACKAGE / "weights"
"""The folder of the embedded model's weights."""


def sample_data() -> Path:
    """Return the folder of the sample clip and volume.

    A wheel carries it inside the package; an editable install reads the checkout's own.

    Raises
    ------
    DataError
        If neither is there.
    """
    checkout = _PACKAGE.parents[1] / "sample_data"
    for folder in (_PACKAGE / "sample_data", checkout):
        if folder.is_dir():
            return folder
    raise DataError(
        f"The sample data is in neither {_PACKAGE / 'sample_data'} nor {checkout}: "
        "install napari-surgisam again."
    )
