"""Plan the groups of a sweep: their examples, their data and their passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.core import plan_pass, require_device
from fastcka.core.inference.folds import make_folds
from fastcka.errors import DeviceError, FilterError, InputError, SweepError
from fastcka.store import Key
from fastcka.sweep.planning.example_blocks import BlockReader
from fastcka.sweep.planning.examples import SampleError, TooFewExamplesError
from fastcka.sweep.planning.group import GroupPlan, Representation
from fastcka.sweep.question.labels import group_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastcka.store import Store
    from fastcka.sweep.planning.examples import ExampleMatcher, Member
    from fastcka.sweep.planning.matched import MatchedExamples
    from fastcka.sweep.question.config import SweepConfig
    from fastcka.sweep.question.labels import Labels
    from fastcka.sweep.question.pairs import LabelGroup


def plan_groups(
    groups: Sequence[LabelGroup],
    labels: Sequence[Labels],
    within: Sequence[str],
    store: Store,
    matcher: ExampleMatcher,
    config: SweepConfig,
    threads: int,
) -> tuple[GroupPlan, ...]:
    """Plan ``groups`` of ``labels`` from the store's index; no data is read.

    ``threads`` is the number of threads of a pass.

    Raises
    ------
    SweepError
        A group has too few examples that all its representations have and the filter keeps, the
        filter cannot be applied, or measures are asked for on a GPU.
    """
    device = config.device
    if config.further_measures:
        if device.startswith("cuda"):
            raise SweepError(
                f"measures: those besides cka are computed on the CPU only, and device is "
                f"{device!r}: choose device: cpu or auto, or leave out "
                f"{', '.join(measure.name for measure in config.further_measures)}"
            )
        device = "cpu"
    if why_not_here(device) is not None:
        device = "cpu"  # a sweep is often planned on one machine and run on another
    column = None if config.inference is None else config.inference.blocks
    reader = None if column is None else BlockReader(column)
    return tuple(
        _plan_group(
            position, group, labels, within, store, matcher, reader, config, device, threads
        )
        for position, group in enumerate(groups)
    )


def why_not_here(device: str) -> str | None:
    """Return why this machine cannot compute on ``device``; None if it can."""
    try:
        require_device(device)
    except DeviceError as error:
        return str(error)
    return None


def _plan_group(
    position: int,
    group: LabelGroup,
    labels: Sequence[Labels],
    within: Sequence[str],
    store: Store,
    matcher: ExampleMatcher,
    reader: BlockReader | None,
    config: SweepConfig,
    device: str,
    threads: int,
) -> GroupPlan:
    members = [labels[member] for member in group.members]
    infos = [store.info(Key(label["model"], label["step"], label["layer"])) for label in members]
    fields = {field: members[0][field] for field in within}
    sources = [(store, info) for info in infos]
    where = f"group '{group_name(fields)}'"
    examples = _examples(sources, where, matcher)
    blocks, digest = (None, "") if reader is None else reader.read(sources, examples, where)
    _require_folds(config, examples.n_examples, blocks, where)
    representations = tuple(
        Representation(
            info.key,
            label,
            info.n_features,
            info.dtype,
            info.digest,
            info.n_examples,
            info.examples_digest,
            staged=config.precision != "float64" and info.dtype != "float64",
            pooling=info.pooling,
        )
        for label, info in zip(members, infos, strict=True)
    )
    return GroupPlan(
        position=position,
        fields=fields,
        representations=representations,
        pairs=group.pairs,
        examples=examples,
        pass_plan=plan_pass(
            examples.n_examples,
            [info.n_features for info in infos],
            dtype=["float32" if r.staged else r.dtype for r in representations],
            precision=config.precision,
            threads=threads,
            staged=all(r.staged for r in representations),
            device=device,
            inference=config.inference or False,
        ),
        blocks=blocks,
        blocks_digest=digest,
        measures=config.further_measures,
    )


def _require_folds(
    config: SweepConfig, n_examples: int, blocks: NDArray[np.int64] | None, where: str
) -> None:
    """Refuse blocks of which no jackknife follows."""
    if config.inference is not None and blocks is not None:
        try:
            make_folds(n_examples, folds=config.inference.folds, blocks=blocks)
        except InputError as error:
            raise SweepError(f"inference.{error}; in {where}") from None


def _examples(members: Sequence[Member], where: str, matcher: ExampleMatcher) -> MatchedExamples:
    try:
        return matcher.match(members, where)
    except FilterError as error:
        raise SweepError(f"examples: {error}") from None
    except SampleError as error:
        raise SweepError(f"examples.{error}") from None
    except TooFewExamplesError as error:
        raise SweepError(f"estimator: {error}") from None
    except InputError as error:
        raise SweepError(
            f"{error}; or keep such representations apart by exclude or by a field of "
            "compare.within"
        ) from None
