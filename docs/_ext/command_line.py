"""The directive ``command-line``: a section for each command of ``fastcka``, from typer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer.main
from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from tables import table

from fastcka.cli.app import STATUSES
from fastcka.cli.app import app as commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx


def every_command(group: Any = None, name: str = "fastcka") -> Iterator[tuple[str, Any]]:
    """Yield the words and the command of every command that takes arguments."""
    group = typer.main.get_command(commands) if group is None else group
    if not hasattr(group, "commands"):
        yield name, group
        return
    for word, command in group.commands.items():
        yield from every_command(command, f"{name} {word}")


class CommandLine(SphinxDirective):
    """``.. command-line::`` documents all commands."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return [_section(name, command) for name, command in every_command()]


class ExitStatuses(SphinxDirective):
    """``.. exit-statuses::`` is the sentence that ``fastcka --help`` ends with."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the paragraph."""
        return [_text(STATUSES)]


def _section(name: str, command: Any) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(name)], names=[nodes.fully_normalize_name(name)])
    section += nodes.title("", name)
    context = typer.Context(command, info_name=name)
    usage = command.get_usage(context).removeprefix("Usage: ")
    section += nodes.literal_block("", " ".join(usage.split()), language="console")
    section += _paragraphs(command.help)
    records = filter(None, (parameter.get_help_record(context) for parameter in command.params))
    rows = [
        (nodes.paragraph("", "", nodes.literal("", names)), _text(meaning))
        for names, meaning in records
    ]
    if rows:
        section += table(("argument or option", "meaning"), rows, widths=(35, 65))
    section += _paragraphs(command.epilog)
    return section


def _text(text: str | None) -> nodes.paragraph:
    return nodes.paragraph("", text or "")


def _paragraphs(text: str | None) -> list[nodes.Node]:
    """Return the paragraphs of a help text."""
    blocks = (text or "").replace("\b", "").split("\n\n")
    return [nodes.paragraph("", " ".join(block.split())) for block in blocks if block.strip()]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    app.add_directive("exit-statuses", ExitStatuses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
