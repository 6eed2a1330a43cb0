"""A part of a group: some of its representations, with the bits that the whole group would give.

A group that is too large for one process is divided into parts, and each part into a pass. Route,
tile, chunk and products of every part are those of the whole group. Then no sum of two
representations depends on which others are in the pass, with two exceptions, for which the whole
group must be computed: examples that are far from all others in any representation change the sums
of all, and products that lose the digits of one representation are repeated for all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastcka.core.backend import bytes_needed, resolve_implementation, run_passes
from fastcka.core.memory import named_memory, require_memory_of
from fastcka.core.options import Options
from fastcka.core.request import Group, Request
from fastcka.core.result import Result
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastcka.core.comparison import Comparison
    from fastcka.core.estimators import Estimator
    from fastcka.core.inference.options import Inference
    from fastcka.core.plan import PassPlan


def compare_part(
    representations: Sequence[Any],
    whole: PassPlan,
    members: Sequence[int],
    *,
    labels: Sequence[Any],
    estimator: Estimator,
    inference: bool | Inference = False,
    blocks: NDArray[np.int64] | None = None,
) -> Comparison | None:
    """Compare some representations of a group on the CPU.

    Parameters
    ----------
    representations, labels
        Of the part, as for `fastcka.compare`. Staged buffers are overwritten.
    whole
        The plan of the whole group, from `fastcka.core.plan_pass`.
    members
        The positions of the part's representations in the group.
    estimator, inference
        As for `fastcka.compare`.
    blocks
        The block of each example, or None; as in `fastcka.core.Group`.

    Returns
    -------
    Comparison or None
        The values have the same bits as those of the whole group. None if that is impossible, or
        if a representation cannot be compared: compute the whole group, which gives the values or
        the reason.

    Raises
    ------
    OutOfMemoryError
        As `fastcka.compare`.
    """
    options = Options.checked(estimator, "cpu", whole.precision, whole.threads, None, inference)
    try:
        request = Request.of_group(Group(representations, labels, blocks=blocks), options.estimator)
    except InputError:
        return None
    if request.blocks is None and options.inference is not None:
        request.blocks = options.inference.blocks
    request.subsets = options.subsets(whole.n_examples, request.blocks)
    plan = _part_plan(whole, members, staged=len(request.staged) == len(request.views))
    require_memory_of(plan)
    try:
        with named_memory([plan], plan.threads):
            (sums,) = run_passes([request], [plan], threads=plan.threads)
    finally:
        request.consume()
    if isinstance(sums, InputError) or sums.q_products is not None:
        return None
    result = Result(request, options)
    result.put(sums, plan, sums.seconds)
    return None if result.imprecise else result.comparison()


def _part_plan(whole: PassPlan, members: Sequence[int], *, staged: bool) -> PassPlan:
    """Return the plan of a part: what determines bits is that of the whole group."""
    widths = [whole.n_features[member] for member in members]
    n, m, total = whole.n_examples, len(widths), sum(widths)
    implementation = resolve_implementation()
    shapes = (
        implementation.float64,
        implementation.float32,
        implementation.split,
        implementation.fast,
    )
    shape = next(each for each in shapes if each is not None and each.products == whole.products)
    in_place = staged and whole.in_place
    batch = 0 if in_place or whole.batch >= m else whole.batch
    routes = tuple(whole.moment_routes[member] for member in members if whole.moment_routes)
    needed = bytes_needed(
        n,
        widths,
        batch=batch,
        route=whole.route,
        tile=whole.tile,
        chunk=whole.chunk,
        in_place=in_place,
        moment_routes=routes,
        subsets=whole.subsets,
        shape=shape,
    )
    gram, features = float(n) ** 2 * total + float(m * n) ** 2 / 2, float(n) * float(total) ** 2
    return replace(
        whole,
        n_features=tuple(widths),
        moment_routes=routes,
        batch=batch,
        flops=gram if whole.route == "G" else features,
        flops_gram=gram,
        flops_features=features,
        bytes_inputs=whole.bytes_inputs * total // sum(whole.n_features),
        bytes_centered=0 if in_place else needed["centered"],
        bytes_workspace=max(
            whole.threads * (needed["thread"] + needed["sums"]), needed["statistics"]
        ),
        bytes_results=needed["results"],
        reason=f"{m} of {len(whole.n_features)} representations of a group, by its plan",
    )
