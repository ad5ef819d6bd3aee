// What a model would say after each layer at each token: a table, coloured by a number of one's choice.
views.lens = (figure, ordinal) => {
  const root = make("section", "figure");
  const { names, layers, tokens } = figure;
  const follows = figure.itself ? "token in the text" : "next token in the text";
  root.append(heading(ordinal, figure.method, figure.itself ? "tokens of the text, layer by layer" : "next token, layer by layer"));
  const nats = (table) => table.reduce((most, row) => row.reduce((m, value) => Math.max(m, value || 0), most), 0) || 1;
  const best = figure.probabilities.map((row) => row.map((cell) => cell[0]));
  const measures = [
    ["most probable token", "probability", best, 1, "plus"],
    [follows, "probability", figure.actual_probabilities, 1, "plus"],
    ["model's own choice", "probability", figure.final_probabilities, 1, "plus"],
    ["entropy", "nats", figure.entropies, nats(figure.entropies), "minus"],
    ["distance from the model's answer", "nats", figure.divergences, nats(figure.divergences), "minus"],
  ];

  // The table, the last layer above; cells by row and column as they are shown
  const order = layers.map((_, s) => s).reverse();
  const table = make("table");
  const line = (section, name, scope) => {
    const row = section.insertRow();
    const head = make("th", "", name);
    head.scope = "row";
    row.append(head);
    return (text) => {
      const cell = make(scope ? "th" : "td");
      if (scope) cell.scope = scope;
      cell.append(make("bdi", "", text));
      cell.lang = "";
      row.append(cell);
      return cell;
    };
  };
  const layerName = (s) => (/^\d+$/.test(layers[s]) ? "layer " : "") + layers[s];
  const named = (token) => (token < 0 ? "" : names[token]);
  const actual = line(table.createTHead(), figure.itself ? "hidden" : "is next", "col");
  if (!figure.itself) for (const token of figure.actual) actual(token < 0 ? "(end)" : named(token));
  else table.tHead.remove();
  const body = table.createTBody();
  const cells = order.map((s) => {
    const add = line(body, layerName(s));
    return tokens.map((_, i) => {
      const top = figure.top[s][i][0];
      const cell = add(named(top));
      cell.dataset.layer = s;
      cell.dataset.at = i;
      cell.tabIndex = -1;
      cell.classList.toggle("hit", top === figure.actual[i]);
      return cell;
    });
  });
  const read = line(table.createTFoot(), "reads", "col");
  for (const token of tokens) read(named(token));
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", figure.method + ": layers and tokens");
  const frame = make("div", "lens");
  frame.append(table);

  // What a cell tells
  const share = (value) => (value === null ? "n/a" : (100 * value).toPrecision(3) + "\u202f%");
  const told = (what, token, ranks, values, s, i) =>
    token < 0 ? [] : [`${what}: ${brief(named(token), 24)}, ${share(values[s][i])}, rank ${ranks[s][i]}`];
  const words = (node) => {
    const [s, i] = [+node.dataset.layer, +node.dataset.at];
    return [
      `${layerName(s)}, at \u201c${brief(named(tokens[i]), 24)}\u201d`,
      ...figure.top[s][i].map((token, k) => `${brief(named(token), 24)} ${share(figure.probabilities[s][i][k])}`),
      ...told(figure.itself ? "in the text" : "next in the text", figure.actual[i], figure.actual_ranks, figure.actual_probabilities, s, i),
      ...told("model's own choice", figure.final[i], figure.final_ranks, figure.final_probabilities, s, i),
      `entropy ${format(figure.entropies[s][i], false)}, ${format(figure.divergences[s][i], false)} nats from the model's answer`,
    ];
  };

  // One tab stop for the whole table; arrow keys walk in both directions.
  let here = [0, 0];
  const go = (row, column) => {
    if (!cells.length || !cells[0].length) return;
    cells[here[0]][here[1]].tabIndex = -1;
    here = [Math.min(Math.max(row, 0), cells.length - 1), Math.min(Math.max(column, 0), cells[0].length - 1)];
    const node = cells[here[0]][here[1]];
    node.tabIndex = 0;
    return node;
  };
  go(0, 0);
  table.addEventListener("keydown", (event) => {
    const by = step(event);
    if (by === undefined || !event.target.closest("td")) return;
    const upright = event.key === "ArrowUp" || event.key === "ArrowDown";
    const node = upright ? go(here[0] + by, here[1]) : go(here[0], here[1] + by);
    node.focus();
    node.scrollIntoView({ block: "nearest", inline: "nearest" });
    event.preventDefault();
  });
  table.addEventListener("click", (event) => {
    const node = event.target.closest("td");
    if (!node) return;
    go(order.indexOf(+node.dataset.layer), +node.dataset.at).focus();
  });
  describe(table, "td", words);

  const legend = make("div", "legend");
  const [scale, high, unit] = [make("span", "scale"), make("span"), make("span")];
  legend.append(make("span", "", "0"), scale, high, unit, make("span", "named", `names the ${follows}`));
  function paint(chosen) {
    const [, kind, values, end, color] = measures[chosen];
    high.textContent = format(end, false);
    unit.textContent = kind;
    scale.className = "scale " + (color === "plus" ? "above" : "away");
    for (const row of cells)
      for (const node of row) {
        const value = values[+node.dataset.layer][+node.dataset.at];
        const level = value === null ? 0 : Math.min(1, value / end);
        node.style.backgroundColor = level ? `rgb(var(--${color}) / ${(0.85 * level).toFixed(3)})` : "";
        node.setAttribute("aria-label", words(node).join("; "));
      }
    tip.hidden = true;
  }
  root.append(make("p", "hint", `A cell is what the model would ${figure.itself ? "put in this place" : "write next"} if it ended at that layer: read from below to above. Point at a cell for its numbers; pick what colours it.`));
  root.append(choices("Colour", measures.map(([name]) => [name, ""]), paint), frame, legend);
  if (figure.settings.length) root.append(settingsOf(figure.settings));
  paint(0);
  return root;
};
