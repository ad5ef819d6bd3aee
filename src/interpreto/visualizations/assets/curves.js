// Faithfulness curves: a line and a band for each method; the field is a slider that reads them.
views.curves = (figure, ordinal) => {
  const root = make("section", "figure curves");
  const { rows, grid, done, better, shares } = figure;
  const texts = figure.n_texts + (figure.n_texts === 1 ? " text" : " texts");
  root.append(heading(ordinal, figure.metric, `${texts}, ${better} is better`));
  const draw = (tag, attributes, text = null) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== null) node.textContent = text;
    return node;
  };
  const kind = (k) => `k${k % 6} d${(k + Math.floor(k / 12)) % 4}`; // colour and dashes: told apart without colours, too
  const swatch = (k) => {
    const key = draw("svg", { viewBox: "0 0 26 8", class: "swatch", "aria-hidden": true });
    key.append(draw("path", { d: "M1,4H25", class: "line " + kind(k) }));
    return key;
  };
  // An error has two digits that count, and stays on a line with its sign.
  const withError = (value, error, signed) => format(value, signed) + (error === null ? "" : " \u00b1\u00a0" + format(Number(error.toPrecision(2)), false));
  const place = (k) => (shares ? `${Number((100 * grid[k]).toFixed(1))} % of the elements ${done}` : `point ${k + 1} of ${grid.length}`);
  let chosen = null, at = Math.floor(grid.length / 5);

  // The field, drawn anew for each width, so that letters keep their size.
  const field = make("div", "field");
  const high = 300, top = 26, bottom = high - 40;
  let left = 44, right = 600, lowest = 0, highest = 1;
  const values = rows.flatMap((row) => row.mean.flatMap((m, i) => (m === null ? [] : [m - (row.error[i] || 0), m + (row.error[i] || 0)])));
  const span = values.reduce((ends, value) => [Math.min(ends[0], value), Math.max(ends[1], value)], [Infinity, -Infinity]);
  const [least, most] = values.length ? span : [0, 1];
  const room = most - least || Math.abs(most) || 1;
  const unit = 10 ** Math.floor(Math.log10(room / 4));
  const tick = unit * [1, 2, 5, 10].find((m) => m * unit >= room / 5);
  lowest = Math.floor(least / tick + 1e-9) * tick;
  highest = Math.max(Math.ceil(most / tick - 1e-9) * tick, lowest + tick);
  const first = shares ? 0 : grid[0], last = shares ? (grid[grid.length - 1] > 0.5 ? 1 : grid[grid.length - 1]) : grid[grid.length - 1];
  const x = (value) => left + ((right - left) * (value - first)) / (last - first || 1);
  const y = (value) => bottom - ((bottom - top) * (value - lowest)) / (highest - lowest);
  const pair = (i, value) => `${x(grid[i]).toFixed(1)},${y(value).toFixed(1)}`;

  // Stretches without gaps: a score may be infinite.
  const stretches = (known) => {
    const found = [];
    for (let i = 0; i < grid.length; i++) if (known(i)) i && known(i - 1) ? found.at(-1).push(i) : found.push([i]);
    return found;
  };
  let cursor = null;
  const paint = (width) => {
    right = width - 14;
    const svg = draw("svg", { width, height: high, "aria-hidden": true });
    svg.append(draw("text", { x: 2, y: 10 }, "the model's score"));
    const decimals = Math.min(Math.max(0, -Math.floor(Math.log10(tick) + 1e-9)), 6);
    for (let k = 0; lowest + k * tick <= highest + tick / 2; k++) {
      const value = lowest + k * tick;
      svg.append(draw("line", { x1: left, x2: right, y1: y(value), y2: y(value), class: "grid" }));
      const told = Math.abs(value) >= 1e4 || tick < 1e-4 ? value.toExponential(1) : value.toFixed(decimals);
      svg.append(draw("text", { x: left - 6, y: y(value), class: "end" }, told.replace("-", "\u2212").replace(/^\u2212(0\.?0*)$/, "$1")));
    }
    const marks = shares ? [0, 0.25, 0.5, 0.75, 1].map((share) => share * last) : grid.filter((_, k) => k % Math.ceil(grid.length / 8) === 0);
    for (const mark of marks) {
      const told = shares ? Number((100 * mark).toFixed(1)) + " %" : String(mark);
      svg.append(draw("text", { x: x(mark), y: bottom + 14, class: mark === marks.at(-1) && shares ? "end" : "middle" }, told));
    }
    svg.append(draw("text", { x: (left + right) / 2, y: bottom + 32, class: "middle" }, shares ? "share of the elements " + done : "point, as the metric orders them"));
    for (const [k, row] of rows.entries()) {
      const group = draw("g", { class: kind(k), "data-row": k });
      for (const run of stretches((i) => row.mean[i] !== null && row.error[i] !== null)) {
        const up = run.map((i) => pair(i, row.mean[i] + row.error[i]));
        const down = run.map((i) => pair(i, row.mean[i] - row.error[i])).reverse();
        group.append(draw("path", { d: "M" + [...up, ...down].join("L") + "Z", class: "band" }));
      }
      for (const run of stretches((i) => row.mean[i] !== null)) {
        group.append(draw("path", { d: "M" + run.map((i) => pair(i, row.mean[i])).join("L"), class: "line" }));
        if (grid.length <= 20) for (const i of run) group.append(draw("circle", { cx: x(grid[i]), cy: y(row.mean[i]), r: 3 }));
      }
      svg.append(group);
    }
    cursor = draw("g", { class: "cursor" });
    svg.append(cursor);
    field.replaceChildren(svg);
    highlight();
    point();
  };

  // Which method is seen
  const highlight = () => {
    for (const node of root.querySelectorAll("[data-row]")) {
      node.classList.toggle("aside", chosen !== null && +node.dataset.row !== chosen);
      node.classList.toggle("front", +node.dataset.row === chosen);
    }
  };

  // What the curves are at the slider
  const attributes = { role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-valuemax": grid.length - 1 };
  for (const [name, value] of Object.entries(attributes)) field.setAttribute(name, value);
  field.setAttribute("aria-label", shares ? "share of the elements " + done : "point of the curves");
  const facts = make("p", "facts");
  const point = () => {
    const told = rows.map((row) => `${row.name} ${withError(row.mean[at], row.error[at], false)}`);
    field.setAttribute("aria-valuenow", at);
    field.setAttribute("aria-valuetext", place(at) + ": " + told.join("; "));
    facts.replaceChildren(make("span", "name", "At " + place(at)));
    for (const [k, row] of rows.entries()) {
      const node = make("span", "fact");
      node.dataset.row = k;
      const name = make("small");
      name.append(make("bdi", "", row.name));
      node.append(swatch(k), make("b", "", withError(row.mean[at], row.error[at], false)), name);
      facts.append(node);
    }
    if (cursor) {
      cursor.replaceChildren(draw("line", { x1: x(grid[at]), x2: x(grid[at]), y1: top, y2: bottom }));
      for (const [k, row] of rows.entries()) {
        if (row.mean[at] === null) continue;
        cursor.append(draw("circle", { cx: x(grid[at]), cy: y(row.mean[at]), r: 4, class: kind(k), "data-row": k }));
      }
    }
    highlight();
  };
  const move = (k) => {
    at = Math.min(Math.max(k, 0), grid.length - 1);
    point();
  };
  field.addEventListener("keydown", (event) => {
    const by = step(event);
    if (by === undefined) return;
    move(at + (event.key === "ArrowUp" || event.key === "ArrowDown" ? -by : by)); // of a slider, up is more
    event.preventDefault();
  });
  const follow = (event) => {
    const own = event.clientX - field.getBoundingClientRect().left;
    const far = grid.map((value) => Math.abs(x(value) - own));
    move(far.indexOf(Math.min(...far)));
  };
  field.addEventListener("pointermove", follow);
  field.addEventListener("pointerdown", follow);

  if (rows.length > 1) {
    const items = [["all", ""], ...rows.map((row) => [row.name, format(row.score, false)])];
    const methods = choices("method to bring out", items, (k) => {
      chosen = k ? k - 1 : null;
      highlight();
    });
    for (const [k, button] of [...methods.children].slice(1).entries()) button.prepend(swatch(k));
    root.append(methods);
  }
  root.append(field, facts);

  // The figures: all numbers of the picture as a table.
  const table = make("table");
  table.append(make("caption", "", "Figures" + (figure.n_texts > 1 ? " \u00b1 standard error over texts" : " of one text, whose standard error is not known")));
  const cell = (tag, scope, words) => {
    const node = make(tag, "", words);
    if (scope) node.scope = scope;
    return node;
  };
  const head = make("tr");
  head.append(...["method", figure.metric, "random order", "gain over random"].map((name) => cell("th", "col", name)));
  const thead = make("thead"), tbody = make("tbody");
  thead.append(head);
  for (const [k, row] of rows.entries()) {
    const line = make("tr");
    line.dataset.row = k;
    const name = cell("th", "row", null);
    name.append(swatch(k), make("bdi", "", row.name));
    line.append(name, ...[withError(row.score, row.score_error, false), format(row.random, false), withError(row.gain, row.gain_error, true)].map((words) => cell("td", "", words)));
    tbody.append(line);
  }
  table.append(thead, tbody);
  const scroll = make("div", "scroll");
  scroll.tabIndex = 0; // so that keys can scroll it
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Figures");
  scroll.append(table);
  root.append(scroll);
  const about = [
    "Point at the curves, or move along them with the arrow keys, to read them. Lines are means over texts and targets" + (figure.n_texts > 1 ? ", bands one standard error over texts to each side" : "") + (figure.reading ? "; " + figure.reading + "." : "."),
    "Random order is a number only, since an evaluation does not keep its curves; a gain above 0 is better than random.",
  ];
  if (!shares) about.push("Which share of the elements each point stands for is not kept by an evaluation.");
  root.append(make("p", "hint", about.join(" ")));

  let drawn = 0;
  new ResizeObserver(() => {
    const width = Math.floor(field.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    paint(width);
  }).observe(field);
  point();
  return root;
};
