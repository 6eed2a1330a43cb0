"""Resolve the names in docstrings: to the page that documents them, or to plain code.

A docstring names things as its readers know them: ``Comparison``, ``compare``, ``stderr``. Sphinx
looks in the current module only. A name that is documented on one page of the site is linked here.
Other names must be identifiers of the source (a parameter, a private module) or of another library;
they become code without a link, because no inventory is fetched. All others are warnings.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastcka

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: Libraries whose names docstrings mention. The site has no inventories of them.
LIBRARIES = (
    *("cupy", "dask", "distributed", "h5py", "lightning", "matplotlib", "numpy", "np", "pandas"),
    *("pathlib", "pd", "polars", "pyarrow", "rich", "scipy", "sklearn", "torch", "transformers"),
    *("typer", "typing", "xarray", "xr", "zarr", "collections", "contextlib", "os", "enum"),
)
BUILTINS = frozenset(dir(builtins)) | frozenset(dir(OSError))  # names, and attributes of errors


@cache
def identifiers() -> frozenset[str]:
    """Return the names that the source defines: classes, functions, fields, arguments."""
    names: set[str] = set()
    for file in Path(fastcka.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(t.id for t in targets if isinstance(t, ast.Name))
    return frozenset(names)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, contnode: nodes.Element
) -> nodes.Element | None:
    """Link a name to the one place where it is documented, or leave it as code."""
    if node.get("refdomain") != "py":
        return None
    target = str(node["reftarget"]).removesuffix("()").lstrip("~.")
    domain: Any = env.domains["py"]
    names = [name for name in domain.objects if name == target or name.endswith("." + target)]
    if not names and target.startswith("fastcka."):  # a module that is not public
        last = target.rpartition(".")[2]
        names = [name for name in domain.objects if name.endswith("." + last)]
    if names:
        name = min(names, key=lambda each: (each.count("."), len(each), each))
        from sphinx.util.nodes import make_refnode

        entry = domain.objects[name]
        assert app.builder is not None
        return make_refnode(
            app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name
        )
    return contnode if is_known(target) else None


def is_known(target: str) -> bool:
    """Whether a name exists in fastcka, in Python or in a library that docstrings mention."""
    first, _, rest = target.partition(".")
    if first == "fastcka":
        return _is_module(target) or target.rpartition(".")[2] in identifiers()
    if first in LIBRARIES or first in BUILTINS:
        return True
    return all(part in identifiers() for part in (first, *rest.split("."))[: 1 + bool(rest)])


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handler."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
