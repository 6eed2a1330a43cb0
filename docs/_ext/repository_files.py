"""Pages of the site that are files of the repository outside ``docs``, and links to such files.

A page such as ``docs/changelog.md`` contains one link, so that it is useful in a plain view of the
repository. On the site, the text of the file takes its place. Links to files that are a page of the
site lead to that page; links to other files of the repository become the name of the file as code.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

#: The page of each file.
PAGES = {
    "benchmarks/README.md": "benchmarks",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "README.md": "index",
}
_FILES = {page: file for file, page in PAGES.items() if page != "index"}

_HEADING = re.compile(r"^####+ ", re.MULTILINE)  # Sphinx refuses headings that skip a level
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def replace_text(app: Sphinx, docname: str, source: list[str]) -> None:
    """Take the text of a file of the repository, and let its links lead to pages."""
    file = _FILES.get(docname)
    path = DOCS / f"{docname}.md" if file is None else ROOT / file
    if file is not None:
        app.env.note_dependency(str(path))
        source[0] = _HEADING.sub("### ", path.read_text("utf-8"))
    if path.is_file():
        source[0] = _LINK.sub(lambda found: _link(found, path.parent, docname), source[0])


def _link(link: re.Match[str], folder: Path, docname: str) -> str:
    image, text, target, anchor = link.groups()
    if "://" in target:
        return link[0]
    path = Path(os.path.normpath(folder / target))
    page = PAGES.get(path.relative_to(ROOT).as_posix()) if path.is_relative_to(ROOT) else None
    here = (DOCS / docname).parent
    if page is not None:
        return f"[{text}]({os.path.relpath(DOCS / page, here)}.md{anchor or ''})"
    if path.is_relative_to(DOCS) or image:
        return f"{image}[{text}]({os.path.relpath(path, here)}{anchor or ''})"
    return text if text.startswith("`") else f"`{text}`"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the handler."""
    app.connect("source-read", replace_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
