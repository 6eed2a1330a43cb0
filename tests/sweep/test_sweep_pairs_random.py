"""Random rules keep the same pairs as a brute force over all pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastcka.errors import SweepError
from fastcka.sweep import plan_sweep
from sweep.plan_grids import grid, pairs_of


def _identity(value):
    return (type(value) is bool, isinstance(value, str), value)


def _set_of(value):
    return {_identity(one) for one in (value if isinstance(value, list) else [value])}


def _equal(a, b):
    if isinstance(a, list) != isinstance(b, list):
        return False
    return sorted(a) == sorted(b) if isinstance(a, list) else _identity(a) == _identity(b)


def _takes(wanted, labels):
    return all(
        any(_identity(value) in _set_of(labels[field]) for value in values)
        for field, values in wanted.items()
    )


def _is_compared(a, b, compare):
    """Return whether the documented rules compare two representations."""
    places = {f: list(map(_identity, values)) for f, values in compare["order"].items()}

    def place(labels, field):
        return places[field].index(_identity(labels[field])) if field in places else labels[field]

    rises = [
        {place(one, f) < place(other, f) for f in compare["ascending"]}
        for one, other in ((a, b), (b, a))
    ]
    left, right = compare.get("left"), compare.get("right")
    return (
        all(_equal(a[f], b[f]) for f in (*compare["within"], *compare["same"]))
        and not any(_equal(a[f], b[f]) for f in compare["differ"])
        and not any(_set_of(a[f]) & _set_of(b[f]) for f in compare["disjoint"])
        and all(_set_of(a[f]) & _set_of(b[f]) for f in compare["overlapping"])
        and ({True} in rises or not compare["ascending"])
        and (
            left is None
            or (_takes(left, a) and _takes(right, b))
            or (_takes(left, b) and _takes(right, a))
        )
    )


def _choose(rng, values, least, most):
    count = rng.integers(least, min(most, len(values)) + 1)
    return [values[index] for index in rng.choice(len(values), size=count, replace=False)]


def _random_sweep(rng):
    factors = {
        f"m{number}": {
            "family": str(rng.choice(["mlp", "cnn"])),
            "seed": ["orig", 1, 2, True][rng.integers(4)],
            "variant": int(rng.integers(1, 5)),
            "tasks": _choose(rng, ["x", "y", "z", 1], 0, 2),
        }
        for number in range(rng.integers(3, 8))
    }
    keys = grid(factors, steps=(0, 10)[: rng.integers(1, 3)], layers=("1", "2"))
    fields = ["model", "step", "layer", "family", "seed", "variant"]
    rng.shuffle(fields)
    present = {
        field: [value for _, value in sorted({repr(v): v for v in column}.items())]
        for field in [*fields, "tasks"]
        for column in [
            [
                one
                for key in keys
                for value in [{**key._asdict(), **factors[key.model]}[field]]
                for one in (value if isinstance(value, list) else [value])
            ]
        ]
        if column
    }

    def wanted(most):
        some = _choose(rng, sorted(present), 0, most)
        return {field: _choose(rng, present[field], 1, 3) for field in some}

    ordered = [f for f in fields[3:] if f in ("seed", "variant", "layer", "step")]
    ascending = _choose(rng, ordered, 0, 2) if rng.integers(2) else []
    compare = {
        "within": fields[: rng.integers(0, 2)],
        "same": fields[1 : 1 + rng.integers(0, 2)],
        "differ": fields[3 : 3 + rng.integers(0, 2)],
        "disjoint": [],
        "overlapping": [],
        "ascending": ascending,
        "order": {
            field: _choose(rng, ["orig", 1, 2, True], 4, 4)
            for field in ascending
            if field == "seed"
        },
    }
    kind = rng.integers(4)
    if kind < 2:
        compare[("disjoint", "overlapping")[kind]] = ["tasks"]
    if rng.integers(3) == 0:
        compare |= {"left": wanted(2), "right": wanted(2)}
    return keys, factors, compare, wanted(2) if rng.integers(3) == 0 else {}


def test_500_random_rules_equal_brute_force(config_for, labelled_store):
    rng = np.random.default_rng(11)
    outcomes = {"compared": 0, "refused": 0}
    for _ in range(500):
        keys, factors, compare, exclude = _random_sweep(rng)
        labels = {key: {**key._asdict(), **factors[key.model]} for key in keys}
        taking_part = [key for key in keys if not (exclude and _takes(exclude, labels[key]))]
        expected = {
            frozenset(pair)
            for pair in itertools.combinations(taking_part, 2)
            if _is_compared(*(labels[key] for key in pair), compare)
        }
        config = config_for(compare=compare, exclude=exclude)
        store = labelled_store(keys, factors)
        # An exclude that matches nothing is always refused.
        if not expected or (exclude and len(taking_part) == len(keys)):
            with pytest.raises(SweepError):
                plan_sweep(config, store)
            outcomes["refused"] += 1
            continue
        plan = plan_sweep(config, store)
        pairs = pairs_of(plan)
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == expected
        assert plan.n_pairs - sum(plan.dropped_by_rule.values()) == len(expected)
        outcomes["compared"] += 1
    assert min(outcomes.values()) > 100, outcomes
