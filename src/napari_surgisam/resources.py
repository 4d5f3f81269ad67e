"""Files that ship with the package: the sample data and the embedded model's weights."""

from __future__ import annotations

from pathlib import Path

from napari_surgisam.errors import DataError, ModelError

_PACKAGE = Path(__file__).parent


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


def embedded_weights(file_name: str) -> Path:
    """Return the path of a weights file that ships inside the package.

    Raises
    ------
    ModelError
        If the installation lacks it.
    """
    path = _PACKAGE / "weights" / file_name
    if not path.is_file():
        raise ModelError(f"The weights {path} are missing: install napari-surgisam again.")
    return path
