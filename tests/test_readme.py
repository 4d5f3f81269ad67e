"""What README shows works as it stands there."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_surgisam.cli import app
from napari_surgisam.resources import sample_data

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.sam2
def test_the_python_example_makes_labels():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "surgery.mp4" in code
    code = code.replace("surgery.mp4", str(sample_data() / "clip.mp4"))
    names: dict[str, object] = {}
    exec(f"{code}    if event.frame == 2:\n        break\n", names)  # three frames are enough
    assert names["labels"].shape == (480, 640)
    assert (names["labels"] == 1).any()


def test_every_command_and_option_exists():
    shown = re.findall(r"^surgisam (.+)$|`surgisam ([^`]+)`", README.read_text(), re.MULTILINE)
    assert len(shown) >= 6
    for line in {first or second for first, second in shown}:
        words = line.partition("#")[0].split()
        command = words[: 2 if words[0] == "models" and len(words) > 1 else 1]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, "--help"])
        assert result.exit_code == 0, line
        for option in (word for word in words if word.startswith("--")):
            assert option in result.stdout, line
