// A text with its concepts: pick a row (token, word) to see its concepts, a concept to see its rows, a target to see
// what both weigh for it.
views.concepts_local = (figure, ordinal) => {
  const root = make("section", "figure local");
  const { concepts, targets, codes, weights, totals } = figure;
  root.append(heading(ordinal, "Concepts in a text", ""));

  const ofRow = figure.active.map(() => []); // entries by row, and by concept
  const ofConcept = concepts.map(() => []);
  for (const [k, row] of figure.rows.entries()) {
    ofRow[row].push(k);
    ofConcept[figure.of[k]].push(k);
  }
  let target = figure.chosen;
  let row = -1; // of the whole text
  let concept = -1; // all of them
  let weighing = targets.length > 0; // weights for the target, or activations

  // The text
  const facts = make("p", "facts");
  facts.setAttribute("aria-live", "polite");
  const texts = make("div", "texts");
  const nodes = figure.active.map(() => []);
  const letters = figure.active.map(() => "");
  for (const [p, part] of figure.parts.entries()) {
    const label = make("h3", "", part.label);
    label.id = "local" + (ordinal || 0) + "-" + p;
    const body = make("div", "text");
    body.dir = "auto";
    body.lang = "";
    body.setAttribute("role", "radiogroup");
    body.setAttribute("aria-labelledby", label.id);
    const picks = [];
    for (const [text, g, tag] of part.pieces) {
      const node = make("span", (tag ? "tag" : "") + (g < 0 ? " fixed" : ""), text);
      if (!tag && !text.trim() && text.includes("\n")) node.classList.add("break");
      if (g >= 0) {
        node.dataset.element = g;
        node.setAttribute("role", "radio");
        nodes[g].push(node);
        letters[g] += text.slice(0, 300);
        picks.push(node);
      }
      body.append(node);
    }
    rove(body, picks, (k) => pickRow(+picks[k].dataset.element));
    texts.append(label, body);
  }

  // What is shown of a row: the weights of all concepts, or the weight or the activation of one
  const entryAt = (g) => ofConcept[concept].find((k) => figure.rows[k] === g);
  function valueAt(g) {
    if (concept < 0) return weighing ? totals[target][g] : 0;
    const k = entryAt(g);
    return k === undefined ? 0 : weighing ? weights[target][k] : codes[k];
  }
  const nameOf = (c) => (c < 0 ? "All concepts" : conceptName(concepts[c]));
  const words = (g, short) => {
    const counted = figure.active[g] + (figure.active[g] === 1 ? " concept" : " concepts");
    if (concept < 0) return [brief(letters[g], short), (weighing ? format(totals[target][g]) + ", " : "") + counted];
    const k = entryAt(g);
    if (k === undefined) return [brief(letters[g], short), "not active"];
    return [brief(letters[g], short), (weighing ? "weight " + format(weights[target][k]) + ", " : "") + "activation " + format(codes[k], false)];
  };

  const low = make("span");
  const high = make("span");
  const legend = make("div", "legend");
  legend.append(low, make("span", "scale"), high);
  const shown = make("p", "shown");

  function paint() {
    const values = nodes.map((_, g) => valueAt(g));
    const end = values.reduce((most, value) => Math.max(most, Math.abs(value || 0)), 0) || 1;
    low.textContent = format(-end);
    high.textContent = format(end);
    for (const [g, own] of nodes.entries()) {
      const level = (values[g] || 0) / end;
      const label = words(g, 60).join(": ");
      for (const node of own) {
        node.style.backgroundColor = level ? `rgb(var(--${level > 0 ? "plus" : "minus"}) / ${(0.85 * Math.abs(level)).toFixed(3)})` : "";
        node.setAttribute("aria-label", label);
        node.setAttribute("aria-checked", g === row);
      }
    }
    const what = make("bdi", "", concept < 0 ? "all concepts" : brief(nameOf(concept), 80));
    shown.replaceChildren("Colours: ", weighing ? "weight" : "activation", " of ", what);
    if (weighing) shown.append(" for ", make("bdi", "", brief(targets[target][0])));
    if (!weighing && concept < 0) shown.textContent = "Pick a concept to see where it is active.";
    legend.classList.toggle("none", !weighing && concept < 0);
  }

  // The concepts of the row or of the whole text
  const title = make("h3");
  const whole = make("button", "whole", "whole text");
  whole.type = "button";
  const place = make("div", "place");

  function ranking() {
    const limit = (list) => (figure.top === null ? list : list.slice(0, figure.top));
    const by = (list, key) => limit(list.filter((one) => key(one)).sort((a, b) => key(b) - key(a)));
    if (row >= 0) {
      const entries = ofRow[row].map((k) => {
        const weight = targets.length ? weights[target][k] : 0;
        return { c: figure.of[k], absolute: Math.abs(weighing ? weight : codes[k]), net: weighing ? weight : codes[k], note: weighing ? "activation " + format(codes[k], false) : targets.length ? "weight " + format(weight) : "" };
      });
      return by(entries, (entry) => entry.absolute);
    }
    const entries = concepts.map(({ peak, net, absolute }, c) => {
      if (!weighing) return { c, absolute: Math.abs(peak), net: peak, note: "" };
      return { c, absolute: absolute[target], net: net[target], note: "activation up to " + format(peak, false) };
    });
    return by(entries, (entry) => entry.absolute);
  }

  function list() {
    const entries = ranking();
    const most = entries.length ? entries[0].absolute : 1;
    title.replaceChildren(row < 0 ? "Concepts in the whole text" : "Concepts at ");
    if (row >= 0) title.append(make("bdi", "", "\u201c" + brief(letters[row], 40) + "\u201d"), " ", whole);
    const group = make("div", "list");
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", "Concepts");
    const item = (c, bar, number, note) => {
      const button = make("button", "concept");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.dataset.concept = c;
      const name = make("span", "name");
      name.append(make("bdi", "", nameOf(c)));
      if (note) name.append(make("small", "", note));
      button.append(bar, make("span", "number", number), name);
      return button;
    };
    const total = !weighing ? "" : row < 0 ? totals[target].reduce((sum, value) => sum + (value || 0), 0) : totals[target][row];
    const buttons = [item(-1, make("span"), total === "" ? "" : format(total), "")];
    for (const { c, absolute, net, note } of entries) buttons.push(item(c, meter(absolute, net, most), format(net, weighing), note));
    group.append(...buttons);
    let at = buttons.findIndex((button) => +button.dataset.concept === concept);
    if (at < 0) at = 0; // a concept that is not active here stays picked, and its rows coloured
    const check = () => {
      for (const button of buttons) button.setAttribute("aria-checked", +button.dataset.concept === concept);
    };
    rove(group, buttons, (k) => {
      concept = +buttons[k].dataset.concept;
      check();
      paint();
    }, at);
    check();
    const left = row >= 0 ? figure.active[row] - entries.length : 0;
    place.replaceChildren(group);
    if (left > 0) place.append(make("p", "hint", `and ${left} weaker`));
    if (!entries.length) place.append(make("p", "hint", row < 0 ? "No concept is active." : "No concept is active here."));
  }

  function tell() {
    facts.replaceChildren();
    if (!targets.length) return;
    facts.append(make("bdi", "name", brief(targets[target][0])), fact("score", targets[target][1]));
    facts.append(fact("weight of all concepts", totals[target].reduce((sum, value) => sum + (value || 0), 0), "", true));
  }

  function show() {
    tell();
    list();
    paint();
    tip.hidden = true;
  }

  function pickRow(g) {
    row = g;
    list();
    paint();
  }

  function leave() {
    const node = row >= 0 && nodes[row][0];
    row = -1;
    list();
    paint();
    if (node) node.focus();
    tip.hidden = true;
  }

  whole.addEventListener("click", leave);
  texts.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && row >= 0) leave();
  });
  describe(texts, "[data-element]", (node) => words(+node.dataset.element, 80));

  if (targets.length > 1) {
    const items = targets.map(([name, score]) => [brief(name), score === null ? "" : format(score, false)]);
    root.append(choices("Targets", items, (t) => {
      target = t;
      show();
    }, target));
  }
  const modes = choices("Show", [["weight for the target"], ["activation"]], (k) => {
    weighing = k === 0;
    list();
    paint();
  });
  modes.classList.add("modes");
  const hint = make("p", "hint", "Pick a part of the text to see its concepts, or a concept to see where it is." + (targets.length ? " Orange raises the score of the target, blue lowers it; a pale bar cancels out within the text." : ""));
  if (targets.length) hint.append(modes);
  const left = make("div", "left");
  const right = make("div", "right");
  const both = make("div", "both");
  left.append(texts, legend, shown);
  right.append(title, place);
  both.append(left, right);
  root.append(facts, hint, both);
  show();
  return root;
};
