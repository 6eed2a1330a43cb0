"""Reading YAML strictly (one mapping, no aliases, no duplicate keys), and writing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fastcka.errors import FastckaError

MAX_BYTES = 1 << 20
"""People write a few pages of YAML. A file over 1 MiB is a wrong path or an attack."""

FieldPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The mapping in a YAML file, and the original text of each unquoted scalar.

    Messages need the text: YAML 1.1 reads ``no`` as false, ``0123`` as 83 and ``1e-3`` as text, and
    a person who wrote ``no`` does not recognise "got False".
    """

    data: dict[str, Any]
    written: dict[FieldPath, str]


class _RefusedError(ValueError):
    """The text contains something that is not allowed. The message does not name the file yet."""


class _StrictLoader(yaml.SafeLoader):
    """The safe loader without anchors and aliases, which allow documents of exponential size."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            line = event.start_mark.line + 1
            raise _RefusedError(
                f"line {line}: `{sign}{event.anchor}`: anchors and aliases are not allowed; "
                "write the value out"
            )
        return super().compose_node(parent, index)


def read_yaml(path: Path, *, error: type[FastckaError]) -> YamlDocument:
    """Read a YAML file that contains one mapping with text keys.

    Raises
    ------
    FastckaError
        An ``error``, if the file cannot be read, is over 1 MiB, is not UTF-8 or not YAML, contains
        an anchor, an alias, a duplicate key or a key that is not text, or is not a mapping. The
        message names the file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as cause:
        raise error(f"{path}: cannot be read: {cause.strerror}") from cause
    if len(raw) > MAX_BYTES:
        raise error(f"{path}: expected at most {MAX_BYTES} bytes, got more; check the path")
    try:
        return _parse(raw.decode("utf-8"))
    except _RefusedError as cause:
        raise error(f"{path}: {cause}") from None
    except UnicodeDecodeError as cause:
        raise error(
            f"{path}: not UTF-8 text (byte {cause.start}); save the file as UTF-8"
        ) from cause
    except RecursionError:
        raise error(f"{path}: nested too deeply") from None
    except (yaml.YAMLError, ValueError) as cause:  # 2024-13-45, which YAML takes for a date
        raise error(f"{path}: not valid YAML: {cause}") from cause


def yaml_text(data: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, in its order, with one line for each scalar and each list."""
    # Long paths and patterns are not wrapped, so that a text search finds them.
    return yaml.dump(dict(data), Dumper=_Writer, sort_keys=False, allow_unicode=True, width=10**6)


class _Writer(yaml.SafeDumper):
    """The safe dumper, which writes lists in brackets."""


_Writer.add_representer(
    list,
    lambda writer, items: writer.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=True
    ),
)


def _parse(text: str) -> YamlDocument:
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "one value"
            what = kind if node is not None else "an empty file"
            raise _RefusedError(f"expected a mapping (field: value lines), got {what}")
        written: dict[FieldPath, str] = {}
        _inspect(loader, node, (), written)
        data: dict[str, Any] = loader.construct_document(node)
    finally:
        loader.dispose()
    return YamlDocument(data=data, written=written)


def _inspect(
    loader: _StrictLoader, node: yaml.Node, path: FieldPath, written: dict[FieldPath, str]
) -> None:
    """Refuse duplicate and non-text keys below ``node``; record the text of unquoted scalars."""
    if isinstance(node, yaml.ScalarNode):
        if node.style is None:
            written[path] = node.value
    elif isinstance(node, yaml.SequenceNode):
        for position, child in enumerate(node.value):
            _inspect(loader, child, (*path, position), written)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, child in node.value:
            line = key_node.start_mark.line + 1
            where = f"{field_text(path)}: " if path else ""
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise _RefusedError(
                    f"line {line}: {where}`<<` is not allowed; write the fields out"
                )
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                given = describe(key, getattr(key_node, "value", None))
                raise _RefusedError(f"line {line}: {where}expected text as a key, got {given}")
            if key in seen:
                raise _RefusedError(f"line {line}: {where}the key '{key}' appears twice")
            seen.add(key)
            _inspect(loader, child, (*path, key), written)


def field_text(path: FieldPath) -> str:
    """Return ``("compare", "steps", 2)`` as ``compare.steps[2]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def describe(value: object, written: str | None = None) -> str:
    """Describe ``value`` for a message. Where YAML reads the text unexpectedly, explain how."""
    if isinstance(value, bool):
        plain = "true" if value else "false"
        if written is not None and written.lower() != plain:
            return (
                f"`{written}`, which YAML reads as the boolean {plain} "
                f"(quote it to mean the text '{written}')"
            )
        return f"the boolean {plain}"
    if isinstance(value, str):
        if written is not None and _is_number(written):
            return (
                f"`{written}`, which YAML reads as text (a number with an exponent needs a point "
                "and a sign, as in 1.0e-3)"
            )
        return f"the text {value!r}"
    if value is None:
        return "nothing (null)"
    if isinstance(value, int | float):
        if written is not None and written != repr(value):
            return f"`{written}`, which YAML reads as the number {value!r}"
        return f"the number {value!r}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"the list {list(value)!r}" if len(value) <= 8 else f"a list of {len(value)} values"
    if written is not None:
        return f"`{written}`, which YAML reads as a {type(value).__name__} (quote it)"
    return f"a {type(value).__name__}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
