// Matrices of pairs, and the timeline of the cell that is clicked.

KINDS.matrix = (figure, spec) => {
  const state = { ...spec, sort: spec.sorts[0] };
  const fixed = { ...spec.start }; // field -> the label that is shown
  const plot = figure.querySelector(".plot");
  const detail = figure.querySelector(".detail");
  const empty = element("p", { textContent: "No pair has this combination of labels.", hidden: true });
  plot.before(empty);
  let drawn = null, before = null;
  const draw = () => {
    // A timeline stays only while it is that of a cell of this matrix: if just the step changed.
    const settingsNow = JSON.stringify([state, { ...fixed, step: null }, settings.value]);
    if (settingsNow !== before) detail.hidden = true;
    before = settingsNow;
    drawn = pivot(state, fixed);
    empty.hidden = drawn.cells.size > 0;
    plot.hidden = !empty.hidden;
    if (plot.hidden) return null;
    const done = show(plot, ...heatmap(drawn, plot.clientWidth));
    if (plot.on && !plot.dataset.listening) {
      plot.dataset.listening = "yes";
      plot.on("plotly_click", ({ points: [point] }) => {
        timelineOf(figure, state, fixed, drawn.rows[point.y], drawn.columns[point.x]);
      });
    }
    return done;
  };
  addControls(figure.querySelector(".controls"), state, fixed, draw);
  return draw;
};

function addControls(form, state, fixed, draw) {
  const fieldsText = (fields) => fields.join(", ");
  for (const field of state.fixed) {
    const { labels } = PAIRS.fields[field];
    const change = (label) => { fixed[field] = label; draw(); };
    form.append(field === "step"
      ? slider("step", labels, fixed.step, change)
      : choice(field, labels.map((text, i) => [i, text]), fixed[field], change));
  }
  if (state.cells.length > 1) {
    const options = state.cells.map((fields, i) => [
      fields, i ? `mean by ${fieldsText(fields)}` : "each pair",
    ]);
    const start = options.find(([fields]) => fieldsText(fields) === fieldsText(state.by))?.[0];
    form.append(choice("cells", options, start, (fields) => { state.by = fields; draw(); }));
  }
  if (state.both) {
    const options = [["all", "all"], ["within", "within one model"], ["between", "between models"]];
    form.append(choice("pairs", options, state.pairs, (kind) => { state.pairs = kind; draw(); }));
  }
  for (const side of ["rows", "columns"]) {
    if (!state.choices.length || state.sides) continue;
    const options = [[null, "all"]];
    for (const field of state.choices) {
      PAIRS.fields[field].labels.forEach((text, label) => {
        options.push([{ field, label }, field === "model" ? text : `${field} ${text}`]);
      });
    }
    const start = options.find(([only]) => only && state[side]
      && only.field === state[side].field && only.label === state[side].label)?.[0] ?? null;
    form.append(choice(side, options, start, (only) => { state[side] = only; draw(); }));
  }
  if (state.sorts.length > 1) {
    const options = state.sorts.map((field) => [field, field]);
    form.append(choice("sort by", options, state.sort, (field) => { state.sort = field; draw(); }));
  }
}

const TOP = 86; // plotly keeps this space for the colour bar

/** The traces and the layout of a matrix that is `width` pixels wide. */
function heatmap({ rows, columns, cells }, width) {
  const pairsOf = (row, column) => cells.get(`${row.key}|${column.key}`);
  const z = rows.map((row) => columns.map((column) => {
    const pairs = pairsOf(row, column);
    return pairs ? summary(pairs)?.mean ?? null : null;
  }));
  const text = rows.map((row) => columns.map((column) => cellText(row, column, pairsOf(row, column))));
  const [low, high] = limits(z);
  const most = width < 600 ? 18 : 32;
  // A square fits on the first screen, below the text.
  const square = Math.min(560, Math.max(360, innerHeight - 450));
  const [left, bottom] = [rows, columns].map((groups) => (
    14 + 6.4 * longest(ticks(groups, square, most).ticktext.map(decoded), most)
  ));
  const across = Math.min(width - left - 16, square, Math.max(240, 70 * columns.length));
  const down = Math.min(across * Math.max(rows.length / Math.max(columns.length, 1), 0.15), 900);
  const trace = {
    type: "heatmap", z, text, hoverinfo: "text", zmin: low, zmax: high, colorscale: settings.scale,
    x: columns.map((_, i) => i), y: rows.map((_, i) => i), hoverongaps: true,
    colorbar: {
      orientation: "h", thickness: 10, len: Math.min(1, 260 / across), x: 0, xanchor: "left", y: 1,
      yanchor: "bottom", title: { text: plain(shownValue().title), side: "top" }, ypad: 4,
    },
  };
  if (Math.max(rows.length, columns.length) * 34 <= across) trace.texttemplate = "%{z:.2f}";
  const paper = template(DARK.matches).layout.paper_bgcolor;
  return [[trace], {
    height: down + bottom + TOP, margin: { l: left, r: width - left - across, t: TOP, b: bottom },
    xaxis: { ...ticks(columns, across, most), tickangle: -90, constrain: "domain" },
    yaxis: { ...ticks(rows, down, most), autorange: "reversed" },
    shapes: [...borders(rows, "y", down, paper), ...borders(columns, "x", across, paper)],
  }];
}

