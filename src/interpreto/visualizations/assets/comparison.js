// One text in the colours of several methods, each on its own scale, and how far the methods agree.
views.comparison = (figure, ordinal) => {
  const root = make("section", "figure comparison");
  const { methods, targets, agreement } = figure;
  const modes = { logits: "logits", softmax: "probabilities", log_softmax: "log-probabilities" };
  root.append(heading(ordinal, "Attributions compared", `${figure.task}, ${methods.length} methods`));
  let chosen = -1;

  // A row a method: the same pieces in each, so that lines break at the same words.
  const elements = Array.from(methods[0].scores[0] || [], () => ({ text: "", nodes: methods.map(() => []) }));
  const written = targets.map(() => []);
  const scales = [];
  const rows = make("div", "rows");
  for (const [m, method] of methods.entries()) {
    const row = make("div", "row");
    const title = make("h3");
    const id = `compared${ordinal || 0}-${m}`;
    title.id = id;
    title.append(make("bdi", "", method.name));
    scales.push(make("small"));
    title.append(scales[m]);
    const texts = make("div", "texts");
    texts.setAttribute("role", "group");
    texts.setAttribute("aria-labelledby", id);
    const focusable = [];
    for (const [p, part] of figure.parts.entries()) {
      if (figure.parts.length > 1) texts.append(make("p", "label", part.label));
      const body = make("div", "text");
      body.dir = "auto";
      body.lang = "";
      const nodes = part.pieces.map(([text, element, tag]) => {
        const node = make("span", (tag ? "tag" : "") + (element < 0 ? " fixed" : ""), text);
        if (!tag && !text.trim() && text.includes("\n")) node.classList.add("break");
        if (element >= 0) {
          node.dataset.element = element;
          node.dataset.method = m;
          node.setAttribute("role", "img"); // a role that may carry a label
          elements[element].nodes[m].push(node);
          if (m === 0 && elements[element].text.length < 300) elements[element].text += text;
          focusable.push(node);
        }
        body.append(node);
        return node;
      });
      for (const [t, { place }] of targets.entries()) {
        if (place && place[0] === p) written[t].push(...nodes.slice(place[1], place[2]));
      }
      texts.append(body);
    }
    rove(texts, focusable, () => {});
    row.append(title, texts);
    rows.append(row);
  }

  const table = make("table");
  const size = (m) => (methods[m].scores[chosen] || []).reduce((most, value) => Math.max(most, Math.abs(value || 0)), 0);
  const colour = (node, level) => {
    node.style.backgroundColor = level ? `rgb(var(--${level > 0 ? "plus" : "minus"}) / ${(0.85 * Math.abs(level)).toFixed(3)})` : "";
  };
  const words = (m, g) => {
    const value = methods[m].scores[chosen][g];
    return value === null ? "no score" : format(value);
  };

  const paintMatrix = () => {
    const head = make("tr");
    head.append(make("td"), ...methods.map((method) => {
      const cell = make("th");
      cell.scope = "col";
      cell.append(make("bdi", "", brief(method.name, 24)));
      return cell;
    }));
    const thead = make("thead"), tbody = make("tbody");
    thead.append(head);
    for (const [m, method] of methods.entries()) {
      const line = make("tr");
      const name = make("th");
      name.scope = "row";
      name.append(make("bdi", "", brief(method.name, 24)));
      line.append(name);
      for (const [k, value] of agreement[chosen][m].entries()) {
        const cell = make("td", k === m ? "own" : "", value === null ? "n/a" : format(Number(value.toFixed(2))));
        if (k !== m) colour(cell, value);
        line.append(cell);
      }
      tbody.append(line);
    }
    table.replaceChildren(thead, tbody);
  };

  const choose = (t) => {
    if (chosen >= 0) for (const node of written[chosen]) node.classList.remove("here");
    chosen = t;
    for (const node of written[t]) node.classList.add("here");
    for (const [m, method] of methods.entries()) {
      const end = size(m);
      scales[m].textContent = `full colour = ${format(end, false)} (${modes[method.mode] || method.mode})`;
      for (const [g, { nodes, text }] of elements.entries()) {
        const value = method.scores[t][g];
        for (const node of nodes[m]) {
          colour(node, value && end ? value / end : 0);
          node.classList.toggle("later", value === null);
          node.setAttribute("aria-label", `${brief(text, 60)}: ${words(m, g)}`);
        }
      }
    }
    paintMatrix();
    tip.hidden = true;
  };

  // A word that is pointed at is marked in all rows.
  let marked = [];
  const mark = (event) => {
    const node = event.target.closest("[data-element]");
    for (const old of marked) old.classList.remove("same");
    marked = node ? elements[+node.dataset.element].nodes.flat() : [];
    for (const one of marked) one.classList.add("same");
  };
  rows.addEventListener("pointerover", mark);
  rows.addEventListener("focusin", mark);
  rows.addEventListener("pointerleave", () => mark({ target: root }));
  describe(rows, "[data-element]", (node) => {
    const g = +node.dataset.element, own = +node.dataset.method;
    const order = [...methods.keys()].filter((m) => m !== own);
    return [brief(elements[g].text, 60), ...[...order, own].map((m) => `${methods[m].name}: ${words(m, g)}`)]; // the own one last, in bold
  });

  if (targets.length > 1) {
    const names = targets.map((target, t) => [brief(target.name || (written[t][0] ? written[t][0].textContent : "") || "target " + (t + 1)), ""]);
    root.append(choices("Targets", names, choose, figure.chosen));
  } else if (targets.length) {
    root.append(make("p", "hint", "for " + brief(targets[0].name || "the target")));
  }
  const scroll = make("div", "scroll");
  scroll.tabIndex = 0; // so that keys can scroll it
  scroll.setAttribute("role", "region");
  const caption = make("p", "hint", "Agreement: rank correlation of the scores, from \u22121 to 1. Every element counts alike, weak ones too.");
  caption.id = `agreement${ordinal || 0}`;
  for (const node of [scroll, table]) node.setAttribute("aria-labelledby", caption.id);
  scroll.append(table);
  const legend = make("div", "legend");
  legend.append(make("span", "", "lowers"), make("span", "scale"), make("span", "", "raises"));
  root.append(rows, legend, make("p", "hint", "Colours say what lowers and what raises the target's score. Each method has its own scale: full colour is its strongest score."), caption, scroll);
  const settings = methods.flatMap((method) => method.settings.map(([name, value]) => [`${method.name}, ${name}`, value]));
  if (settings.length) root.append(settingsOf(settings));
  if (targets.length) choose(figure.chosen);
  return root;
};
