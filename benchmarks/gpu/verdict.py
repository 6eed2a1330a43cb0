"""Whether a record meets the criteria that the pass on the GPU was built for."""

from __future__ import annotations

from benchmarks.workloads import GPU

#: The copy whose rate `HOST_BYTES_PER_SECOND` of the cost model stands for.
ORDINARY = "ordinary, all threads"

SLOWER_THAN_PREDICTED = 1.5
FASTER_THAN_LOOP = 10
#: Largest errors of CKA that docs/arrays.md promises, by precision and products.
LIMITS = {
    "high": {"float32": 1e-6, "float16x3": 1e-6},
    "fast": {"float16": 2e-4},
    "float64": {"float64": 1e-10},
}
#: Seconds of a call on data on the GPU, at most.
CALLS = {"A": 1.2e-3, "C": 50e-3}
#: Seconds of Python in a call, at most: a part for each call, and for each array.
PYTHON_CALL, PYTHON_ARRAY = 0.3e-3, 3e-6
#: Bytes a second from ordinary arrays of the host, at least.
FROM_HOST = 30e9
#: Of the raw read of the same files, at least.
SHARE_OF_READ = 0.9

PASS, FAIL, NOT_MEASURED = "pass", "fail", "not measured"


def verdict(facts):
    """Lines of {"criterion", "result", "figure"} for a record; without a figure: not measured."""
    benchmarks = facts.get("benchmarks", {})
    return [
        _tests(facts.get("suite", {})),
        *(_sanitizer(tool, facts.get("sanitizer", {})) for tool in ("memcheck", "racecheck")),
        *(_prediction(name, benchmarks.get(name, {})) for name in GPU),
        *(_loop(name, benchmarks.get(name, {})) for name in ("A", "C")),
        *(
            _errors(name, precision, benchmarks.get(name, {}))
            for name in GPU
            for precision in LIMITS
        ),
        *(_call(name, benchmarks.get(name, {})) for name in CALLS),
        *(_fast(name, benchmarks.get(name, {})) for name in GPU),
        _python(facts.get("calls", {})),
        _from_host(facts.get("copies", {})),
        *(_read(state, facts.get("store", {})) for state in ("warm", "cold")),
        _sweep(facts),
    ]


def cost_model(facts):
    """What a record says of a constant of the planner's cost model."""
    measured = facts.get("copies", {}).get(ORDINARY, {})
    if "bytes_per_second" not in measured:
        return {"HOST_BYTES_PER_SECOND": None, "reason": _why(measured)}
    return {"HOST_BYTES_PER_SECOND": float(f"{measured['bytes_per_second']:.2g}")}


def text(line):
    return f"{line['result'].upper():12} {line['criterion']}: {line['figure']}"


def _line(criterion, holds, figure):
    result = NOT_MEASURED if holds is None else PASS if holds else FAIL
    return {"criterion": criterion, "result": result, "figure": figure}


def _why(measured):
    """Why a part has no figures."""
    for word in ("failed", "skipped", "stopped"):
        if word in measured:
            return f"{word}: {measured[word]}"
    return "not run"


def _tests(tests):
    criterion = "the test suite passes on the GPU"
    counts = tests.get("counts")
    if not counts:
        return _line(criterion, None, _why(tests))
    figure = ", ".join(f"{count} {name}" for name, count in counts.items())
    bad = counts.get("failed", 0) + counts.get("error", 0)
    if "stopped" in tests:
        return _line(criterion, False if bad else None, f"{figure}; {_why(tests)}")
    return _line(criterion, not bad and counts.get("passed", 0) > 0, figure)


def _sanitizer(tool, sanitizer):
    criterion = f"compute-sanitizer {tool} finds nothing in a small workload"
    measured = sanitizer.get(tool, sanitizer)
    if measured.get("errors") is None:
        return _line(criterion, None, _why(measured))
    clean = measured["errors"] == 0 and measured["exit"] == 0
    return _line(criterion, clean, f"{measured['errors']} errors, exit {measured['exit']}")


def _prediction(name, contestants):
    criterion = f"workload {name}, data on the GPU, 'high': at most 1.5 times the prediction"
    measured = contestants.get("pass float16x3", {})
    times = measured.get("times_predicted")
    if times is None:
        return _line(criterion, None, _why(measured))
    figure = (
        f"{1e3 * measured['median']:.3g} ms, {times:.2f} times the prediction of "
        f"{1e3 * measured['predicted_seconds']:.3g} ms; "
        f"{measured['share_of_cublas']:.0%} of cuBLAS' rate at its shapes"
    )
    call = contestants.get("call high", {})
    if "median" in call:
        figure += f"; the whole call {1e3 * call['median']:.3g} ms"
    return _line(criterion, times <= SLOWER_THAN_PREDICTED, figure)


