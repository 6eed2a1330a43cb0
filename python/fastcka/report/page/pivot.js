// From pairs to the cells of a matrix: which pairs share a cell, and in which order rows are.

const BOTH = 2; // the side of a representation that is on the rows (0) and on the columns (1)

/** The label of a representation in a field, as text; "–" if its model lacks the field. */
function labelOf(field, node) {
  const { labels, codes } = PAIRS.fields[field];
  return codes[node] < 0 ? "–" : labels[codes[node]];
}

/** The name of the rows that contain a representation. */
function nameOf(fields, node) {
  return fields
    .map((f) => (f === "model" ? PAIRS.names[PAIRS.fields.model.codes[node]] : labelOf(f, node)))
    .join(" · ");
}

function codesOf(fields, node) {
  return fields.map((field) => PAIRS.fields[field].codes[node]).join(",");
}

/** Whether a pair belongs to the labels that are shown: the fixed fields, and the kind of pairs. */
function isShown(pair, state, fixed) {
  const a = PAIRS.a[pair], b = PAIRS.b[pair];
  for (const field of Object.keys(fixed)) {
    if (PAIRS.fields[field].codes[a] !== fixed[field]) return false;
  }
  if (state.pairs === "all") return true;
  const models = PAIRS.fields.model.codes;
  return (models[a] === models[b]) === (state.pairs === "within");
}

/** Whether a representation is among the rows (side 0) or the columns (side 1). */
function isOn(side, node, state) {
  if (state.sides && state.sides[node] !== side && state.sides[node] !== BOTH) return false;
  const only = side === 0 ? state.rows : state.columns;
  return !only || PAIRS.fields[only.field].codes[node] === only.label;
}

/**
 * The cells: "row|column" -> entries. The rows and columns: codes -> representations.
 *
 * An entry is the position of a pair, or its complement ~pair if side b is on the row.
 */
function pivot(state, fixed) {
  const rows = new Map(), columns = new Map(), cells = new Map();
  const add = (entry, a, b, other) => {
    if (!isOn(0, a, state) || !isOn(1, b, state)) return null;
    const row = codesOf(state.by, a), column = codesOf(state.by, b), cell = `${row}|${column}`;
    // Both directions of a pair share the cell: they are two numbers if they differ.
    if (cell === other && !shownValue().reverse) return null;
    for (const [map, key, node] of [[rows, row, a], [columns, column, b]]) {
      if (!map.has(key)) map.set(key, new Set());
      map.get(key).add(node);
    }
    if (!cells.has(cell)) cells.set(cell, []);
    cells.get(cell).push(entry);
    return cell;
  };
  for (let pair = 0; pair < PAIRS.a.length; pair += 1) {
    if (isShown(pair, state, fixed)) {
      const cell = add(pair, PAIRS.a[pair], PAIRS.b[pair], null);
      add(~pair, PAIRS.b[pair], PAIRS.a[pair], cell);
    }
  }
  return { rows: ordered(rows, state, fixed), columns: ordered(columns, state, fixed), cells };
}

/** Rows in the order of the fields; absent labels are last. */
function ordered(map, state, fixed) {
  const fields = [...new Set([state.sort, ...state.order, ...state.by])].filter((f) => !(f in fixed));
  const rank = (field, nodes) => {
    const codes = field === "cluster" ? PAIRS.ranks : PAIRS.fields[field].codes;
    let sum = 0, least = Infinity;
    for (const node of nodes) {
      sum += codes[node];
      if (codes[node] >= 0) least = Math.min(least, codes[node]);
    }
    return field === "cluster" ? sum / nodes.length : least;
  };
  return [...map].map(([key, set]) => {
    const nodes = [...set];
    return {
      key, name: nameOf(state.by, nodes[0]), ranks: fields.map((f) => rank(f, nodes)),
      labels: fields.map((f) => (f === "cluster" ? null : commonLabel(f, nodes))),
    };
  }).sort((one, other) => {
    const i = one.ranks.findIndex((each, place) => each !== other.ranks[place]);
    return i < 0 ? 0 : one.ranks[i] - other.ranks[i];
  });
}

/** The label of all representations in a field, or null if they have different labels. */
function commonLabel(field, nodes) {
  const { codes } = PAIRS.fields[field];
  return nodes.every((node) => codes[node] === codes[nodes[0]]) ? labelOf(field, nodes[0]) : null;
}

/** The position of the pair of an entry of a cell. */
function pairOf(entry) {
  return entry < 0 ? ~entry : entry;
}

/** The shown similarity of an entry, whose row is the first argument. */
function valueOf(entry) {
  const { numbers, reverse } = shownValue();
  return entry < 0 ? (reverse ?? numbers)[~entry] : numbers[entry];
}

/** What a mean of the shown similarity is taken over. */
function unit() {
  return shownValue().reverse ? "ordered pairs" : "pairs";
}

/** Mean, least and greatest value of the entries of a cell, and their number; null without one. */
function summary(entries) {
  const numbers = entries.map(valueOf).filter((each) => each !== null);
  if (!numbers.length) return null;
  return {
    mean: numbers.reduce((sum, each) => sum + each, 0) / numbers.length,
    // Not Math.min(...numbers): engines limit the number of arguments.
    low: numbers.reduce((least, each) => Math.min(least, each)),
    high: numbers.reduce((most, each) => Math.max(most, each)), count: numbers.length,
  };
}

/** The numbers of a cell as text. */
function cellText(row, column, entries) {
  const lines = [`${plain(row.name)}`, `${plain(column.name)}`];
  const got = entries && summary(entries);
  if (!got) return [...lines, entries ? "undefined" : "not compared"].join("<br>");
  const n = [...new Set(entries.map((entry) => PAIRS.n[pairOf(entry)]))].sort((a, b) => a - b);
  if (entries.length > 1) {
    lines.push(`mean ${plain(shownValue().title)}: ${number(got.mean)}`);
    lines.push(`${got.count} ${unit()}, ${number(got.low)} to ${number(got.high)}`);
  } else {
    const pair = pairOf(entries[0]);
    lines.push(`${plain(shownValue().title)}: ${number(got.mean)}`);
    if (shownValue().reverse) lines.push("first argument: the row");
    if (shownValue().name === PAIRS.main) lines.push(...inferenceText(pair));
    const ends = [PAIRS.a[pair], PAIRS.b[pair]]; // row and column
    const widths = (entries[0] < 0 ? ends.reverse() : ends).map((node) => PAIRS.features[node] ?? "?");
    lines.push(`features: ${widths.join(" and ")}`);
  }
  lines.push(`n = ${n.length > 1 ? `${n[0]} to ${n[n.length - 1]}` : n[0]} examples`);
  return lines.join("<br>");
}

/** The name of the intervals, with their level if run.json contains it. */
function intervalTitle() {
  return PAIRS.level === null ? "interval" : `${Number((100 * PAIRS.level).toPrecision(6))}% interval`;
}

/** The interval and the p-value of a pair, if the sweep computed them. */
function inferenceText(pair) {
  const { ci_low: low, ci_high: high, p_value: p, q_value: q } = PAIRS.inference;
  const lines = [];
  if (low && low[pair] !== null) lines.push(`${intervalTitle()} ${number(low[pair])} to ${number(high[pair])}`);
  if (p && p[pair] !== null) {
    lines.push(`p: ${pText(p[pair])}${q && q[pair] !== null ? `, q: ${pText(q[pair])}` : ""}`);
  }
  return lines;
}

/** A p-value with four decimals. */
function pText(p) {
  return p !== null && p < 0.00005 ? "< 0.0001" : number(p);
}
