"""What a record says of the criteria that the pass on the GPU was built to meet."""

from __future__ import annotations

from benchmarks.gpu.cases import CASES

SLOWER_THAN_PREDICTED = 1.5
FASTER_THAN_LOOP = 10
#: Largest errors of CKA on these data (Gaussian, n of 2000 and more), by products.
LIMITS = {"float32": 5e-6, "float16x3": 5e-6, "float16": 1e-6, "float64": 1e-10}

PASS, FAIL, NOT_MEASURED = "pass", "fail", "not measured"


def verdict(record):
    """Lines of {"criterion", "result", "figure"}; what has no figure is not measured."""
    benchmarks = record.get("benchmarks", {})
    return [
        _line(
            "without a GPU or nvcc: builds, imports, says why",
            None,
            "shown by the tests of a machine without one",
        ),
        _suite(record.get("suite", {})),
        *(_sanitizer(tool, record.get("sanitizer", {})) for tool in ("memcheck", "racecheck")),
        *(_prediction(name, benchmarks.get(name, {})) for name in CASES),
        *(_loop(name, benchmarks.get(name, {})) for name in ("A", "C")),
        *(_errors(name, benchmarks.get(name, {})) for name in CASES),
    ]


def text(line):
    return f"{line['result'].upper():12} {line['criterion']}: {line['figure']}"


def _line(criterion, holds, figure):
    result = NOT_MEASURED if holds is None else PASS if holds else FAIL
    return {"criterion": criterion, "result": result, "figure": figure}


def _why(facts):
    """Why a part has no figures."""
    for word in ("failed", "skipped", "stopped"):
        if word in facts:
            return f"{word}: {facts[word]}"
    return "not run"


def _suite(suite):
    criterion = "the test suite passes on the GPU"
    counts = suite.get("counts")
    if not counts:
        return _line(criterion, None, _why(suite))
    figure = ", ".join(f"{count} {name}" for name, count in counts.items())
    bad = counts.get("failed", 0) + counts.get("error", 0)
    if "stopped" in suite:
        return _line(criterion, False if bad else None, f"{figure}; {_why(suite)}")
    return _line(criterion, not bad and counts.get("passed", 0) > 0, figure)


def _sanitizer(tool, sanitizer):
    criterion = f"compute-sanitizer {tool} finds nothing in a small case"
    facts = sanitizer.get(tool, sanitizer)
    if facts.get("errors") is None:
        return _line(criterion, None, _why(facts))
    clean = facts["errors"] == 0 and facts["exit"] == 0
    return _line(criterion, clean, f"{facts['errors']} errors, exit {facts['exit']}")


def _prediction(name, case):
    criterion = f"case {name}, data on the GPU, 'high': at most 1.5 times what was predicted"
    facts = case.get("pass float16x3", {})
    times = facts.get("times_predicted")
    if times is None:
        return _line(criterion, None, _why(facts))
    figure = (
        f"{1e3 * facts['median']:.3g} ms, {times:.2f} times the prediction of "
        f"{1e3 * facts['predicted_seconds']:.3g} ms; "
        f"{facts['share_of_cublas']:.0%} of cuBLAS' rate at its shapes"
    )
    call = case.get("call high", {})
    if "median" in call:
        figure += f"; the whole call {1e3 * call['median']:.3g} ms"
    return _line(criterion, times <= SLOWER_THAN_PREDICTED, figure)


def _loop(name, case):
    criterion = f"case {name}: at least 10 times as fast as a torch loop over pairs"
    call, loop = case.get("call high", {}), case.get("torch pair loop", {})
    for facts in (call, loop):
        if "median" not in facts:
            return _line(criterion, None, _why(facts))
    times = loop["median"] / call["median"]
    figure = f"{times:.1f} times ({1e3 * loop['median']:.4g} ms"
    if loop["extrapolated"]:
        figure += f", extrapolated from {loop['pairs_timed']} of {loop['pairs']} pairs"
    figure += ")"
    others = {
        other: facts["median"] / call["median"]
        for other, facts in case.items()
        if other.startswith("torch") and other != "torch pair loop" and "median" in facts
    }
    figure += "".join(f"; {other} {ratio:.1f} times" for other, ratio in others.items())
    return _line(criterion, times >= FASTER_THAN_LOOP, figure)


def _errors(name, case):
    criterion = f"case {name}: errors of CKA against float64"
    found = {
        products: max(facts["errors"]["biased"], facts["errors"]["unbiased"])
        for products in LIMITS
        if "errors" in (facts := case.get(f"pass {products}", {}))
    }
    if not found:
        return _line(criterion, None, _why(case.get("pass float16x3", case)))
    figure = ", ".join(
        f"{products} {error:.1e} (limit {LIMITS[products]:.0e})"
        for products, error in found.items()
    )
    holds = all(error <= LIMITS[products] for products, error in found.items())
    missing = [products for products in LIMITS if products not in found]
    if holds and missing:
        return _line(criterion, None, f"{figure}; without {', '.join(missing)}")
    return _line(criterion, holds, figure)
