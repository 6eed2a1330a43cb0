"""The directive ``yaml-keys``: the keys of a YAML file, from a pydantic model and its docstring."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from docutils import nodes
from numpydoc.docscrape import NumpyDocString
from pydantic import TypeAdapter
from sphinx.util.docutils import SphinxDirective
from tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sphinx.application import Sphinx

_NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "mapping",
}


class YamlKeys(SphinxDirective):
    """``.. yaml-keys:: MODULE.MODEL`` is a table: key, type, default and meaning."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        schema = TypeAdapter(model).json_schema()
        required = schema.get("required", ())
        meanings = attributes(model)
        rows = [
            (
                nodes.paragraph("", "", nodes.literal("", key)),
                nodes.paragraph("", type_text(value, schema.get("$defs", {}))),
                _default(value, required=key in required),
                self.parse_text_to_nodes(meanings.get(key, "")),
            )
            for key, value in schema["properties"].items()
        ]
        return [table(("key", "type", "default", "meaning"), rows, widths=(14, 22, 14, 50))]


def attributes(model: type) -> dict[str, str]:
    """Return the descriptions of the attributes in the docstrings of a class and its bases."""
    meanings: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not base.__module__.startswith("fastcka"):
            continue
        for entry in NumpyDocString(inspect.getdoc(base) or "")["Attributes"]:
            for name in entry.name.split(", "):
                meanings[name] = "\n".join(entry.desc)
    return meanings


def type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a JSON schema in words."""
    if "$ref" in schema:
        return type_text(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema or "const" in schema:
        return " or ".join(map(str, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        texts = [type_text(each, definitions) for each in schema["anyOf"]]
        return " or ".join(dict.fromkeys(texts))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {type_text(schema.get('items', {}), definitions)}"
    if kind == "object" and "properties" in schema:
        return f"mapping with {', '.join(schema['properties'])}"
    if kind == "string" and schema.get("format") == "path":
        return "path"
    return _NAMES.get(str(kind), "any value")


def _default(schema: Mapping[str, Any], *, required: bool) -> nodes.paragraph:
    if required:
        return nodes.paragraph("", "required")
    value = schema.get("default", {} if schema.get("type") == "object" else [])
    names = {None: "null", True: "true", False: "false"}
    text = names[value] if value is None or isinstance(value, bool) else str(value)
    return nodes.paragraph("", "", nodes.literal("", text))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("yaml-keys", YamlKeys)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
