"""What is settled when the package is built: where the README's pictures and links lead."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<path>[^)\s]+)\)")
_HOSTED = re.compile(r"(?:https://|git@)github\.com[/:](?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?$")


class Readme(MetadataHookInterface):
    """Gives the README absolute links, because the napari hub and PyPI show it without the files.

    They lead to the commit that is built, in the repository that git calls *origin*. Where that is
    not known, or not on GitHub, links stay as they are.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description."""
        root = Path(self.root)
        text = (root / "README.md").read_text(encoding="utf-8")
        hosted = _HOSTED.match(_git(root, "remote", "get-url", "origin"))
        own = _git(root, "rev-parse", "--show-toplevel")  # else a copy inside of another's
        if hosted and own and Path(own).samefile(root):
            text = absolute(text, hosted["name"], _git(root, "rev-parse", "HEAD"))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, name: str, commit: str) -> str:
    """Return Markdown whose relative pictures and links lead to a commit of ``OWNER/NAME``."""

    def link(found: re.Match[str]) -> str:
        base = f"https://github.com/{name}/blob/{commit}"
        if found["image"]:
            base = f"https://raw.githubusercontent.com/{name}/{commit}"
        return f"{found['image']}[{found['text']}]({base}/{found['path']})"

    return _LINK.sub(link, text)


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
