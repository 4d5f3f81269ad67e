"""What a person is asked about saved sessions."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox, QWidget

from napari_surgisam.formats.session_folder import ENDING

PROMPTS_ALONE = Path()
"""In place of a path: the prompts, and none of the masks."""


def ask_for_source(why: str, name: str) -> Path | None:
    """Ask where a source is now; None where the person gives up or there is no window."""
    if not isinstance(QApplication.instance(), QApplication):
        return None
    box = QMessageBox(QMessageBox.Icon.Question, "Where is the image?", why)
    locate = box.addButton("Locate…", QMessageBox.ButtonRole.AcceptRole)
    folder = box.addButton("It is a folder…", QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    if box.clickedButton() is locate:
        return _file(name)
    if box.clickedButton() is folder:
        chosen = QFileDialog.getExistingDirectory(None, f"Where is {name}?")
        return Path(chosen) if chosen else None
    return None


def ask_about_changed(why: str, name: str) -> Path | None:
    """Ask what to do about a source that is another.

    Returns
    -------
    Path or None
        Of the original; `PROMPTS_ALONE` opens these on what is there; None gives up.
    """
    if not isinstance(QApplication.instance(), QApplication):
        return None
    box = QMessageBox(QMessageBox.Icon.Question, "The image is another", why)
    locate = box.addButton("Locate the original…", QMessageBox.ButtonRole.AcceptRole)
    prompts = box.addButton("Open the prompts alone", QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    if box.clickedButton() is locate:
        return _file(name)
    return PROMPTS_ALONE if box.clickedButton() is prompts else None


def ask_about_damage(why: str) -> bool:
    """Ask whether to open the prompts of a damaged session alone."""
    if not isinstance(QApplication.instance(), QApplication):
        return False
    box = QMessageBox(QMessageBox.Icon.Warning, "The session is damaged", why)
    prompts = box.addButton("Open the prompts alone", QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.exec()
    return box.clickedButton() is prompts


def ask_for_session(parent: QWidget) -> Path | None:
    """Ask which session to open."""
    chosen = QFileDialog.getExistingDirectory(parent, f"Open a session (a folder *{ENDING})")
    return Path(chosen) if chosen else None


def ask_for_name(parent: QWidget, name: str) -> Path | None:
    """Ask under which name to save a session."""
    chosen, _ = QFileDialog.getSaveFileName(
        parent, "Save the session", f"{name}{ENDING}", f"Sessions (*{ENDING})"
    )
    if not chosen:
        return None
    path = Path(chosen)
    return path if path.suffix == ENDING else path.with_name(path.name + ENDING)


def _file(name: str) -> Path | None:
    chosen, _ = QFileDialog.getOpenFileName(None, f"Where is {name or 'the image'}?")
    return Path(chosen) if chosen else None
