"""Open a file from the dock widget: movies and scans at once, with our own readers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.formats.session_folder import INDEX
from napari_surgisam.plugin.message_line import Message

if TYPE_CHECKING:
    from napari.components import ViewerModel

PLUGIN = "napari-surgisam"


NO_IMAGE = "Open a video, a scan or a picture, or try the sample clip."


class Opener(QObject):
    """Opens what a person asks for in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
    parent : QWidget
        Where the file dialog belongs.
    """

    failed = Signal(object)  # SurgisamError

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        super().__init__(parent)
        self.viewer, self._window = viewer, parent

    def browse(self) -> None:
        """Ask for a file and open it."""
        path, _ = QFileDialog.getOpenFileName(self._window, "Open a video, a scan or a picture")
        if not path:
            return
        try:
            open_file(self.viewer, path)
        except SurgisamError as error:
            self.failed.emit(error)

    def open_sample(self) -> None:
        """Open the sample clip, as File > Open Sample does."""
        self.viewer.open_sample(PLUGIN, "clip")

    def hint(self) -> Message:
        """Say what can be opened, with buttons that do it."""
        remedies = (("Open…", self.browse), ("Sample clip", self.open_sample))
        return Message(NO_IMAGE, remedies=remedies)


def open_file(viewer: ViewerModel, path: str | Path) -> None:
    """Open a file as layers, without asking which reader is meant.

    napari asks where several readers claim an ending, and its own claims movies too. Here
    ours read what they can, and what the person prefers or napari's own the rest.

    Raises
    ------
    DataError
        If no reader understands the file.
    """
    from napari.errors import MultipleReaderError, NoAvailableReaderError, ReaderPluginError
    from npe2 import PluginManager

    from napari_surgisam.formats.dicom import is_dicom
    from napari_surgisam.plugin.scans import read_dicom

    if not Path(path).suffix and is_dicom(Path(path)):  # readers are found by endings
        for data, *facts in read_dicom(path):
            if facts:
                viewer.add_image(data, **facts[0])
        return
    readers = PluginManager.instance().iter_compatible_readers([str(path)])
    ours = any(reader.command.startswith(f"{PLUGIN}.") for reader in readers)
    if Path(path).is_dir():
        ours = (Path(path) / INDEX).is_file()  # a session; other folders are napari's
    try:
        try:
            viewer.open(str(path), plugin=PLUGIN if ours else None)
        except MultipleReaderError:
            viewer.open(str(path), plugin="napari")
    except (NoAvailableReaderError, ReaderPluginError, OSError, ValueError) as error:
        why = str(getattr(error, "original_error", None) or error).rstrip(".")
        raise DataError(
            f"{path} cannot be opened: {why}. Open a movie (mp4, mov, avi, mkv), DICOM, NIfTI, "
            "NRRD, TIFF or a picture; File > Open lets you choose among other readers that you "
            "have installed."
        ) from error
