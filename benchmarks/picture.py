"""The growth curves: measured seconds as points, the planner's prediction as a line."""

from __future__ import annotations

from benchmarks.part_tables import label


def draw(growth, path):
    """Draw four panels, one for each axis, with logarithmic scales, into a picture file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).flat
    for axes, (axis, points) in zip(panels, growth["axes"].items(), strict=True):
        values = [point["value"] for point in points]
        axes.plot(values, [point["predicted"] for point in points], color="0.6", label="predicted")
        timed = [point for point in points if "median" in point]
        for route, color in (("G", "tab:blue"), ("F", "tab:orange")):
            chosen = [point for point in timed if point["route"] == route]
            if chosen:
                axes.plot(
                    [point["value"] for point in chosen],
                    [point["median"] for point in chosen],
                    *("o",),
                    color=color,
                    label=f"measured, route {route}",
                )
        for point in timed:
            axes.annotate(
                f"{point['ratio']:.2f}",
                (point["value"], point["median"]),
                textcoords="offset points",
                xytext=(0, 7),
                ha="center",
                fontsize=7,
                color="0.35",
            )
        axes.set(xscale="log", yscale="log", xlabel=label(axis, points), ylabel="seconds")
        axes.set_xticks(values)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.08, y=0.18)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    base = growth["base"]
    figure.suptitle(
        f"fastcka, from M={base['m']}, n={base['n']}, d={base['d']}; "
        "small numbers: measured over predicted"
    )
    figure.savefig(path, dpi=130)
