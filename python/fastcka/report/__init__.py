"""Reports of sweeps and of training phases: figures, tables, and one page with all of them.

    from fastcka.report import write_report

    report = write_report("results")     # results/report/index.html, figures/, tables/

    results.csv, run.json --stats--> views --draw--> PNG, PDF, CSV --page--> index.html
    *_analysis.json of `fastcka evolve` ---------> tables, its figures --^

All numbers come from results.csv and the analyses. The page lists every view that could not be
drawn, with the reason.
"""

from __future__ import annotations

from fastcka.report.roles import Roles
from fastcka.report.write import ReportResult, write_report

__all__ = ["ReportResult", "Roles", "write_report"]
