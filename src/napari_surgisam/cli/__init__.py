"""The command line, `surgisam`. Its modules import torch, PyAV and friends when they run."""

from napari_surgisam.cli.app import app, main

__all__ = ["app", "main"]
