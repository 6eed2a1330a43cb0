"use strict";
// The data of the page, the settings of all figures, and what every figure uses.

const { pairs: PAIRS, charts: CHARTS } = JSON.parse(document.getElementById("data").textContent);
const settings = { value: 0, scale: "Viridis", range: "fixed" };
const DARK = matchMedia("(prefers-color-scheme: dark)");
const KINDS = {}; // kind of a chart -> function (figure element, spec) that returns how to draw it

/** The text for plotly, which reads tags such as <b> in texts. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** The text that `plain` escaped. */
function decoded(text) {
  return text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
}

/** A text of at most `most` characters, with its start and its end. */
function shortened(text, most) {
  if (text.length <= most) return text;
  const end = Math.floor(most / 2);
  return `${text.slice(0, most - end - 1)}…${text.slice(-end)}`;
}

/** The length of the longest text, from 1 to `most`. */
function longest(texts, most) {
  return texts.reduce((letters, text) => Math.min(most, Math.max(letters, text.length)), 1);
}

/** A number with four decimals, or a dash. */
function number(value) {
  return value === null || value === undefined ? "–" : value.toFixed(4);
}

/** A new element with properties and children. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** A list to choose from: `options` are [value, text]. */
function choice(label, options, selected, change) {
  const list = element("select", { ariaLabel: label, onchange: () => change(options[list.selectedIndex][0]) });
  for (const [value, text] of options) {
    list.append(element("option", { textContent: text, selected: value === selected }));
  }
  return element("label", {}, label, list);
}

/** A slider over texts. */
function slider(label, texts, selected, change) {
  const shown = element("output", { textContent: texts[selected] });
  const input = element("input", {
    type: "range", ariaLabel: label, min: 0, max: texts.length - 1, step: 1,
    oninput: () => {
      shown.textContent = texts[input.valueAsNumber];
      change(input.valueAsNumber);
    },
  });
  input.value = selected;
  return element("label", {}, label, input, shown);
}

/** The colours of a figure on a dark or on a light page. */
function template(dark) {
  const [ink, paper, grid] = dark ? ["#e6e6e6", "#14171a", "#363b41"] : ["#1a1a1a", "#ffffff", "#dddddd"];
  const axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid };
  return {
    layout: {
      paper_bgcolor: paper, plot_bgcolor: paper, xaxis: axis, yaxis: axis,
      font: { color: ink, family: "system-ui, sans-serif", size: 12 },
      hoverlabel: { bgcolor: paper, bordercolor: grid, font: { color: ink }, align: "left" },
    },
  };
}

/** Download a figure in the light colours, for paper. */
function download(gd, format) {
  const layout = { ...gd.layout, template: template(false) };
  const filename = (gd.closest("figure").querySelector("h3")?.textContent
    || gd.closest("section").querySelector("h2").textContent).replace(/[^A-Za-z0-9]+/g, "_");
  Plotly.downloadImage({ data: gd.data, layout }, {
    format, filename, width: gd.clientWidth, height: gd.clientHeight, scale: format === "png" ? 3 : 1,
  });
}

function buttons() {
  const icon = Plotly.Icons.camera;
  return [
    { name: "Download as PNG", icon, click: (gd) => download(gd, "png") },
    { name: "Download as SVG", icon: Plotly.Icons.disk, click: (gd) => download(gd, "svg") },
  ];
}

/** Draw a figure, or redraw it; sketch it while plotly is not loaded. */
function show(plot, data, layout) {
  plot.style.minHeight = `${layout.height}px`;
  const whole = {
    ...layout, template: template(DARK.matches), width: plot.clientWidth, hovermode: "closest",
  };
  if (typeof Plotly === "undefined") return sketch(plot, data, whole);
  plot.querySelector("canvas")?.remove();
  return Plotly.react(plot, data, whole, {
    displaylogo: false, modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d"],
    modeBarButtonsToAdd: buttons(),
  });
}

/** The similarity that the figures show. */
function shownValue() {
  return PAIRS.values[settings.value];
}

/** The limits of the colour scale, for numbers that include null. */
function limits(rows) {
  if (settings.range === "fixed") return shownValue().limits;
  let low = Infinity, high = -Infinity;
  for (const row of rows) {
    for (const each of row) {
      if (each !== null) { low = Math.min(low, each); high = Math.max(high, each); }
    }
  }
  return low < high ? [low, high] : shownValue().limits;
}
