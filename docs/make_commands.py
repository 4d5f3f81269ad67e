"""Write `docs/commands.md`: every command with all its options, from the commands themselves.

Run from the repository's root: ``python docs/make_commands.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Signature, cleandoc, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from napari_surgisam.cli import app

if TYPE_CHECKING:
    import typer

Command = Callable[..., Any]

WORDS = {bool: "", int: "N", float: "X", Path: "PATH"}
"""What stands for a value of a kind."""

PAGE = Path(__file__).parent / "commands.md"

HEAD = """\
# Commands

All that `surgisam --help` and `surgisam COMMAND --help` say. Results go to stdout, words and
progress to stderr. The exit code is 0 only on success, 1 where a computation stopped or some cases
failed, 2 on wrong input, 130 on Ctrl+C.

<!-- written by docs/make_commands.py -->
"""


def commands(group: typer.Typer, path: str = "surgisam") -> Iterator[tuple[str, Command]]:
    """Yield the commands of a group, each with the words that call it."""
    for info in group.registered_commands:
        name = info.name or info.callback.__name__.replace("_", "-")
        yield f"{path} {name}", info.callback
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, f"{path} {inner.name}")


def parameters(command: Command) -> Iterator[Parameter]:
    """Yield the arguments and options of a command."""
    hints = get_type_hints(command, include_extras=True)
    for name, signed in signature(command).parameters.items():
        kind, *notes = get_args(hints[name])
        (info,) = (n for n in notes if isinstance(n, OptionInfo | ArgumentInfo))
        yield Parameter(name, kind, info, signed.default)


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or an option, as its command's signature says."""

    name: str
    kind: Any
    info: OptionInfo | ArgumentInfo
    default: Any

    @property
    def is_option(self) -> bool:
        """Whether it is asked for by name."""
        return isinstance(self.info, OptionInfo)

    @property
    def names(self) -> tuple[str, ...]:
        """How it is written."""
        if not self.is_option:
            return (self.metavar,)
        # In an annotation, typer takes the first name for a default at first.
        first = [self.info.default] if isinstance(self.info.default, str) else []
        given = [*first, *(self.info.param_decls or ())]
        return tuple(given) or (f"--{self.name.replace('_', '-')}",)

    @property
    def metavar(self) -> str:
        """What stands for its value; empty for a flag."""
        several = get_origin(self.kind) is list
        if self.info.metavar:
            word = str(self.info.metavar)
        elif not self.is_option:
            word = self.name.upper()
        else:
            kinds = [k for k in (get_args(self.kind) or (self.kind,)) if k is not type(None)]
            word = WORDS.get(get_args(kinds[0])[0] if get_args(kinds[0]) else kinds[0], "TEXT")
        return f"{word}…" if several and not self.is_option else word

    def row(self) -> str:
        """Return the row of the table."""
        names = ", ".join(f"`{name}`" for name in self.names)
        takes = f" `{self.metavar}`" if self.is_option and self.metavar else ""
        usual = "" if self.default in (None, False, "") else f"`{self.default}`"
        if self.default is Signature.empty:
            usual = "required"
        return f"| {_cell(names + takes)} | {_cell(self.info.help or '')} | {usual} |"


def page() -> str:
    """Return the page."""
    parts = [HEAD]
    for path, command in commands(app):
        taken = list(parameters(command))
        words = [path, "[OPTIONS]", *(p.metavar for p in taken if not p.is_option)]
        text = cleandoc((command.__doc__ or "").replace("\b", ""))
        parts.append(f"## {path}\n\n```\n{' '.join(words)}\n```\n\n{text}\n")
        if taken:
            rows = "\n".join(parameter.row() for parameter in taken)
            parts.append(f"| | what | usual |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
