"""Large files over HTTP: continued where an attempt broke off, checked before they count."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch
import requests
from filelock import FileLock, Timeout

from napari_surgisam.errors import ModelError
from napari_surgisam.jobs import Event, Job

CHUNK = 1 << 20  # bytes between two events
TIMEOUT = (15, 60)  # seconds to connect, and without a byte


def download(url: str, path: Path, *, sha256: str, nbytes: int) -> Job:
    """Download a file; the events count bytes.

    What arrives is kept beside `path` as ``*.part``, so that the next call continues there.
    Only a file of the right hash ever appears at `path`.

    Parameters
    ----------
    url : str
    path : Path
        Where the file shall be; its folder is created.
    sha256 : str
        In hexadecimal digits.
    nbytes : int
        Size of the whole file, in bytes.

    Raises
    ------
    ModelError
        If the server cannot be reached or answers with something else, the connection
        breaks (what arrived stays), the content is wrong (it is removed), or the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(part):
            if path.is_file() and pooch.file_hash(str(path)) == sha256:
                yield Event(done=nbytes, total=nbytes)
                return
            yield from _receive(url, part, nbytes)
            _adopt(url, part, path, sha256)
    except OSError as error:
        if isinstance(error, requests.RequestException):
            raise _broken_off(url, part, nbytes, error) from error
        raise ModelError(
            f"Cannot write {part}: {error.strerror or error}. {nbytes / 1e6:.0f} MB are needed; "
            "SURGISAM_CACHE can name a folder on another disk."
        ) from error


def _receive(url: str, part: Path, nbytes: int) -> Job:
    """Append to `part` what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    if have > nbytes:
        have = 0
    if have == nbytes:
        return
    if shutil.disk_usage(part.parent).free < nbytes - have:
        raise OSError(None, "the disk is full")
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink(missing_ok=True)
            raise ModelError(f"{url} holds less than was received before. {_remedy(url)}")
        response.raise_for_status()
        continues = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code != requests.codes.partial_content or not continues:
            have = 0  # the server sends everything again
        announced = response.headers.get("Content-Length")
        if announced is not None and have + int(announced) != nbytes:
            part.unlink(missing_ok=True)
            raise ModelError(
                f"{url} holds a file of {have + int(announced):,} bytes, but the model has "
                f"{nbytes:,}: it is truncated or another file. {_remedy(url)}"
            )
        with part.open("ab" if have else "wb") as file:
            yield Event(done=have, total=nbytes)
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                have += len(chunk)
                yield Event(done=have, total=nbytes)
    if have != nbytes:
        raise requests.ConnectionError("the server closed the connection")


def _adopt(url: str, part: Path, path: Path, sha256: str) -> None:
    """Let pooch check what was received and put it in place."""
    pooch.get_logger().setLevel(logging.WARNING)  # it would announce a second download
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=path.name,
            path=path.parent,
            downloader=lambda _url, file, _pooch: os.replace(part, file),
        )
    except ValueError as error:  # pooch has removed the file
        raise ModelError(
            f"What {url} holds does not have the SHA-256 {sha256} of the model, so it was "
            f"removed. {_remedy(url)}"
        ) from error


@contextmanager
def _alone(part: Path) -> Iterator[None]:
    lock = FileLock(f"{part}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ModelError(
            f"Another process is downloading {part.stem}: wait until it has finished."
        ) from error
    try:
        yield
    finally:
        lock.release()
        Path(f"{part}.lock").unlink(missing_ok=True)


def _broken_off(url: str, part: Path, nbytes: int, error: requests.RequestException) -> ModelError:
    if error.response is not None and not error.response.ok:
        return ModelError(
            f"{url} answers {error.response.status_code} {error.response.reason}. {_remedy(url)}"
        )
    have = part.stat().st_size if part.exists() else 0
    if have:
        return ModelError(
            f"The download of {url} broke off after {have:,} of {nbytes:,} bytes, which are "
            "kept: fetch the model again to continue."
        )
    return ModelError(f"{url} cannot be reached. {_remedy(url)}")


def _remedy(url: str) -> str:
    name = url.rsplit("/", 1)[-1]
    return f"Bring {name} from another machine and run: surgisam models import {name}"
