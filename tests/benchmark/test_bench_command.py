"""The benchmark really runs, in miniature; whether it is fast is not asked here."""

import re

import pytest
from typer.testing import CliRunner

from napari_surgisam.cli import app

pytestmark = pytest.mark.sam2


def table(arguments, path):
    """Run the command; return its table as rows of cells."""
    options = ["bench", "--tiny", "--repeats", "2", "--out", str(path), *arguments]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    text = path.read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert "rounds in turns" in text and "torch" in text.splitlines()[-1]
    return rows[2:]


def values(rows, what):
    """Return the medians of the rows about something, by engine."""
    return {row[2]: float(row[3].split()[0]) for row in rows if re.search(what, row[1])}


def test_both_engines_track_and_correct_the_same_footage(tmp_path):
    rows = table(["--only", "first-pass", "--only", "correction"], tmp_path / "table.md")
    rates = values(rows, "4 frames$")
    shipped, equal = "official, as shipped", "official, same precision"
    assert set(rates) == {"ours", equal, shipped, "ours, efficient-pruning"}
    assert min(rates.values()) > 0
    seconds = values(rows, "correction in 12 frames$")
    assert set(seconds) == {"ours", "ours, ending early", equal, shipped}
    (compared,) = [row for row in rows if row[1].endswith("correction in 12 frames: as shipped")]
    assert compared[5] == "at least 5"
    assert compared[6] == ("yes" if float(compared[3]) >= 5 else "NO")
    assert values(rows, "frames tracked")["ours, ending early"] <= 10


def test_the_embedded_model_is_timed_beside_the_others(tmp_path):
    rows = table(["--only", "embedded"], tmp_path / "table.md")
    assert set(values(rows, "frames$")) == {"embedded", "SAM 2.1-T here", "official, as shipped"}
    assert [row[5] for row in rows if row[2] == "ratio"] == ["at least 2", "at least 4"]


def test_what_is_not_the_network_and_clicks_are_measured(tmp_path):
    rows = table(["--only", "outside", "--only", "click", "--only", "gpu"], tmp_path / "table.md")
    assert 0 < values(rows, "h264")["ours"] < 100
    assert len([row for row in rows if row[0] == "click"]) == 2


@pytest.mark.timeout(600)
def test_processes_of_their_own_are_watched(tmp_path):
    arguments = ["--only", "memory", "--only", "length", "--minutes", "0.05"]
    rows = table(arguments, tmp_path / "table.md")
    peaks = values(rows, "2 objects, 8 frames")
    assert set(peaks) == {"ours", "official"}
    assert min(peaks.values()) > 100  # megabytes: torch alone takes more
    assert values(rows, "growth of memory")


def test_a_row_that_does_not_exist_is_refused_at_once():
    result = CliRunner().invoke(app, ["bench", "--only", "speed"])
    assert result.exit_code == 2
    assert "no row 'speed'" in result.output


def test_a_table_is_not_replaced_unasked(tmp_path):
    (tmp_path / "table.md").write_text("mine")
    result = CliRunner().invoke(app, ["bench", "--out", str(tmp_path / "table.md")])
    assert result.exit_code == 2
    assert (tmp_path / "table.md").read_text() == "mine"
