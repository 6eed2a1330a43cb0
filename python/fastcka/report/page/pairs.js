// The table of pairs, of which at most a page of rows is in the document.

const ROWS = 25;

KINDS.pairs = (figure, spec) => {
  const columns = pairColumns(spec);
  const state = { column: null, descending: false, page: 0, words: [] };
  const count = PAIRS.a.length;
  let search = null; // the labels of each pair in lower case, made for the first filter
  const head = element("tr"), body = element("tbody"), shown = element("output");
  const chosen = () => {
    let rows = Array.from({ length: count }, (_, pair) => pair);
    if (state.words.length) {
      search ??= rows.map((pair) => allLabels(pair).toLowerCase());
      rows = rows.filter((pair) => state.words.every((word) => search[pair].includes(word)));
    }
    if (state.column) {
      const { rank } = state.column, sign = state.descending ? -1 : 1;
      // Pairs without a number are last in both directions.
      const missing = (pair) => rank(pair) === null || rank(pair) === undefined;
      rows.sort((one, other) => (missing(one) - missing(other)) || sign * (rank(one) - rank(other)));
    }
    return rows;
  };
  const draw = () => {
    const rows = chosen();
    state.page = Math.max(0, Math.min(state.page, Math.ceil(rows.length / ROWS) - 1));
    const first = state.page * ROWS, some = rows.slice(first, first + ROWS);
    body.replaceChildren(...some.map((pair) => element("tr", {}, ...columns.map((column) => element("td", {
      textContent: column.text(pair), className: column.numeric ? "number" : "",
    })))));
    shown.textContent = rows.length
      ? `${first + 1} to ${first + some.length} of ${rows.length.toLocaleString("en")}` : "no pair";
    for (const [i, cell] of [...head.children].entries()) {
      const sorted = columns[i] === state.column;
      cell.ariaSort = sorted ? (state.descending ? "descending" : "ascending") : "none";
      cell.firstChild.textContent = columns[i].title + (sorted ? (state.descending ? " ▾" : " ▴") : "");
    }
  };
  for (const column of columns) {
    const sort = () => {
      state.descending = state.column === column && !state.descending;
      Object.assign(state, { column, page: 0 });
      draw();
    };
    head.append(element("th", { scope: "col", className: column.numeric ? "number" : "" }, element("button", { type: "button", onclick: sort })));
  }
  const filter = element("input", {
    type: "search", ariaLabel: "filter", placeholder: "conv1 seed0",
    oninput: () => {
      Object.assign(state, { words: filter.value.toLowerCase().split(/\s+/).filter(Boolean), page: 0 });
      draw();
    },
  });
  const turn = (text, by) => element("button", {
    type: "button", textContent: text, onclick: () => { state.page += by; draw(); },
  });
  figure.querySelector(".controls").append(
    element("label", {}, "filter", filter), turn("previous", -1), turn("next", 1), shown,
  );
  const table = element("table", {}, element("thead", {}, head), body);
  figure.querySelector(".plot").append(element("div", { className: "wide" }, table));
  return draw;
};

/** All labels of both sides, also of the fields that have no column, and the shown names. */
function allLabels(pair) {
  const fields = Object.keys(PAIRS.fields);
  const labels = (node) => [...fields.map((field) => labelOf(field, node)), nameOf(["model"], node)];
  return [PAIRS.a[pair], PAIRS.b[pair]].flatMap(labels).join(" ");
}

/** The columns: title, text and rank of a pair, and whether it contains numbers. */
function pairColumns({ fixed, varying }) {
  const columns = [];
  const label = (title, field, nodes) => {
    const { codes } = PAIRS.fields[field];
    columns.push({
      title, numeric: false, text: (pair) => nameOf([field], nodes[pair]),
      rank: (pair) => (codes[nodes[pair]] < 0 ? null : codes[nodes[pair]]),
    });
  };
  for (const field of fixed) label(field, field, PAIRS.a); // both sides agree in these fields
  for (const [side, nodes] of [["a", PAIRS.a], ["b", PAIRS.b]]) {
    for (const field of varying) label(`${field} ${side}`, field, nodes);
  }
  const add = (title, numbers, text = number) => {
    columns.push({ title, numeric: true, rank: (pair) => numbers[pair], text: (pair) => text(numbers[pair]) });
  };
  const { ci_low: low, ci_high: high, p_value: p, q_value: q } = PAIRS.inference;
  for (const value of PAIRS.values) {
    add(value.title, value.numbers);
    if (value.reverse) add(`${value.title}, b first`, value.reverse);
    if (value.name !== PAIRS.main) continue;
    if (low) {
      columns.push({
        title: intervalTitle(), numeric: true, rank: (pair) => low[pair],
        text: (pair) => (low[pair] === null ? "–" : `${number(low[pair])} to ${number(high[pair])}`),
      });
    }
    if (p) add("p", p, pText);
    if (q) add("q", q, pText);
  }
  add("n", PAIRS.n, (n) => n.toLocaleString("en"));
  return columns;
}