def _loop(name, contestants):
    criterion = f"workload {name}: at least 10 times as fast as a torch loop over pairs"
    call, loop = contestants.get("call high", {}), contestants.get("torch pair loop", {})
    for measured in (call, loop):
        if "median" not in measured:
            return _line(criterion, None, _why(measured))
    times = loop["median"] / call["median"]
    figure = f"{times:.1f} times ({1e3 * loop['median']:.4g} ms"
    if loop["extrapolated"]:
        figure += f", extrapolated from {loop['pairs_timed']} of {loop['pairs']} pairs"
    figure += ")"
    others = {
        other: measured["median"] / call["median"]
        for other, measured in contestants.items()
        if other.startswith("torch") and other != "torch pair loop" and "median" in measured
    }
    figure += "".join(f"; {other} {ratio:.1f} times" for other, ratio in others.items())
    return _line(criterion, times >= FASTER_THAN_LOOP, figure)


def _errors(name, precision, contestants):
    criterion = f"workload {name}: errors of CKA at '{precision}' against float64"
    limits = LIMITS[precision]
    largest = {
        products: max(measured["errors"]["biased"], measured["errors"]["unbiased"])
        for products in limits
        if "errors" in (measured := contestants.get(f"pass {products}", {}))
    }
    if not largest:
        products = list(limits)[-1]
        return _line(criterion, None, _why(contestants.get(f"pass {products}", contestants)))
    figure = ", ".join(
        f"{products} {error:.1e} (limit {limits[products]:.0e})"
        for products, error in largest.items()
    )
    holds = all(error <= limits[products] for products, error in largest.items())
    missing = [products for products in limits if products not in largest]
    if holds and missing:
        return _line(criterion, None, f"{figure}; without {', '.join(missing)}")
    return _line(criterion, holds, figure)


def _call(name, contestants):
    criterion = f"workload {name}: a call at 'high' takes at most {1e3 * CALLS[name]:g} ms"
    call = contestants.get("call high", {})
    if "median" not in call:
        return _line(criterion, None, _why(call))
    return _line(criterion, call["median"] <= CALLS[name], f"{1e3 * call['median']:.3g} ms")


def _fast(name, contestants):
    criterion = f"workload {name}: a call at 'fast' takes no longer than torch's float16 tiles"
    call = contestants.get("call fast", {})
    tiles = [
        measured["median"]
        for other, measured in contestants.items()
        if other.startswith("torch") and other.endswith("float16") and "median" in measured
    ]
    if "median" not in call or not tiles:
        return _line(criterion, None, _why(call))
    figure = f"{1e3 * call['median']:.3g} ms, torch {1e3 * min(tiles):.3g} ms"
    return _line(criterion, call["median"] <= min(tiles), figure)


def _python(calls):
    criterion = "Python's share of a call: at most 0.3 ms and 3 us for each array"
    shares = {
        measured["shape"][0]: measured["python_seconds"]
        for measured in calls.values()
        if isinstance(measured, dict) and "python_seconds" in measured
    }
    if not shares:
        return _line(criterion, None, _why(calls))
    holds = all(seconds <= PYTHON_CALL + PYTHON_ARRAY * m for m, seconds in shares.items())
    figure = ", ".join(f"M={m}: {1e3 * seconds:.3g} ms" for m, seconds in shares.items())
    return _line(criterion, holds, figure)


def _from_host(copies):
    criterion = f"from ordinary arrays of the host: at least {FROM_HOST / 1e9:g} GB/s"
    measured = copies.get(ORDINARY, copies)
    if "bytes_per_second" not in measured:
        return _line(criterion, None, _why(measured))
    rate = measured["bytes_per_second"]
    return _line(
        criterion, rate >= FROM_HOST, f"{rate / 1e9:.3g} GB/s, {measured['threads']} threads"
    )


def _fastest(store, way, state):
    """The highest rate of a way to read the store, over numbers of threads; None without."""
    rates = [
        measured["bytes_per_second"]
        for name, measured in store.items()
        if name.startswith(f"{way} {state}") and "bytes_per_second" in measured
    ]
    return max(rates, default=None)


def _read(state, store):
    criterion = f"many representations from a store, {state}: at least 0.9 of the raw read"
    raw, rate = (_fastest(store, way, state) for way in ("read_raw", "read_sweep"))
    if raw is None or rate is None:
        return _line(criterion, None, _why(store))
    figure = f"{rate / 1e9:.3g} of {raw / 1e9:.3g} GB/s"
    return _line(criterion, rate >= SHARE_OF_READ * raw, figure)


def _sweep(facts):
    criterion = "a sweep on the GPU: at least 0.9 of the raw read, or of the bus if that is slower"
    sweep, raw = facts.get("sweep", {}), _fastest(facts.get("store", {}), "read_raw", "warm")
    measured = sweep.get("cuda", sweep)
    if "bytes_per_second" not in measured or raw is None:
        return _line(criterion, None, _why(measured))
    device = facts.get("benchmarks", {}).get("rates", {}).get("device", {})
    limit = min(raw, device.get("pinned_bytes_per_second", raw))
    rate = measured["bytes_per_second"]
    seconds = ", ".join(
        f"{name} {sweep[name]['median']:.2f} s"
        for name in ("cuda", "auto", "cpu")
        if "median" in sweep.get(name, {})
    )
    figure = f"{rate / 1e9:.3g} of {limit / 1e9:.3g} GB/s; {seconds}"
    return _line(criterion, rate >= SHARE_OF_READ * limit, figure)
