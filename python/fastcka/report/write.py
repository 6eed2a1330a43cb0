"""Write a report: all figures, all tables, and the page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError
from fastcka.out_of_memory import named_shortage
from fastcka.report.blocks import blocks
from fastcka.report.clusters import cluster_ranks
from fastcka.report.comparisons import comparisons
from fastcka.report.data import ReportData
from fastcka.report.evolution import evolution, evolution_summary
from fastcka.report.explorer import layer_matrices, matrices_of_pairs, pair_table
from fastcka.report.facts import read_facts
from fastcka.report.folder import claim, finish
from fastcka.report.items import Drawing, Image, Item, NotDrawn, Sheet, Shown, gathered
from fastcka.report.maps import maps
from fastcka.report.matrices import matrices
from fastcka.report.opening import READING, opening
from fastcka.report.page import PageContent, Section, page_text
from fastcka.report.pairs import page_data
from fastcka.report.roles import find_roles
from fastcka.report.timelines import timelines
from fastcka.report.trends import trends
from fastcka.report.writer import Writer
from fastcka.stats import read_results
from fastcka.stats.compare import PERMUTATIONS
from fastcka.sweep.planning.folder import RESULTS

if TYPE_CHECKING:
    from fastcka.stats import PairTable

PAGE = "index.html"
_VIEWS: Mapping[str, tuple[Callable[[ReportData], Iterator[Item]], ...]] = {
    "All pairs": (matrices_of_pairs, matrices, blocks),
    "Layer by layer": (layer_matrices,),
    "Over training": (timelines,),
    "Comparisons and tests": (comparisons,),
    "By family": (trends,),
    "Map and dendrogram": (maps,),
    "Table of pairs": (pair_table,),
}
"""Heading on the page -> the functions that yield its figures and tables."""


@dataclass(frozen=True, slots=True)
class ReportResult:
    """The files of a report.

    Attributes
    ----------
    folder, page
        The folder and its ``index.html``.
    figures, tables
        PNG files and CSV files. Every figure of a sweep also has a PDF file.
    not_drawn
        What the report does not show, with the reason; what does not apply to the sweep is last.
    """

    folder: Path
    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    not_drawn: tuple[NotDrawn, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a dict for JSON."""
        return {
            "folder": str(self.folder),
            "page": str(self.page),
            "figures": [str(path) for path in self.figures],
            "tables": [str(path) for path in self.tables],
            "not_drawn": [{**asdict(item), "where": list(item.where)} for item in self.not_drawn],
        }


@named_shortage("writing a report")
def write_report(
    results: str | Path,
    *,
    out: str | Path | None = None,
    variant: str | None = None,
    seed: str | None = None,
    family: str | None = None,
    all_steps: bool = False,
    permutations: int = PERMUTATIONS,
    progress: Callable[[str], None] | None = None,
) -> ReportResult:
    """Write a report of the results of a sweep, of `fastcka.evolution.evolve`, or of both.

    Parameters
    ----------
    results
        The folder that a sweep or `evolve` wrote, or the results.csv of a sweep.
    out
        Folder of the report, by default ``report/`` in the folder of the results. It must be new,
        empty, or an earlier report, which is replaced.
    variant, seed, family
        The factors with these roles (see `Roles`), by default the factors with these names.
    all_steps
        If a sweep has more than three steps, comparisons, trends and the files of figures are made
        for the last step only; True makes them for all steps. The matrices of the page and the
        tables of matrices, block means and trends always contain all steps.
    permutations
        Number of relabellings in each permutation test.
    progress
        Called with the name of each file after it is written.

    Raises
    ------
    InputError
        ``results`` contains neither results.csv nor an analysis, the table lacks a field you named,
        or ``out`` contains something other than a report.
    MissingExtraError
        matplotlib, jinja2 or plotly is not installed.
    """
    results = Path(results)
    home = results if results.is_dir() else results.parent
    evolved = evolution_summary(home)
    swept = None
    if results.is_file() or (home / RESULTS).exists() or not evolved:
        parts = {"variant": variant, "seed": seed, "family": family}
        swept = _read_sweep(results, home, parts, all_steps=all_steps, permutations=permutations)
    folder = Path(out) if out is not None else home / "report"
    before = claim(folder)
    writer = Writer(folder, progress)
    missing = [] if swept is None else list(swept.missing)
    views: list[tuple[str, Iterable[Item]]] = []
    if swept is not None:
        views += [
            (title, chain.from_iterable(view(swept.data) for view in group))
            for title, group in _VIEWS.items()
        ]
    sections = []
    for title, items in (*views, ("Phases of training", evolution(home))):
        shown: list[Shown] = []
        for item in items:
            if isinstance(item, NotDrawn):
                missing.append(item)
            elif isinstance(item, Drawing):
                writer.drawing(item)
            elif isinstance(item, Sheet):
                writer.sheet(item)
            else:
                shown.append(item)
                if isinstance(item, Image):
                    writer.figures.append(item.path)
        if shown:
            sections.append(Section(title, shown))
    missing = gathered(missing)
    content = PageContent(
        title=f"fastcka: {results.resolve().name}",
        lead=[
            *([] if swept is None else [opening(swept.data)]),
            *(f"{name}: {text}" for name, text in evolved.items()),
        ],
        reading=() if swept is None else READING,
        data=None if swept is None else _data(swept.data),
        caption="" if swept is None else swept.data.facts.caption(swept.table),
        sections=sections,
        facts={} if swept is None else _summary(swept),
        files=writer.contents,
        not_drawn=missing,
    )
    writer.text(PAGE, page_text(content))
    finish(folder, writer.files, before)
    return ReportResult(
        folder=folder,
        page=folder / PAGE,
        figures=tuple(writer.figures),
        tables=tuple(folder / name for name in writer.files if name.endswith(".csv")),
        not_drawn=tuple(missing),
    )