/** The ticks of an axis of some pixels: every label, or that of each block, or every k-th. */
function ticks(groups, pixels, most) {
  const room = Math.max(1, Math.floor(pixels / 12));
  let places = groups.map((_, i) => i), texts = groups.map((group) => group.name);
  if (groups.length > room) {
    const depth = [2, 1].find((each) => blocksOf(groups, each).length <= room);
    const blocks = depth ? blocksOf(groups, depth) : [];
    if (blocks.length > 1) {
      places = blocks.map(([start, end]) => (start + end - 1) / 2);
      texts = blocks.map(([start]) => {
        const labels = groups[start].labels.slice(0, depth).filter((label) => label !== null);
        return labels.join(" · ") || groups[start].name;
      });
    } else {
      places = places.filter((i) => i % Math.ceil(groups.length / room) === 0);
      texts = places.map((i) => groups[i].name);
    }
  }
  const range = { showgrid: false, zeroline: false, ticks: "", tickfont: { size: 11 } };
  return { ...range, tickvals: places, ticktext: texts.map((text) => plain(shortened(text, most))) };
}

/** Runs of rows that agree in the first `depth` fields of the order, as [start, end). */
function blocksOf(groups, depth) {
  const key = (group) => group.ranks.slice(0, depth).join();
  const blocks = [];
  groups.forEach((group, i) => {
    if (i && key(group) === key(groups[i - 1])) blocks[blocks.length - 1][1] = i + 1;
    else blocks.push([i, i + 1]);
  });
  return blocks;
}

/** Lines between the blocks of an axis of some pixels: a wide one where the first field changes. */
function borders(groups, axis, pixels, color) {
  const other = axis === "x" ? "y" : "x";
  const lines = [];
  for (const [depth, width] of [[2, 0.7], [1, 2.5]]) {
    const blocks = blocksOf(groups, depth);
    if (blocks.length === groups.length || blocks.length > 60) continue;
    const thin = Math.min(1, pixels / blocks.length / 40); // so that lines leave room for the cells
    for (const [start] of blocks.slice(1)) {
      lines.push({
        type: "line", line: { color, width: width * thin }, [`${axis}0`]: start - 0.5, [`${axis}1`]: start - 0.5,
        [`${other}ref`]: "paper", [`${other}0`]: 0, [`${other}1`]: 1,
      });
    }
  }
  return lines;
}

/** Show the value of a cell at every step below the matrix. */
function timelineOf(figure, state, fixed, row, column) {
  const detail = figure.querySelector(".detail");
  detail.hidden = false;
  detail.replaceChildren();
  const title = element("b", { textContent: `${row.name} and ${column.name}` });
  const close = element("button", { type: "button", textContent: "close", onclick: () => { detail.hidden = true; } });
  detail.append(element("div", {}, title, " ", close));
  if (!("step" in fixed)) {
    detail.append(element("p", { textContent: "This figure has no list of steps, so there is no timeline of this cell." }));
    return;
  }
  const steps = PAIRS.fields.step.labels;
  const points = steps.map((_, step) => {
    const pairs = pivot(state, { ...fixed, step }).cells.get(`${row.key}|${column.key}`);
    return pairs ? summary(pairs) : null;
  });
  const kept = points.map((_, i) => i).filter((i) => points[i]);
  const x = kept.map((i) => Number(steps[i])), means = kept.map((i) => points[i]);
  const plot = element("div", { className: "plot" });
  detail.append(plot);
  if (shownValue().reverse) detail.append(element("p", { className: "note", textContent: "The row is the first argument." }));
  const line = {
    type: "scatter", mode: "lines+markers", x, y: means.map((each) => each.mean), hoverinfo: "text",
    line: { color: "#0072B2" }, text: means.map((each, i) => `step ${x[i]}: ${number(each.mean)}`
      + (each.count > 1 ? `<br>${each.count} ${unit()}, ${number(each.low)} to ${number(each.high)}` : "")),
  };
  const band = {
    type: "scatter", mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: "#0072B233",
    x: [...x, ...x.slice().reverse()], hoverinfo: "skip",
    y: [...means.map((each) => each.high), ...means.map((each) => each.low).reverse()],
  };
  show(plot, means.some((each) => each.count > 1) ? [band, line] : [line], {
    height: 260, showlegend: false, margin: { l: 55, r: 15, t: 25, b: 40 },
    xaxis: { title: { text: "training step" } },
    yaxis: { title: { text: plain(shownValue().title) } },
  });
}
