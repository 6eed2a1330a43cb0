"""The directive ``public-api``: the reference of a package, from its ``__all__`` and docstrings.

Names that the package ``fastcka`` exports too are documented on its page; other pages link there.
"""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

import fastcka

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

#: Classes whose methods are not repeated in the reference of a class that inherits them.
BASES = "BaseModel, tuple, Exception, ValueError, OSError, object"


class PublicApi(SphinxDirective):
    """``.. public-api:: PACKAGE`` documents every name in ``PACKAGE.__all__``."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Insert a table of the names, then autodoc's directive for each of them."""
        name = self.arguments[0]
        lines = list(reference_lines(importlib.import_module(name)))
        self.state_machine.insert_input(StringList(lines, source=name), name)
        return []


def reference_lines(package: ModuleType) -> list[str]:
    """Return reStructuredText for the public names of a package."""
    root = {} if package is fastcka else {id(getattr(fastcka, n)): n for n in fastcka.__all__}
    here, elsewhere = [], []
    for name in public_names(package):
        value = getattr(package, name)
        if isinstance(value, ModuleType) or name.startswith("__"):
            continue
        (elsewhere if id(value) in root else here).append(name)
    lines = [f".. module:: {package.__name__}", ""]
    if elsewhere:
        links = ", ".join(
            f":py:obj:`{n} <fastcka.{root[id(getattr(package, n))]}>`" for n in elsewhere
        )
        lines += [f"Also in this package, documented with :doc:`fastcka`: {links}.", ""]
    lines += [".. autosummary::", "   :nosignatures:", ""]
    lines += [*(f"   {name}" for name in here), ""]
    for name in here:
        lines += _directive(package.__name__, name, getattr(package, name))
    return lines


def public_names(package: ModuleType) -> list[str]:
    """Return ``__all__``, or the classes that a module without it defines."""
    if hasattr(package, "__all__"):
        return list(package.__all__)
    return [
        name
        for name, value in vars(package).items()
        if inspect.isclass(value) and value.__module__ == package.__name__
    ]


def _directive(package: str, name: str, value: Any) -> list[str]:
    if inspect.isclass(value):
        members = ["   :members:", f"   :inherited-members: {BASES}"]
        members += ["   :exclude-members: model_config"]
        return [f".. autoclass:: {package}.{name}", *members, ""]
    if callable(value) and inspect.isroutine(value):
        return [f".. autofunction:: {package}.{name}", ""]
    return [f".. autodata:: {package}.{name}", ""]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("public-api", PublicApi)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
