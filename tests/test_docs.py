"""The documentation says what there is: links lead somewhere, commands and widgets are in it."""

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from typer.main import get_command

from napari_surgisam.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, *(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
         ROOT / "sample_data" / "README.md"]  # fmt: skip
WIDE = re.compile(r"```.*?```|~~~.*?~~~", re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|<img[^>]*src=\"([^\"]+)\"")


def prose(page: Path) -> str:
    """Return a page without what is shown as code."""
    return re.sub(r"`[^`\n]*`", "", WIDE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as mkdocs and GitHub both make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", WIDE.sub("", page.read_text()), re.MULTILINE):
        given = re.search(r"\{#([\w-]+)\}", heading)
        text = re.sub(r"[`*]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).lower()
        slug = re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip())
        found.add(given[1] if given else slug)
    return found


def links(page: Path) -> Iterator[str]:
    for link, picture in LINK.findall(prose(page)):
        yield link or picture


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_and_anchor_exists(page):
    wrong = []
    for link in links(page):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme in ("https", "mailto"), link
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.exists():
            wrong.append(f"{link}: there is no {target}")
        elif parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
            wrong.append(f"{link}: {target.name} has no such heading: {sorted(anchors(target))}")
        elif DOCS in page.parents and DOCS not in target.parents:
            wrong.append(f"{link}: it is outside the site")
    assert not wrong


def nav(entries: object) -> Iterator[str]:
    if isinstance(entries, str):
        yield entries
    for entry in entries if isinstance(entries, list) else []:
        yield from nav(next(iter(entry.values())) if isinstance(entry, dict) else entry)


def site() -> dict[str, object]:
    class Loader(yaml.SafeLoader):
        """Reads mkdocs' own tags as plain words."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    return yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)


def test_the_site_leads_to_every_page():
    listed = list(nav(site()["nav"]))
    assert sorted(listed) == sorted(str(p.relative_to(DOCS)) for p in PAGES)
    assert listed[0] == "index.md"


def test_every_picture_is_shown_and_is_there():
    shown = {
        (page.parent / link).resolve()
        for page in TEXTS for link in links(page) if link.endswith((".png", ".jpg"))
        and not urlsplit(link).scheme
    }  # fmt: skip
    assert {p.resolve() for p in (DOCS / "images").iterdir()} == shown


def command_trees(command, path=()):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from command_trees(inner, (*path, name))


def test_the_commands_page_has_every_command_and_option():
    chapters = dict(
        re.findall(r"^## surgisam (.+?)\n(.*?)(?=^## |\Z)", (DOCS / "commands.md").read_text(),
                   re.MULTILINE | re.DOTALL)
    )  # fmt: skip
    for path, command in command_trees(get_command(app)):
        if getattr(command, "commands", None):
            continue
        chapter = chapters.pop(" ".join(path))
        for parameter in command.params:
            for option in (o for o in parameter.opts if o.startswith("-") and o != "--help"):
                assert f"`{option}`" in chapter, (path, option)
    assert not chapters, "the page has commands that are gone"


def test_the_commands_page_is_up_to_date():
    page = runpy.run_path(str(DOCS / "make_commands.py"))["page"]()
    assert page == (DOCS / "commands.md").read_text(), "run: python docs/make_commands.py"


def test_every_dock_widget_sample_and_writer_is_described():
    manifest = yaml.safe_load((ROOT / "src/napari_surgisam/napari.yaml").read_text())
    contributed = manifest["contributions"]
    pages = "\n".join(page.read_text() for page in PAGES)
    for widget in contributed["widgets"]:
        name = widget["display_name"]
        assert re.search(rf"^## \*?{name}\*?$", (DOCS / "window.md").read_text(), re.M), name
    for sample in contributed["sample_data"]:
        assert sample["display_name"].split(" (")[0] in pages, sample
    for writer in contributed["writers"]:
        for ending in writer["filename_extensions"]:
            assert ending in pages, ending
    for category in contributed["configurations"].values():
        for entry in category["properties"].values():
            assert entry["title"] in (DOCS / "window.md").read_text(), entry["title"]


def test_every_key_is_described():
    pytest.importorskip("qtpy.QtWidgets", exc_type=ImportError)
    from napari_surgisam.plugin.keys import KEYS, written

    table = (DOCS / "window.md").read_text()
    for key, _, what in KEYS:
        assert f"| `{written(key)}` | {what} |" in table, key


def raised_texts() -> list[str]:
    """Return all words of the source, with … for what is filled in."""
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


OTHERS = {"surgisam: command not found", 'could not load the Qt platform plugin "xcb"'}
"""Messages of the shell and of Qt."""


def test_every_message_in_troubleshooting_can_be_said():
    page = (DOCS / "troubleshooting.md").read_text()
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(quoted) > 30
    texts = raised_texts()
    for message in set(quoted) - OTHERS:
        wanted = [part.strip(" .") for part in message.split("…") if len(part) > 3]
        assert any(all(part in text for part in wanted) for text in texts), message


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_figures_at_the_front_are_those_of_the_pages_behind(page):
    text = (ROOT / page).read_text().partition("## What to expect")[2].partition("\n## ")[0]
    behind = (DOCS / "models.md").read_text() + (DOCS / "benchmark.md").read_text()
    measured = [float(number) for number in re.findall(r"(?<![\w.])\d+\.\d+", behind)]
    quoted = re.findall(r"(?<![\w.-])\d\.\d\d(?!\d)", text)
    assert len(quoted) >= 5
    for figure in quoted:
        assert any(f"{number:.2f}" == figure for number in measured), figure
