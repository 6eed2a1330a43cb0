"""What a sweep found, drawn and written out: figures, tables and one page that holds them all.

    from fastcka.report import write_report

    report = write_report("results")     # results/report/index.html, figures/, tables/

    results.csv, run.json --stats--> views --draw--> PNG, PDF, CSV --page--> index.html
    *_analysis.json of `fastcka evolve` ---------> tables, its figures --^

Every number comes from the table; a view that cannot be drawn is listed with the reason.
"""

from __future__ import annotations

from fastcka.report.roles import Roles
from fastcka.report.write import ReportResult, write_report

__all__ = ["ReportResult", "Roles", "write_report"]
