// The settings of all figures, and when a figure is drawn: once it is scrolled into view.

(function start() {
  const drawn = new Map(); // figure element -> function that draws it
  const draw = (figure) => Promise.resolve(drawn.get(figure)()).then(() => {
    if (!performance.getEntriesByName("first figure").length) performance.mark("first figure");
  });
  const redraw = () => {
    for (const figure of drawn.keys()) draw(figure);
    for (const plot of document.querySelectorAll(".detail:not([hidden]) .plot")) show(plot, plot.data, plot.layout);
  };
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || drawn.has(target)) continue;
      const spec = CHARTS[target.dataset.chart];
      drawn.set(target, KINDS[spec.kind](target, spec));
      seen.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "200px" });

  for (const form of document.forms) form.onsubmit = () => false;
  const set = (name) => (value) => { settings[name] = value; redraw(); };
  const toolbar = document.getElementById("toolbar");
  if (PAIRS.values.length > 1) {
    toolbar.append(choice("similarity", PAIRS.values.map((v, i) => [i, v.title]), 0, set("value")));
  }
  const scales = ["Viridis", "Cividis", "Greys", "RdBu"].map((name) => [name, name]);
  toolbar.append(choice("colours", scales, settings.scale, set("scale")));
  const ranges = [["fixed", "the same in all figures"], ["data", "the range of each figure"]];
  toolbar.append(choice("range", ranges, settings.range, set("range")));
  if (innerWidth < 1000) document.querySelector("nav details").open = false;
  for (const figure of document.querySelectorAll("figure.chart")) seen.observe(figure);
  const load = () => {
    const source = document.getElementById("plotly");
    document.head.append(element("script", { textContent: source.textContent }));
    source.remove();
    redraw();
    performance.mark("plotly");
  };
  // After two frames the figures in view are sketched: a browser draws nothing while it compiles.
  addEventListener("DOMContentLoaded", () => {
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(load)));
  });
  DARK.addEventListener("change", redraw);
  let waiting = 0;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // phones resize the window when its bars hide
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 150);
  });
}());
