"""Turn a few clicks into masks of every object through a surgical video or a 3D scan."""

import os
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-surgisam")
except PackageNotFoundError:  # run from a plain folder
    __version__ = "0.0.0"

# OpenMP's threads spin while they wait, by default. Beside anything else that computes, that
# slows torch tenfold on two cores; not spinning at all costs a third of its speed where nothing
# else computes. A short spin has most of both. It is read when torch is loaded, which is later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
