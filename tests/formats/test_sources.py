from pathlib import Path

import pytest

from napari_surgisam.errors import DataError
from napari_surgisam.formats.sources import open_source


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clip\.mp4 does not exist"):
        open_source(tmp_path / "clip.mp4")


@pytest.mark.parametrize("name", ["scan.xyz", "scan", "scan.gz"])
def test_an_unknown_ending_lists_what_is_understood(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"12345")
    with pytest.raises(DataError, match=r"\.mp4, .*\.tif, .*\.nii\.gz, .*folders of frames"):
        open_source(tmp_path / name)


def test_endings_may_be_upper_case(tmp_path: Path) -> None:
    (tmp_path / "SCAN.NII.GZ").write_bytes(b"12345")
    with pytest.raises(DataError, match="NIfTI"):
        open_source(tmp_path / "SCAN.NII.GZ")
