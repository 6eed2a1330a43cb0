"""``plan --emit-configs`` and ``--emit-scripts``: a sweep written out, a file for each pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.pair.folder import require_free, write_folder
from fastcka.pair.planned import planned_pairs
from fastcka.pair.scripts import script_files
from fastcka.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from fastcka.sweep.planning.plan import SweepPlan


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was written.

    Attributes
    ----------
    configs
        The folder of the configurations.
    n_pairs
        How many there are.
    n_from_store
        Those that read the store, since the checkpoints it was imported from are not there.
    scripts
        The scripts, the one that runs all parts last; empty if none were asked for.
    """

    configs: Path
    n_pairs: int
    n_from_store: int
    scripts: tuple[Path, ...]


def emit_pairs(
    plan: SweepPlan, configs: Path, *, scripts: Path | None = None, chunks: int = 1, name: str = ""
) -> Emitted:
    """Write a configuration for each pair of a sweep, and scripts that run them.

    Parameters
    ----------
    plan
        The sweep.
    configs
        A new or empty folder for the configurations; it may be inside that of the scripts.
    scripts
        A new or empty folder for scripts; None for none.
    chunks
        Number of parts that the scripts divide the pairs into.
    name
        What the scripts call the sweep.

    Raises
    ------
    SweepError
        The sweep has comparisons that are no pair; see `planned_pairs`.
    InputError
        A folder holds something already, or there are more chunks than pairs.
    """
    with open_store(plan.config.store) as store:
        pairs = planned_pairs(plan, store)
    configs = configs.resolve()
    texts = {pair.file_name: pair.config.to_yaml().encode() for pair in pairs}
    paths: list[Path] = []
    require_free(configs, replace=False, known=(), where="--emit-configs")
    if scripts is not None:
        scripts = scripts.resolve()
        files = script_files(
            pairs, name=name, chunks=chunks, configs=configs, logs=scripts / "logs"
        )
        paths = [scripts / script for script in files]
        if configs.parent == scripts:
            files |= {f"{configs.name}/{file}": text for file, text in texts.items()}
        write_folder(scripts, files, replace=False, known=(), where="--emit-scripts")
    if scripts != configs.parent:
        write_folder(configs, texts, replace=False, known=(), where="--emit-configs")
    stored = plan.config.store.resolve()
    return Emitted(
        configs=configs,
        n_pairs=len(pairs),
        n_from_store=sum(
            stored in (pair.config.exp1.repr_dir, pair.config.exp2.repr_dir) for pair in pairs
        ),
        scripts=tuple(paths),
    )