@dataclass(frozen=True, eq=False)
class _Sweep:
    """The table, the data of the views, and what the views will not show."""

    table: PairTable
    data: ReportData
    missing: list[NotDrawn]


def _read_sweep(
    results: Path,
    home: Path,
    parts: Mapping[str, str | None],
    *,
    all_steps: bool,
    permutations: int,
) -> _Sweep:
    facts = read_facts(home)
    table = read_results(results, order=facts.order)
    roles = find_roles(table, **parts)
    if not len(table):
        raise InputError(
            f"{results}: expected at least one row in {RESULTS}, got none: nothing to report"
        )
    data = ReportData.of(table, facts, roles, all_steps=all_steps, permutations=permutations)
    missing = [
        NotDrawn(
            f"Comparisons, trends and timelines of {count:,} pair{'s' * (count > 1)} {reason}",
            "these are of two models at one layer and step; the matrices of the page and the table "
            "of pairs show all pairs",
            applies=False,
        )
        for reason, count in data.cut.left_out.items()
    ]
    missing += [
        NotDrawn(f"Group '{group}', which could not be computed", reason)
        for group, reason in facts.failed.items()
    ]
    if facts.problem is not None:
        missing.append(NotDrawn("Example filter, features, order of labels", facts.problem))
    earlier = [step for step in data.cut.steps if step not in data.drawn]
    if earlier:
        missing.append(
            NotDrawn(
                f"Files of figures, comparisons and trends at {len(earlier)} earlier steps",
                f"of more than three steps only the last, {data.cut.steps[-1]}, is drawn; "
                "--all-steps draws all. The matrices of the page and the tables of matrices, block "
                "means and trends contain all steps",
            )
        )
    return _Sweep(table, data, missing)


def _data(data: ReportData) -> dict[str, Any]:
    ranks = cluster_ranks(data.pairs.keys, data.clusters.sets)
    return page_data(data.pairs, data.roles, data.facts, ranks)


def _summary(swept: _Sweep) -> dict[str, str]:
    table, data = swept.table, swept.data
    roles, used = data.roles, len(data.cut.usable)
    models = table.models()
    undefined = int(sum(value != value for value in table.cka.tolist()))
    rows = {
        "pairs of representations": f"{len(table):,}, from {len(models):,} models",
        "pairs in comparisons, trends and timelines": (
            f"{used:,} (two models, same layer, same step)"
        ),
        "undefined similarities": f"{undefined:,}",
        "examples and features": data.facts.caption(table),
        "layers": ", ".join(str(name) for name in table.labels("layer")),
        "steps": ", ".join(str(name) for name in table.labels("step")),
    }
    for role in ("variant", "seed", "family"):
        field = getattr(roles, role)
        if field is None:
            rows[role] = "none"
        else:
            names = ", ".join("(none)" if n is None else n for n in table.labels(field))
            rows[role] = names if field == role else f"{field}: {names}"
    return rows | data.facts.rows
