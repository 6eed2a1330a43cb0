"""The filter language, against Python's `re` row by row, and slow patterns."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastcka.errors import FilterError, InputError
from fastcka.store import ExampleFilter, Examples

N = 200
RNG = np.random.default_rng(2)


@pytest.fixture
def examples() -> Examples:
    regions = np.array(["Europe", "Asia", "Atlantis", "New Atlantis", "a&b: c", ""])
    return Examples(
        np.array([str(row) for row in range(900, 900 + N)]),
        {
            "region": regions[RNG.integers(0, 6, N)],
            "population": RNG.integers(-50, 5000, N),
            "x": np.where(np.arange(N) % 9 == 0, np.nan, RNG.normal(size=N).round(2)),
            "coast": RNG.random(N) < 0.5,
        },
    )


def texts(examples: Examples, field: str) -> list[str]:
    column = examples.ids if field == "id" else examples.columns[field]
    return [repr(value) if isinstance(value, float) else str(value) for value in column.tolist()]


@pytest.mark.parametrize(
    "terms",
    [
        [("region", r"^(?!Atlantis).*")],
        [("region", r"^(?!Atlantis).*"), ("id", r"^[1-9][0-9]{3,}$")],
        [("region", "A")],
        [("region", "Atlantis")],  # matched from the start: New Atlantis is kept
        [("region", "$")],
        [("region", "a&b: c")],
        [("population", r"\d{3}$"), ("x", "-"), ("coast", "True")],
        [("population", r"17$|18|-\d$")],
        [("x", r"nan|0\.\d$")],
        [("region", "(?i)EUROPE|asia")],
        [("id", "never")],
    ],
)
def test_a_filter_keeps_what_re_matches(examples, terms):
    chosen = ExampleFilter.parse("  &&  ".join(f"{field} :  {pattern}" for field, pattern in terms))
    assert [(term.field, term.pattern) for term in chosen.terms] == terms
    kept = [True] * N
    dropped = []
    for field, pattern in terms:
        now = [
            before and re.match(pattern, text) is not None
            for before, text in zip(kept, texts(examples, field), strict=True)
        ]
        dropped.append(sum(kept) - sum(now))
        kept = now
    result = chosen.apply(examples)
    assert result.mask.dtype == np.bool_
    assert result.mask.tolist() == kept
    assert result.dropped == tuple(dropped)
    assert result.n_kept == sum(kept) == N - sum(dropped)
    assert chosen.mask(examples).tolist() == kept


def test_numbers_are_matched_as_their_decimal_text():
    examples = Examples(
        np.array(["a", "b", "c"]),
        {"count": np.array([17, 1700, -3]), "size": np.array([17.0, 1e-5, np.nan])},
    )
    assert ExampleFilter.parse("count:17$").mask(examples).tolist() == [True, False, False]
    assert ExampleFilter.parse(r"size:17\.0$").mask(examples).tolist() == [True, False, False]
    assert ExampleFilter.parse("size:1e-05$|nan$").mask(examples).tolist() == [False, True, True]


def test_an_unknown_field_names_the_known_ones(examples):
    with pytest.raises(FilterError, match="unknown field 'regoin'; did you mean region") as caught:
        ExampleFilter.parse("id:9 && regoin:^A").mask(examples)
    for text in ("regoin:^A", "id, region, population, x, coast"):
        assert text in str(caught.value)
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected field:pattern"),
        ("region", "expected field:pattern .* got 'region'"),
        ("region:", "expected field:pattern"),
        (":a", "expected field:pattern"),
        ("region:a &&", "expected field:pattern .* got ''"),
        ("region:(", r"'region:\(': not a regular expression: missing \)"),
        ("region:" + "a" * 513, "at most 512 characters, got 513"),
        ("region:(?:a{1000}){1000}", "at most 20,000 elements, got 1,004,003"),
        ("region:" + "(" * 60 + "a" + "+)" * 60, r"elements, got [\d,]{23,} once"),
        ("region:" + "(?:" * 20 + "a" + "){2,3}" * 20, r"elements, got [\d,]{13,} once"),
        ("region:(?:[a-z]{99999})+", "elements"),
        # `regex` reads these differently from `re`, or `re` lacks them.
        ("region:(?R)?a", "unknown extension"),
        ("region:(?:ab){e<=1}", r"'region:\(\?:ab\)\{e<=1\}': write a literal '\{'"),
        ("region:[[:alpha:]]", "not a regular expression"),
        ("region:[a&&b]", r"'region:\[a': not a regular expression"),
        ("region:(?x)a{1 000}", "x flag"),
        ("region:(?ix:a)", "x flag"),
    ],
)
def test_a_text_that_is_not_a_filter_is_refused(text, message):
    with pytest.raises(FilterError, match=message):
        ExampleFilter.parse(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\{e<=1\}", "{e<=1}"),
        (r"\(?1", "(1"),
        (r"a\\{2}", r"a\\"),
        ("(?P<x>a)(?P=x)", "aa"),
        ("[1-9][0-9]{3,}$", "1000"),
        ("b{,3}c", "bbbc"),
        ("[a-z]+ [a-z]+," * 20, "of all," * 20),
        (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}", "2026-11-28T09:30"),
        ("[^])]+[])+{9999999}]", "a{"),
    ],
)
def test_braces_and_backslashes_that_are_text(pattern, text):
    texts = np.array([text, text[1:], text[:-1], "?", ""])
    kept = ExampleFilter.parse(f"region:{pattern}").mask(
        Examples(np.arange(len(texts)).astype(str), {"region": texts})
    )
    assert kept.tolist() == [re.match(pattern, value) is not None for value in texts]
    assert kept[0]
    assert not kept[-2:].any()


# Valid for `re`, at most 512 characters, and slow, deep or large for some engine.
PATHOLOGICAL = [
    *(f"{body}{end}" for body in (
        "(a+)+", "(a*)*", "(a|a)*", "(a|aa)+", "(?:a?a?)*", "(a+a+)+", "(?:a|b|ab)*", "(.*)*",
        "(.*.*)*", r"(\w+\s?)+", "((a+)+)+", "(?:a{1,9}){1,999}", "((a{1,99}){1,99}){1,99}",
        "(a+?)+?", "(?:(?:a*)*)*", "(?=(a+)+)a*", "(?:(a)|(a)|(a))*", r"(?:[a-z]+\d*!?)*",
        r"(?P<x>a+)+(?P=x)*", "(?!(a+)+b)a*", "(?:a*?){9}", "(?:.+?){2,9}", "(a?(a?(a?)*)*)*",
        "(?i:(A|a|aA)+)",
    ) for end in ("$", "b")),
    "a?" * 80 + "a{80}$",
    "(" * 8 + "a" + "+)" * 8 + "$",
]  # fmt: skip


def test_slow_patterns_are_stopped(monkeypatch):
    from fastcka.store import filters

    limits = []
    real = filters._compiled

    class Recorded:
        def __init__(self, term):
            self._pattern = real(term)

        def match(self, text, *, timeout):
            limits.append(timeout)
            return self._pattern.match(text, timeout=timeout)

    monkeypatch.setattr(filters, "_compiled", Recorded)
    monkeypatch.setattr(filters, "SECONDS", 0.2)
    assert len(PATHOLOGICAL) == 50
    n = 100_000
    texts = np.array([f"{'a' * (20 + row % 11)}!{row}" for row in range(n)])
    examples = Examples(texts, {})
    outcomes: list[str] = []
    messages: list[tuple[str, str]] = []
    for pattern in PATHOLOGICAL:
        try:
            outcome = f"keeps {ExampleFilter.parse(f'id:{pattern}').apply(examples).n_kept}"
        except FilterError as error:
            outcome = "stopped"
            messages.append((pattern, str(error)))
        outcomes.append(outcome)
    stopped = outcomes.count("stopped")
    print(f"\n{len(outcomes)} patterns on {n} values: {stopped} stopped")
    assert 0 < min(limits) <= max(limits) <= filters.SECONDS  # the remaining time
    for pattern, message in messages:
        assert f"'id:{pattern}': the pattern takes too much time" in message
    assert stopped >= 10  # the patterns are pathological


@pytest.mark.parametrize(("n", "seconds"), [(10, 1.0), (250_000, 2.5)])
def test_the_time_limit_of_a_term_covers_all_its_values(monkeypatch, n, seconds):
    """Each match moves the clock by 0.3 s."""
    from fastcka.store import filters

    now = [0.0]
    given = []

    class Slow:
        def match(self, text, *, timeout):
            given.append(timeout)
            now[0] += 0.3

    monkeypatch.setattr(filters, "_compiled", lambda term: Slow())
    monkeypatch.setattr(filters.time, "perf_counter", lambda: now[0])
    with pytest.raises(FilterError, match=rf"too much time \(limit {seconds} s for {n} distinct"):
        ExampleFilter.parse("id:a").mask(Examples(np.arange(n).astype(str), {}))
    np.testing.assert_allclose(given, np.arange(seconds, 0, -0.3))


def test_each_distinct_value_is_matched_once():
    n = 1_000_000
    examples = Examples(np.arange(n).astype(str), {"region": np.array(["a" * 12 + "!"]).repeat(n)})
    # A match takes 2 ms: a million matches would take half an hour.
    assert not ExampleFilter.parse("region:(a|aa)+$").mask(examples).any()


def test_a_known_value_is_not_matched_again(monkeypatch):
    """Files with the same values in other orders, and a file with one more value."""
    from fastcka.store import filters

    matched = []
    real = filters._matches

    def recorded(term, texts):
        matched.append((term.field, sorted(texts)))
        return real(term, texts)

    monkeypatch.setattr(filters, "_matches", recorded)
    chosen = ExampleFilter.parse("region:A && id:.*[02]$")
    verdicts = {}
    kept = []
    for regions in (["Asia", "Europe", "Africa"], ["Africa", "Asia", "Asia"], ["Oz", "Asia", "A"]):
        examples = Examples(np.array(["0", "1", "2"]), {"region": np.array(regions)})
        kept.append(chosen.apply(examples, verdicts).mask.tolist())
        assert chosen.mask(examples).tolist() == kept[-1]
        del matched[-2:]  # the matches of `mask`, which has no verdicts
    assert kept == [[True, False, True], [True, False, True], [False, False, True]]
    assert matched == [
        *[("region", ["Africa", "Asia", "Europe"]), ("id", ["0", "2"])],
        *[("region", []), ("id", ["1"])],
        *[("region", ["A", "Oz"]), ("id", [])],
    ]
