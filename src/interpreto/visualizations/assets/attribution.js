// A text coloured by its scores for one target, which is picked by a button or, in an output, in the text itself.
views.attribution = (figure, ordinal) => {
  const root = make("section", "figure");
  const { targets, scores, errors } = figure;
  const modes = { logits: "logits", softmax: "probabilities", log_softmax: "log-probabilities" };
  root.append(heading(ordinal, figure.method, figure.task + ", " + (modes[figure.mode] || figure.mode)));

  // Texts: nodes of each element, nodes of each target, and which part and place a node has.
  const elements = Array.from(scores[0] || [], () => ({ nodes: [], text: "" }));
  const written = targets.map(() => []); // the pieces of each target
  const picks = []; // of an output: the node of each target
  const texts = make("div", "texts");
  let at = 0; // pieces are numbered through all parts, so that later and earlier can be told
  for (const [p, part] of figure.parts.entries()) {
    const id = "part" + (ordinal || 0) + "-" + p;
    const label = make("h3", "", part.label);
    label.id = id;
    const body = make("div", "text");
    body.dir = "auto";
    body.lang = "";
    body.setAttribute("role", part.output ? "radiogroup" : "group");
    body.setAttribute("aria-labelledby", id);
    const places = targets.map((target, t) => [t, target.place]).filter(([, place]) => place && place[0] === p);
    const owner = new Map(); // of an output: piece -> target
    if (part.output) for (const [t, [, first, end]] of places) for (let k = first; k < end; k++) owner.set(k, t);
    const nodes = part.pieces.map(([text, element, tag], k) => {
      const node = make("span", (tag ? "tag" : "") + (element < 0 && !owner.has(k) ? " fixed" : ""), text);
      if (!tag && !text.trim() && text.includes("\n")) node.classList.add("break");
      node.dataset.at = at++;
      if (element >= 0) {
        node.dataset.element = element;
        elements[element].nodes.push(node);
        if (elements[element].text.length < 300) elements[element].text += text;
      }
      const t = owner.get(k);
      if (t === undefined) {
        body.append(node);
      } else {
        if (!picks[t]) {
          picks[t] = make("span", "pick");
          picks[t].setAttribute("role", "radio");
          if (!text.trim()) picks[t].setAttribute("aria-label", brief(targets[t].name || text));
          body.append(picks[t]);
        }
        picks[t].append(node);
      }
      return node;
    });
    for (const [t, [, first, end]] of places) written[t] = nodes.slice(first, end);
    texts.append(label, body);
    if (!part.output) {
      const focusable = nodes.filter((node) => node.dataset.element !== undefined);
      for (const node of focusable) node.setAttribute("role", "img"); // a role that may carry a label
      rove(body, focusable, () => {});
    }
  }

  // What is picked
  const facts = make("p", "facts");
  facts.setAttribute("aria-live", "polite");
  const legend = make("div", "legend");
  const [low, high] = [make("span"), make("span")];
  legend.append(low, make("span", "scale"), high);
  const together = make("input");
  together.type = "checkbox";
  together.checked = !figure.writes;
  if (targets.length > 1) {
    const label = make("label");
    label.append(together, " one scale for all targets");
    legend.append(label);
  }
  const largest = (rows) => rows.reduce((most, row) => row.reduce((m, value) => Math.max(m, Math.abs(value || 0)), most), 0);
  const everything = largest(scores);
  const strongest = make("p", "strongest");
  let chosen = -1;
  const nameOf = (t) => brief(targets[t].name || (written[t][0] ? written[t][0].textContent : "") || "target " + (t + 1));

  const words = (element, short) => {
    const value = scores[chosen][element];
    const error = errors && errors[chosen][element];
    const number = value === null ? "no score: written after the target" : format(value) + (error ? " \u00b1 " + format(error, false) : "");
    return [brief(elements[element].text, short), number];
  };

  // Of an output, nothing from the target on can matter to it, even where a longer element began before it.
  const hidden = (node) => figure.writes && written[chosen].length && +node.dataset.at >= +written[chosen][0].dataset.at;

  function paint() {
    const row = scores[chosen] || [];
    const end = (together.checked ? everything : largest([row])) || 1;
    low.textContent = format(-end);
    high.textContent = format(end);
    for (const [g, { nodes }] of elements.entries()) {
      const value = row[g];
      for (const node of nodes) {
        const level = value === null || hidden(node) ? 0 : value / end;
        node.style.backgroundColor = level ? `rgb(var(--${level > 0 ? "plus" : "minus"}) / ${(0.85 * Math.abs(level)).toFixed(3)})` : "";
        if (node.hasAttribute("role")) node.setAttribute("aria-label", words(g, 60).join(": "));
      }
    }
  }

  function tell() {
    const target = targets[chosen];
    const name = make("bdi", "name", nameOf(chosen));
    facts.replaceChildren(name);
    if (target.score !== null) facts.append(fact("score", target.score));
    if (target.baseline !== null && target.gap !== null) {
      facts.append(fact("baseline", target.baseline, "="), fact("sum of elements", target.sum, "+"), fact("gap", target.gap, "+"));
    } else {
      facts.append(fact("sum of elements", target.sum));
    }
    const order = scores[chosen].map((value, g) => [value, g]).filter(([value]) => value);
    order.sort((a, b) => Math.abs(b[0]) - Math.abs(a[0]));
    strongest.replaceChildren(make("span", "", "Strongest"));
    for (const [value, g] of order.slice(0, 6)) {
      const link = make("button", value > 0 ? "plus" : "minus");
      link.type = "button";
      link.dataset.show = g;
      link.append(make("bdi", "", brief(elements[g].text, 24)), " " + format(value));
      strongest.append(link);
    }
  }

  function choose(t) {
    if (t === chosen) return;
    if (chosen >= 0) for (const node of written[chosen]) node.classList.remove("here");
    if (chosen >= 0 && picks[chosen]) picks[chosen].setAttribute("aria-checked", "false");
    chosen = t;
    if (picks[t]) picks[t].setAttribute("aria-checked", "true");
    if (!figure.writes) for (const node of written[t]) node.classList.add("here");
    for (const [k, node] of picks.entries()) if (node) node.classList.toggle("later", k > t);
    tell();
    paint();
    tip.hidden = true;
  }

  if (!figure.writes) {
    const items = targets.map((target, t) => [nameOf(t), target.score === null ? "" : format(target.score, false)]);
    root.append(choices("Targets", items, choose, figure.chosen));
  } else {
    root.append(make("p", "hint", "Pick a part of the output: what came before it is coloured by its influence on it."));
    for (const node of picks) if (node) node.setAttribute("aria-checked", "false");
    const body = texts.querySelector("[role=radiogroup]");
    const order = [...body.querySelectorAll(".pick")];
    const target = new Map(picks.map((node, t) => [node, t]));
    rove(body, order, (k) => choose(target.get(order[k])), Math.max(order.indexOf(picks[figure.chosen]), 0));
  }
  root.append(facts, texts, legend, strongest);

  if (figure.settings.length) {
    root.append(settingsOf(figure.settings));
  }

  together.addEventListener("change", paint);
  strongest.addEventListener("click", (event) => {
    const link = event.target.closest("[data-show]");
    if (!link) return;
    const node = elements[+link.dataset.show].nodes[0];
    node.scrollIntoView({ block: "nearest" });
    showTip(node, words(+link.dataset.show, 80));
  });
  describe(texts, "[data-element]", (node) => (hidden(node) ? null : words(+node.dataset.element, 80)));
  if (targets.length) choose(figure.chosen);
  return root;
};
