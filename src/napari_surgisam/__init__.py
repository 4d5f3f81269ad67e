"""Turn a few clicks into masks of every object through a surgical video or a 3D scan."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-surgisam")
except PackageNotFoundError:  # run from a plain folder
    __version__ = "0.0.0"
