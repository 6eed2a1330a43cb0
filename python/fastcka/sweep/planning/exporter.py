"""Modules that write the results of a sweep in a further form (its field ``export``).

The package that defines a form contains its exporter. Such a package imports the sweep, so the
sweep must load the exporter by name, and only if the configuration asks for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Container

    from fastcka.store import Store
    from fastcka.sweep.ledger.ledger import Ledger
    from fastcka.sweep.planning.plan import SweepPlan
    from fastcka.sweep.question.config import SweepConfig

MODULES: Final = {"pairs": "fastcka.pair.export"}
"""Value of ``export`` -> the module that is an `Exporter`."""


class Exporter(Protocol):
    """A module that writes one form of results."""

    def check_export(self, plan: SweepPlan, store: Store) -> list[str]:
        """Refuse a plan that the form cannot represent; return notes for the reader of the plan."""
        ...

    def write_export(
        self, plan: SweepPlan, store: Store, ledger: Ledger, failed: Container[int]
    ) -> object:
        """Write the values of the ledger, without the groups at the ``failed`` positions."""
        ...


def exporter_of(config: SweepConfig) -> Exporter | None:
    """Return the exporter that ``config`` names; None if it names none."""
    return None if config.export is None else cast(Exporter, import_module(MODULES[config.export]))
