// Figures whose traces are finished: one for each similarity and each choice of a list.

KINDS.plot = (figure, spec) => {
  const names = [...new Set(spec.figures.map((each) => each.choice))];
  let chosen = names[0];
  const plot = figure.querySelector(".plot");
  const draw = () => {
    const here = spec.figures.filter((each) => each.choice === chosen);
    // Some figures exist for the chosen estimator only.
    const { data, layout } = here.find((each) => each.value === shownValue().name) ?? here[0];
    return show(plot, data, fitted(data, layout, plot.clientWidth));
  };
  const form = figure.querySelector(".controls");
  if (names.length > 1) {
    form.classList.add("wider");
    form.append(choice("show", names.map((name) => [name, name]), chosen, (name) => { chosen = name; draw(); }));
  } else if (chosen) {
    form.append(element("span", { textContent: chosen }));
  }
  return draw;
};

/** The layout with margins for the labels of the vertical axis, and the legend where it fits. */
function fitted(data, layout, width) {
  const texts = layout.yaxis?.ticktext;
  const most = width < 600 ? 18 : 42;
  const letters = texts ? longest(texts, most) : 0;
  const named = data.filter((trace) => trace.showlegend !== false && trace.name);
  const below = width < 700;
  const rows = below && named.length > 1 ? Math.ceil(named.length / 2) : 0;
  const legend = below ? { orientation: "h", y: -0.28, yanchor: "top" } : { x: 1.02, y: 1 };
  const height = Math.max(layout.height ?? 380, below ? 0 : 90 + 30 * named.length) + 20 * rows;
  return {
    showlegend: named.length > 1, ...layout, height, legend,
    margin: { l: texts ? 14 + 6.4 * letters : 60, r: 20, t: layout.title ? 44 : 24, b: (layout.xaxis?.title ? 50 : 20) + 20 * rows },
    yaxis: texts
      ? { ...layout.yaxis, ticktext: texts.map((text) => cutMarkup(text, most)), tickfont: { size: 11 } }
      : layout.yaxis,
  };
}

/** Shorten a text that is escaped for plotly, without cutting an entity in two. */
function cutMarkup(text, most) {
  return plain(shortened(decoded(text), most));
}
