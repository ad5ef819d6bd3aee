// Words, concepts, decision: three columns, and a band for each way from one to the next.
views.flow = (figure, ordinal) => {
  const root = make("section", "figure flow");
  const { words, weights, through } = figure;
  const [concepts, targets] = [figure.concepts, figure.targets].map((names) => names.map((name) => brief(name, 300)));
  root.append(heading(ordinal, "Words, concepts, decision", [...new Set(figure.method)].join(", then ")));
  const row = 24, top = 34;
  // Places across, which leave letters at their size: the words, the boxes of concepts, and where the decision begins
  let width = 720, narrow = false, box = [250, 470], side = [150, 590];
  const fit = (given) => {
    width = given;
    narrow = width < 540;
    side = narrow ? [76, width - 4] : [150, width - 130];
    box = narrow ? [122, width - 56] : [0.5 * (side[0] + side[1]) - 0.18 * width, 0.5 * (side[0] + side[1]) + 0.18 * width];
  };
  const height = top + Math.max(words.length * row, concepts.length * 2 * row, 3 * row) + 8;
  const place = (k, n) => top + ((height - top) * (k + 0.5)) / n;

  const draw = (tag, attributes, text = null) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== null) node.textContent = text;
    return node;
  };
  const svg = draw("svg", { role: "group", "aria-label": "words, concepts and decision" });
  const facts = make("p", "facts");
  facts.setAttribute("aria-live", "polite");
  let shown = 0, chosen = null, bands = [];

  // A band as wide as its share of the strongest concept; blue and dashed where it speaks against the decision.
  const band = (from, to, value, most, concept, title) => {
    if (!value) return;
    const bend = (from[0] + to[0]) / 2;
    const path = draw("path", {
      d: `M${from} C${bend},${from[1]} ${bend},${to[1]} ${to}`,
      class: value < 0 ? "minus" : "plus",
      "stroke-width": Math.max(0.5, (16 * Math.abs(value)) / most).toFixed(2),
    });
    path.append(draw("title", {}, title));
    svg.append(path);
    bands.push([path, concept]);
  };

  const choose = (concept) => {
    chosen = concept;
    for (const [path, of] of bands) path.classList.toggle("aside", chosen !== null && of !== chosen);
    for (const [k, node] of nodes.entries()) node.setAttribute("aria-checked", k === chosen);
    facts.textContent = "";
    if (chosen === null) return;
    const name = make("span", "name");
    name.append(make("bdi", "", concepts[chosen]));
    facts.append(name, fact("for " + targets[shown], weights[shown][chosen], "", true));
    const order = words.map((_, k) => k).sort((a, b) => Math.abs(through[shown][chosen][b]) - Math.abs(through[shown][chosen][a]));
    for (const k of order.slice(0, 4)) if (through[shown][chosen][k]) facts.append(fact(words[k], through[shown][chosen][k], "", true));
  };

  let nodes = [];
  const paint = () => {
    const kept = chosen;
    const focused = nodes.indexOf(document.activeElement);
    svg.textContent = "";
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    bands = [];
    const most = Math.max(...weights[shown].map(Math.abs)) || 1;
    for (const [c, name] of concepts.entries()) {
      const middle = place(c, concepts.length);
      for (const [g, word] of words.entries()) {
        const value = through[shown][c][g];
        const title = `${word} → ${name} → ${targets[shown]}: ${format(value)}`;
        band([side[0] + 6, place(g, words.length)], [box[0], middle], value, most, c, title);
      }
      band([box[1], middle], [side[1] - 6, height / 2 + top / 2], weights[shown][c], most, c, `${name} → ${targets[shown]}: ${format(weights[shown][c])}`);
    }
    for (const [k, name] of [[0, "words"], [1, "concepts"], [2, "decision"]]) {
      svg.append(draw("text", { x: [side[0], (box[0] + box[1]) / 2, side[1]][k], y: 14, class: "column " + ["end", "middle", narrow ? "end" : ""][k] }, name));
    }
    for (const [g, word] of words.entries()) svg.append(draw("text", { x: side[0], y: place(g, words.length), class: "end" }, brief(word, narrow ? 9 : 20)));
    const group = draw("g", { role: "radiogroup", "aria-label": "concepts" });
    svg.append(group);
    nodes = concepts.map((name, c) => {
      const node = draw("g", { role: "radio", "aria-label": `${name}: ${format(weights[shown][c])}`, "aria-checked": false });
      const y = place(c, concepts.length);
      node.append(
        draw("rect", { x: box[0], y: y - 19, width: box[1] - box[0], height: 38, rx: 6 }),
        draw("text", { x: (box[0] + box[1]) / 2, y: y - 7, class: "middle" }, brief(name, Math.floor((box[1] - box[0]) / 8))),
        draw("text", { x: (box[0] + box[1]) / 2, y: y + 9, class: "middle number" }, format(weights[shown][c])),
        draw("title", {}, name),
      );
      group.append(node);
      return node;
    });
    const end = narrow ? { x: side[1], y: 32, class: "end" } : { x: side[1], y: height / 2 + top / 2 };
    svg.append(draw("text", end, brief(targets[shown], narrow ? 12 : 18)));
    rove(group, nodes, choose, kept ?? 0);
    choose(kept);
    if (focused >= 0) nodes[focused].focus();
  };
  if (targets.length > 1) {
    root.append(choices("decision", targets.map((name) => [name, ""]), (t) => {
      shown = t;
      chosen = null;
      paint();
    }));
  }
  paint();
  new ResizeObserver(() => {
    const given = Math.floor(root.clientWidth);
    if (!given || given === width) return;
    fit(given);
    paint();
  }).observe(root);
  root.append(svg, facts);
  const legend = make("p", "hint", "Orange bands speak for the decision, dashed blue ones against it, wide ones more than thin ones; pick a concept to see its words.");
  if (figure.left_out) legend.append(` ${figure.left_out} words that matter less are left out.`);
  root.append(legend);
  return root;
};
