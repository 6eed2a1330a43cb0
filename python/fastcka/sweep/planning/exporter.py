"""What writes the results of a sweep in a further form, as its field ``export`` asks.

A form belongs to the package that defines it. These packages use the sweep, so that the sweep loads
the module that writes a form by its name, when a sweep asks for it.
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
        """Refuse a plan that the form cannot hold; return what its reader should know."""
        ...

    def write_export(
        self, plan: SweepPlan, store: Store, ledger: Ledger, failed: Container[int]
    ) -> object:
        """Write the values of the ledger, but not of the groups at the ``failed`` positions."""
        ...


def exporter_of(config: SweepConfig) -> Exporter | None:
    """Return the exporter that a sweep asks for; None if it asks for none."""
    return None if config.export is None else cast(Exporter, import_module(MODULES[config.export]))
