"""Random plans equal a brute force over keys and factors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastcka.errors import SweepError
from fastcka.store import Key
from fastcka.sweep import plan_sweep
from sweep.plan_grids import pairs_of


def _allowed_steps(policy, steps):
    """Return model -> the steps that the documented policy selects, or None for an error."""
    common = set.intersection(*map(set, steps.values()))
    by_policy = {
        "all": lambda stored: set(stored),
        "final_each": lambda stored: {sorted(stored)[-1]},
        "final_common": lambda stored: {sorted(common)[-1]} if common else None,
        "all_common": lambda stored: common or None,
    }
    if isinstance(policy, str):
        return {model: by_policy[policy](stored) for model, stored in steps.items()}
    return {
        model: set(policy) if set(policy) <= set(stored) else None
        for model, stored in steps.items()
    }


def _equal(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return sorted(a) == sorted(b)
    return type(a) is type(b) and a == b


def _brute_force(keys, factors, config):
    """Return the comparisons among all unordered pairs of keys, or None for an error."""
    labels = {key: {**key._asdict(), **factors[key.model]} for key in keys}

    def selected(key):
        for field, allowed in config.select.items():
            value = labels[key][field]
            values = value if isinstance(value, list) else [value]
            if not any(_equal(one, other) for one in values for other in allowed):
                return False
        return True

    kept = [key for key in keys if selected(key)]
    if not kept:
        return None
    steps = {}
    for key in keys:
        step_wanted = key.step in config.select.get("step", [key.step])
        if any(other.model == key.model for other in kept) and step_wanted:
            steps.setdefault(key.model, set()).add(key.step)
    chosen = _allowed_steps(config.compare.steps, steps)
    if None in chosen.values():
        return None
    kept = [key for key in kept if key.step in chosen[key.model]]
    pairs = {
        frozenset((a, b))
        for a, b in itertools.combinations(kept, 2)
        if all(_equal(labels[a][f], labels[b][f]) for f in config.compare.within)
        and not any(_equal(labels[a][f], labels[b][f]) for f in config.compare.differ)
    }
    return pairs or None


def _random_plan(rng, config_for):
    models = [f"m{number}" for number in range(rng.integers(1, 6))]
    tasks = [["x"], ["y"], ["x", "y"], ["y", "x"], ["x", "x"]]
    seeds = ["orig", 1, 2, "1", True]
    factors = {
        model: {
            "family": str(rng.choice(["mlp", "cnn"])),
            "seed": seeds[rng.integers(len(seeds))],
            "tasks": tasks[rng.integers(len(tasks))],
        }
        for model in models
    }
    keys = []
    for model in models:
        for step in sorted(rng.choice([0, 10, 20, 30], size=rng.integers(1, 5), replace=False)):
            layers = rng.choice(["l1", "l2", "l3"], size=rng.integers(1, 4), replace=False)
            keys += [Key(model, int(step), str(layer)) for layer in sorted(layers)]
    fields = ["model", "step", "layer", "family", "seed", "tasks"]
    rng.shuffle(fields)
    cut = rng.integers(0, 3)
    policies = ["all", "final_each", "final_common", "all_common", [10], [0, 20]]
    select = {}
    for field in rng.choice(fields, size=rng.integers(0, 3), replace=False):
        present = {
            repr(one): one
            for key in keys
            for value in [{**key._asdict(), **factors[key.model]}[field]]
            for one in (value if isinstance(value, list) else [value])
        }
        count = rng.integers(1, len(present) + 1)
        names = rng.choice(sorted(present), size=count, replace=False)
        select[str(field)] = [present[name] for name in names]
    config = config_for(
        within=fields[:cut],
        differ=fields[cut : cut + rng.integers(0, 3)],
        steps=policies[rng.integers(len(policies))],
        select=select,
    )
    return keys, factors, config


def test_500_random_plans_equal_brute_force(config_for, labelled_store):
    rng = np.random.default_rng(2)
    outcomes = {"compared": 0, "refused": 0}
    for _ in range(500):
        keys, factors, config = _random_plan(rng, config_for)
        expected = _brute_force(keys, factors, config)
        if expected is None:
            with pytest.raises(SweepError):
                plan_sweep(config, labelled_store(keys, factors))
            outcomes["refused"] += 1
            continue
        plan = plan_sweep(config, labelled_store(keys, factors))
        pairs = pairs_of(plan)
        assert len(pairs) == len(set(pairs)) == plan.comparisons
        assert set(pairs) == expected
        read = [r.key for r in plan.representations]
        assert len(read) == len(set(read))
        assert set(read) == {key for pair in expected for key in pair}
        outcomes["compared"] += 1
    assert min(outcomes.values()) > 100, outcomes
