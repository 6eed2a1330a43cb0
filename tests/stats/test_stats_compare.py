"""Comparisons of groups of pairs, against brute force and simulation."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

import fastcka
from fastcka.errors import InputError
from fastcka.stats import (
    PairTable,
    block_means,
    compare_pairs,
    compare_values,
    model_matrix,
    timeline,
    trend,
)
from fastcka.stats.permutation import exchangeable_classes


def by_hand(models, values, field):
    """Return the difference of means for one labelling, pair by pair."""
    same = [v for (a, b), v in values.items() if models[a][field] == models[b][field]]
    other = [v for (a, b), v in values.items() if models[a][field] != models[b][field]]
    return np.mean(same) - np.mean(other)


def test_the_exact_p_value_equals_brute_force(grid, pair_table, rng):
    models = grid(2, 4)
    values = {pair: float(rng.normal()) for pair in itertools.combinations(models, 2)}
    result = compare_pairs(
        pair_table(models, lambda a, b, *_: values.get((a, b), values.get((b, a)))), same="variant"
    )
    observed = by_hand(models, values, "variant")
    assert result.effect == pytest.approx(observed, abs=1e-12)
    labels = [f["variant"] for f in models.values()]
    all_of_them = [
        by_hand(dict(zip(models, ({"variant": v} for v in order), strict=True)), values, "variant")
        for order in sorted(set(itertools.permutations(labels)))
    ]
    center = np.mean(all_of_them)
    extreme = [abs(d - center) >= abs(observed - center) - 1e-9 for d in all_of_them]
    assert result.p == pytest.approx(np.mean(extreme), abs=1e-12)
    assert (result.exact, result.permutations) == (True, 70)  # 8! / (4! 4!)
    assert (result.first.n_pairs, result.second.n_pairs, result.n_models) == (12, 16, 8)


def test_a_planted_difference_is_significant(grid, pair_table, rng):
    noise = rng.normal(scale=0.03, size=1000).tolist()
    table = pair_table(grid(7, 3), lambda a, b, *_: 0.3 + 0.2 * (a[:3] == b[:3]) + noise.pop())
    result = compare_pairs(table, same="variant")
    assert result.p == pytest.approx(1e-4, abs=1e-9)  # (0 + 1) / (9999 + 1)
    assert result.low < 0.2 < result.high
    assert 0.02 < result.high - result.low < 0.06
    assert (result.n_pairs, result.first.n_pairs, result.permutations) == (210, 21, 9_999)
    assert compare_pairs(table, same="variant") == result  # the same seed, the same numbers
    assert compare_pairs(table, same="variant", seed=1).low != result.low


def test_a_comparison_or_a_data_frame_serves_as_a_table(rng):
    models = [
        {"model": f"{v}{s}", "step": 3, "layer": "l", "variant": v} for v in "ab" for s in "01"
    ]
    xs = [rng.standard_normal((30, 4)) for _ in models]
    result = fastcka.compare(xs, labels=models)
    expected = by_hand(
        {m["model"]: m for m in models},
        {
            (models[i]["model"], models[j]["model"]): result.cka[i, j]
            for i, j in itertools.combinations(range(4), 2)
        },
        "variant",
    )
    for given in (result, result.to_dataframe()):
        answer = compare_pairs(given, same="variant")
        assert answer.effect == pytest.approx(expected, abs=1e-12)
        # Of 4!/(2! 2!) = 6 labellings, two give each difference: the names can be exchanged.
        assert answer.smallest_p == pytest.approx(2 / 6)
    within = [result.cka[0, 1], result.cka[2, 3]]
    for given in (result, result.to_dataframe()):
        means = block_means(given, cross=None)
        np.testing.assert_allclose(means.mean.diagonal(), within, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(
            model_matrix(given).cka[np.triu_indices(4, 1)], result.cka[np.triu_indices(4, 1)]
        )
        assert [point.mean for point in trend(given, over="variant")] == within
        (point,) = timeline(given, seed=None)
        assert (point.line, point.step, point.n) == ("l", 3, 6)
    plain = fastcka.compare(
        xs, labels=[{"variant": m["variant"], "seed": i} for i, m in enumerate(models)]
    )
    assert compare_pairs(plain, same="variant").effect == pytest.approx(expected, abs=1e-12)
    with pytest.raises(InputError, match="table: expected the result of read_results, a fastcka"):
        compare_pairs([1, 2], same="variant")


def test_labels_move_only_where_every_permuted_pair_was_measured():
    ends = np.array(list(itertools.combinations(range(6), 2))).T
    free = np.zeros(6, int)
    assert exchangeable_classes(6, ends, free).tolist() == [0] * 6
    seed = np.array([0, 1, 2, 0, 1, 2])
    cross = ends[:, seed[ends[0]] != seed[ends[1]]]
    assert exchangeable_classes(6, cross, free).tolist() == seed.tolist()
    family = np.array([0, 0, 0, 1, 1, 1])
    inside = ends[:, family[ends[0]] == family[ends[1]]]
    assert exchangeable_classes(6, inside, free).tolist() == family.tolist()
    without_one = ends[:, (ends != [[0], [1]]).any(axis=0)]
    assert exchangeable_classes(6, without_one, free).tolist() == [0, 0, 1, 1, 1, 1]
    assert exchangeable_classes(6, ends, family).tolist() == family.tolist()


def test_cross_seed_pairs_keep_labels_within_seeds(grid, pair_table, rng):
    models = grid(3, 2)
    values = rng.normal(size=100).tolist()
    table = pair_table(models, lambda *_: values.pop(), keep=lambda a, b: a["seed"] != b["seed"])
    result = compare_pairs(table, same="variant")
    assert (result.exact, result.permutations) == (True, 36)  # 3! for each of the two seeds


def test_families_that_were_never_compared_have_no_p_value(grid, pair_table, rng):
    values = rng.normal(size=1000).tolist()
    models = grid(3, 3, families=("cnn", "mlp"))
    everything = pair_table(models, lambda *_: values.pop())
    apart = everything.keep(everything.same("family"))
    result = compare_values(apart, field="family", first="cnn", second="mlp")
    assert np.isnan(result.p)
    assert result.low < result.effect < result.high
    assert "no p-value" in result.notes[0]
    assert result.first.n_pairs == result.second.n_pairs == 36
    both = compare_values(everything, field="family", first="cnn", second="mlp")
    assert 0 < both.p <= 1
    assert both.effect == pytest.approx(result.effect)
    turned = compare_values(everything, field="family", first="mlp", second="cnn")
    assert turned.effect == pytest.approx(-both.effect)


def test_additive_effects_of_models_are_no_difference(grid, pair_table, rng):
    # Same and different variants have equal means, and the interval has width 0.
    effects = dict(zip(grid(5, 3), rng.normal(size=15).tolist(), strict=True))
    table = pair_table(grid(5, 3), lambda a, b, *_: effects[a] + effects[b])
    result = compare_pairs(table, same="variant")
    assert abs(result.effect) < 1e-12
    assert max(abs(result.low), abs(result.high)) < 1e-9


def test_too_few_models_for_an_interval(pair_table):
    models = {name: {"variant": name[0]} for name in ("a1", "a2", "b1")}
    result = compare_pairs(pair_table(models, lambda a, b, *_: 0.1 * (a[0] == b[0])))
    assert np.isnan(result.low)
    assert any("no interval: 3 models" in note for note in result.notes)
    assert np.isnan(result.p)
    assert "3 relabellings, which cannot give p below 0.33" in result.notes[0]


def test_relabellings_that_swap_names_count_once(grid, pair_table, rng):
    # 2 variants x 3 seeds have 20 labellings; each has a mirror image with the same difference.
    values = rng.normal(size=100).tolist()
    result = compare_pairs(pair_table(grid(2, 3), lambda *_: values.pop()))
    assert (result.exact, result.permutations) == (True, 20)
    assert np.isnan(result.p)
    assert result.notes[0] == (
        "no p-value: these models have 20 relabellings, which cannot give p below 0.1"
    )
    # Two families of three have no mirror image: the difference changes its sign.
    values = rng.normal(size=100).tolist()
    table = pair_table(grid(1, 3, families=("f", "g")), lambda *_: values.pop())
    assert 0.05 <= compare_values(table, first="f", second="g").p <= 1


@pytest.mark.parametrize(("variants", "count", "floor"), [(2, 4, "0.5"), (3, 36, "0.17")])
def test_few_relabellings_give_no_p_value(grid, pair_table, rng, variants, count, floor):
    # Cross-seed pairs of 2 seeds have (v!)^2 labellings; v! of them give the same groups of pairs.
    values = rng.normal(size=100).tolist()
    table = pair_table(
        grid(variants, 2), lambda *_: values.pop(), keep=lambda a, b: a["seed"] != b["seed"]
    )
    result = compare_pairs(table)
    assert np.isnan(result.p)
    assert f"{count} relabellings, which cannot give p below {floor}" in result.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"same": "task"}, "no field 'task'"),
        ({"same": "layer"}, "expected pairs of 'different layer', got none"),
        ({"permutations": 18}, "permutations: expected at least 19"),
        ({"draws": 99}, "draws: expected at least 100"),
        ({"confidence": 95}, "confidence: expected a number between 0 and 1"),
        ({"confidence": "95"}, "confidence: expected a number between 0 and 1, got '95'"),
        ({"permutations": "many"}, "permutations: expected a whole number, 0 or more, got 'many'"),
        ({"draws": 1e3}, "draws: expected a whole number"),
        ({"seed": -1}, "seed: expected a whole number, 0 or more, got -1"),
        ({"permute_within": "famly"}, "did you mean family"),
    ],
)
def test_wrong_arguments_are_refused(grid, pair_table, options, message):
    table = pair_table(grid(3, 3), lambda *_: 0.5)
    with pytest.raises(InputError, match=message):
        compare_pairs(table, **options)


def test_two_layers_at_once_are_refused(grid, pair_table):
    table = pair_table(grid(3, 3), lambda *_: 0.5, layers=("3", "4"))
    with pytest.raises(InputError, match="more than once"):
        compare_pairs(table)


def test_permutations_are_drawn_without_python_loops(grid, pair_table, rng):
    values = rng.normal(size=2000).tolist()
    table = pair_table(grid(21, 3), lambda *_: values.pop())

    def calls_in_python(permutations):
        calls = []
        sys.setprofile(lambda frame, event, called: calls.append(event))
        try:
            result = compare_pairs(table, permutations=permutations)
        finally:
            sys.setprofile(None)
        assert (result.n_models, result.n_pairs) == (63, 1953)
        return len(calls)

    calls_in_python(100)  # the first call imports modules
    few, many = calls_in_python(1_000), calls_in_python(10_000)
    print(f"\n{few:,} events in Python for 1,000 permutations, {many:,} for 10,000")
    assert many - few < 9_000


def simulated(table, ends, spread, noise, rng, datasets, question):
    """Return the shares of data sets that are significant, and whose interval contains 0."""
    significant = covered = 0
    for _ in range(datasets):
        u = spread * rng.standard_normal(int(ends.max()) + 1)
        table.cka[:] = 0.5 + u[ends[0]] + u[ends[1]] + noise * rng.standard_normal(ends.shape[1])
        result = question(table, int(rng.integers(2**31)))
        significant += result.p <= 0.05
        covered += result.low <= 0 <= result.high
    return significant / datasets, covered / datasets


@pytest.mark.parametrize("factor", ["variant", "family"])
def test_without_a_difference_five_percent_are_significant(columns, grid, rng, factor):
    # The bounds are 4 standard errors of 400 data sets; benchmarks/null_simulation.py uses more.
    models = grid(4, 3) if factor == "variant" else grid(2, 3, families=("f", "g"))
    table = PairTable.from_columns(columns(models, lambda *_: 0.5))
    place = {name: number for number, name in enumerate(models)}
    ends = np.array([[place[m] for m in side["model"]] for side in (table.a, table.b)])

    def question(table, seed):
        options = {"permutations": 199, "draws": 400, "seed": seed}
        if factor == "variant":
            return compare_pairs(table, same="variant", **options)
        return compare_values(table, field="family", first="f", second="g", **options)

    significant, covered = simulated(table, ends, 0.1, 0.1, rng, 400, question)
    assert 0.01 < significant < 0.095
    assert 0.90 < covered <= 0.99
