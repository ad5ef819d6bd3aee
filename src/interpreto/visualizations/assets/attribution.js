// A text coloured by its scores for one target, which is picked by a button or, in an output, in the text itself; the
// same scores side by side, as bars and as a matrix.

const SOON = 800; // pieces of a text that are there for the first paint, and for each answer to a click

// Rows of numbers, read when they are looked at: three bytes a number, the upper ones of a float32.
function unpack(packed, count) {
  const bytes = atob(packed);
  const bits = new Uint32Array(count).fill(0x7fc00000); // no number
  for (let k = 0, at = 0; at < bytes.length; k++, at += 3) {
    bits[k] = (bytes.charCodeAt(at) << 24) | (bytes.charCodeAt(at + 1) << 16) | (bytes.charCodeAt(at + 2) << 8);
  }
  return new Float32Array(bits.buffer);
}

function largestOf(row) {
  let most = 0;
  for (const value of row) if (Math.abs(value) > most && Number.isFinite(value)) most = Math.abs(value);
  return most;
}

// The elements of the highest absolute scores, the strongest first.
function strongestIn(row, count) {
  const sizes = Float32Array.from(row, (value) => Math.abs(value) || 0).sort();
  const least = sizes[Math.max(sizes.length - count, 0)];
  const found = [];
  for (const [g, value] of row.entries()) if (value && Math.fround(Math.abs(value)) >= least) found.push(g);
  return found.sort((a, b) => Math.abs(row[b]) - Math.abs(row[a]) || a - b).slice(0, count);
}

// The ground of a piece or cell, by classes of the style: the theme's colours, and cheap for thousands of them.
function colour(node, level) {
  const step = Number.isFinite(level) ? Math.round(25 * Math.max(-1, Math.min(level, 1))) : 0;
  const name = step ? (step > 0 ? "up" : "lo") + Math.abs(step) : "";
  if (node.ground === name) return;
  if (node.ground) node.classList.remove(node.ground);
  if (name) node.classList.add(name);
  node.ground = name;
}

// Puts nodes into a text, whose direction is found out once, not again for each of thousands of nodes.
function fill(body, nodes) {
  const fragment = document.createDocumentFragment();
  for (const node of nodes) fragment.append(node);
  body.removeAttribute("dir");
  body.append(fragment);
  body.dir = "auto";
}

// A piece of a text.
function pieceOf([text, element, tag]) {
  const node = make("span", tag ? "tag" : "", text);
  if (!tag && !text.trim() && text.includes("\n")) node.classList.add("break");
  if (element >= 0) node.dataset.element = element;
  return node;
}

// Words are read as text; the one that has the focus is an image of its number, too.
function tellOnFocus(body, told) {
  body.addEventListener("focusin", ({ target }) => {
    if (target.dataset.element === undefined) return;
    target.setAttribute("role", "img"); // a role that may carry a label
    target.setAttribute("aria-label", told(+target.dataset.element).join(": "));
  });
  body.addEventListener("focusout", ({ target }) => {
    if (target.dataset.element === undefined) return;
    target.removeAttribute("role");
    target.removeAttribute("aria-label");
  });
}

function afterPaint(work) {
  requestAnimationFrame(() => setTimeout(work));
}

// One row of a picture: a target, or a sum of several that follow each other.
function unitOf(figure, rows, name, first, end) {
  const own = figure.targets.slice(first, end);
  const total = (key) => own.reduce((sum, target) => (sum === null || target[key] === null ? null : sum + target[key]), 0);
  const place = own[0].place && [own[0].place[0], own[0].place[1], own[own.length - 1].place[2]];
  let sum = null;
  return {
    name, first, end, place,
    last: own[own.length - 1].place,
    score: total("score"), baseline: total("baseline"), sum: total("sum"), gap: total("gap"),
    errors: () => (rows.errors && end - first === 1 ? rows.errors(first) : null), // those of a sum are not known
    scores: () => {
      if (end - first === 1) return rows.scores(first);
      if (sum) return sum;
      sum = new Float64Array(figure.count).fill(NaN);
      for (let t = first; t < end; t++) {
        for (const [g, value] of rows.scores(t).entries()) {
          if (!Number.isNaN(value)) sum[g] = Number.isNaN(sum[g]) ? value : sum[g] + value;
        }
      }
      return sum;
    },
  };
}

views.attribution = (figure, ordinal) => {
  const root = make("section", "figure attribution");
  const { targets } = figure;
  const modes = { logits: "logits", softmax: "probabilities", log_softmax: "log-probabilities" };
  root.append(heading(ordinal, figure.method, figure.task + ", " + (modes[figure.mode] || figure.mode)));

  const read = (packed) => {
    const known = [];
    return (t) => (known[t] = known[t] || unpack(packed[t], figure.count));
  };
  const rows = { scores: read(figure.scores), errors: figure.errors && read(figure.errors) };
  const levels = [
    { label: figure.unit, units: targets.map((target, t) => unitOf(figure, rows, target.name, t, t + 1)) },
    ...figure.levels.map(({ label, sums }) => ({ label, units: sums.map((sum) => unitOf(figure, rows, ...sum)) })),
  ];

  // Texts: what each element says and where it begins, and the nodes of each part.
  const elements = Array.from({ length: figure.count }, () => ({ text: "", part: 0, piece: -1 }));
  const parts = [];
  const texts = make("div", "texts");
  let pieces = 0; // through all parts, so that later and earlier can be told
  for (const [p, part] of figure.parts.entries()) {
    const label = make("h3", "", part.label);
    label.id = "part" + (ordinal || 0) + "-" + p;
    const box = make("div", part.output ? "written" : "");
    box.append(label);
    texts.append(box);
    for (const [k, [text, g]] of part.pieces.entries()) {
      if (g < 0) continue;
      if (elements[g].piece < 0) Object.assign(elements[g], { part: p, piece: k });
      if (elements[g].text.length < 300) elements[g].text += text;
    }
    parts.push({ ...part, start: pieces, nodes: [], label, box, body: null, rest: () => {} });
    pieces += part.pieces.length;
  }

  // State: which granularity, which of its units, which view.
  let level = levels[0];
  let chosen = -1;
  let picks = []; // of an output: the node of each unit
  let go = () => {}; // moves the choice, not the focus
  const of = (k) => level.units[k];
  const piecesOf = (unit) => (unit.place ? parts[unit.place[0]].nodes.slice(unit.place[1], unit.place[2]) : []);
  const nameOf = (unit, length = 60) => {
    const [letters] = unit.place ? parts[unit.place[0]].pieces[unit.place[1]] || [""] : [""];
    return brief(unit.name || letters || "target " + (unit.first + 1), length);
  };
  const numberOf = (unit, g) => {
    const value = unit.scores()[g];
    const error = unit.errors() ? unit.errors()[g] : 0;
    return Number.isNaN(value) ? "no score: written after the target" : format(value) + (error && Number.isFinite(error) ? " \u00b1 " + format(error, false) : "");
  };
  const words = (unit, g, length) => [brief(elements[g].text, length), numberOf(unit, g)];
  // Of an output, nothing from its last token on can matter to it, even where a longer element began before that.
  const blindFrom = (unit) => (figure.writes && unit.last ? parts[unit.last[0]].start + unit.last[1] : Infinity);

  // Controls
  const facts = make("p", "facts");
  facts.setAttribute("aria-live", "polite");
  const legend = make("div", "legend");
  const [low, high, scaled] = [make("span"), make("span"), make("label")];
  const together = make("input");
  together.type = "checkbox";
  together.checked = !figure.writes;
  scaled.append(together, " one scale for all targets");
  legend.append(low, make("span", "scale"), high);
  if (targets.length > 1) legend.append(scaled);
  const strongest = make("p", "strongest");
  const largest = () => (level.largest = level.largest || level.units.reduce((most, unit) => Math.max(most, largestOf(unit.scores())), 0));

  const shared = {
    figure, elements, nameOf, words, numberOf, modes,
    parts: figure.parts,
    units: () => level.units,
    direction: () => getComputedStyle(parts[0].body).direction,
    scaleOf: (unit) => (together.checked ? largest() : largestOf(unit.scores())) || 1,
    choose: (k) => go(k),
    ordinal: ordinal || 0,
  };

  function paintPieces(part, first, end) {
    const unit = of(chosen);
    const row = unit.scores(), most = shared.scaleOf(unit), from = blindFrom(unit) - part.start;
    for (let k = first; k < Math.min(end, part.nodes.length); k++) {
      const g = part.pieces[k][1];
      if (g >= 0) colour(part.nodes[k], k < from ? row[g] / most : 0);
    }
  }

  // What is in view first, the rest of a long text in slices, so that no click has to wait for it.
  let painting = 0;
  function paint() {
    const own = ++painting;
    const slices = [];
    for (const part of parts) {
      const size = part.nodes.length;
      const view = root.isConnected && size > SOON ? inView(part) : 0;
      const first = Math.max(view - SOON / 8, 0);
      const end = root.isConnected && size > SOON ? first + SOON / 2 : size;
      paintPieces(part, first, end);
      for (let k = 0; k < size; k += SOON) if (k < first || Math.min(k + SOON, size) > end) slices.push([part, k]);
    }
    const go = () => {
      if (own !== painting || !slices.length) return;
      const [part, k] = slices.shift();
      paintPieces(part, k, k + SOON);
      setTimeout(go);
    };
    if (slices.length) afterPaint(go);
  }

  // The first piece in view.
  function inView(part) {
    const top = Math.max(part.body.getBoundingClientRect().top, 0);
    let [low, high] = [0, part.body.childNodes.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (part.body.childNodes[middle].getBoundingClientRect().bottom < top) low = middle + 1;
      else high = middle;
    }
    const node = part.body.childNodes[low];
    return Math.max(part.nodes.indexOf(node && node.classList.contains("pick") ? node.firstChild : node), 0);
  }

  function scale() {
    const all = view.startsWith("All") || (view === "Matrix" && together.checked);
    const end = all ? largest() || 1 : chosen >= 0 ? shared.scaleOf(of(chosen)) : 1;
    low.textContent = view === "Matrix" && !all ? "\u2212 largest of the row" : format(-end);
    high.textContent = view === "Matrix" && !all ? "+ largest" : format(end);
    scaled.hidden = view.startsWith("All");
  }

  function tell() {
    const unit = of(chosen);
    facts.replaceChildren(make("bdi", "name", nameOf(unit)));
    if (unit.end - unit.first > 1) facts.append(make("small", "", `sum of the explanations of ${unit.end - unit.first} ${figure.unit}s`));
    if (unit.score !== null) facts.append(fact("score", unit.score));
    if (unit.baseline !== null && unit.gap !== null) {
      facts.append(fact("baseline", unit.baseline, "="), fact("sum of elements", unit.sum, "+"), fact("gap", unit.gap, "+"));
    } else {
      facts.append(fact("sum of elements", unit.sum));
    }
    if (figure.errors && unit.end - unit.first > 1) facts.append(make("small", "", "standard errors of sums are not known"));
    strongest.replaceChildren(make("span", "", "Strongest"));
    const row = unit.scores();
    for (const g of strongestIn(row, 6)) {
      const link = make("button", row[g] > 0 ? "plus" : "minus");
      link.type = "button";
      link.dataset.show = g;
      link.append(make("bdi", "", brief(elements[g].text, 24)), " " + format(row[g]));
      strongest.append(link);
    }
  }

  function choose(k) {
    if (k === chosen) return;
    const before = chosen;
    chosen = k;
    if (figure.writes) {
      if (picks[before]) picks[before].setAttribute("aria-checked", "false");
      if (picks[k]) picks[k].setAttribute("aria-checked", "true");
      for (let j = Math.min(before, k) + 1; j < picks.length && (before < 0 || j <= Math.max(before, k)); j++) {
        if (picks[j]) picks[j].classList.toggle("later", j > k);
      }
    } else {
      if (before >= 0) for (const node of piecesOf(of(before))) node.classList.remove("here");
      for (const node of piecesOf(of(k))) node.classList.add("here");
    }
    tell();
    update();
    tip.hidden = true;
  }

  function bodyOf(part, role) {
    const body = make("div", "text");
    body.lang = "";
    body.setAttribute("role", role);
    body.setAttribute("aria-labelledby", part.label.id);
    if (part.body) part.body.replaceWith(body);
    else part.box.append(body);
    part.body = body;
    return body;
  }

  const drawPieces = (part, from) => {
    for (const piece of part.pieces.slice(from, from ? Infinity : SOON)) {
      const node = pieceOf(piece);
      if (piece[1] < 0) node.classList.add("fixed");
      part.nodes.push(node);
    }
    fill(part.body, part.nodes.slice(from));
  };
  for (const part of parts) {
    if (part.output) {
      part.nodes = part.pieces.map(pieceOf);
      continue;
    }
    const body = bodyOf(part, "group");
    drawPieces(part, 0);
    tellOnFocus(body, (g) => words(of(chosen), g, 60));
    part.rest = () => {
      part.rest = () => {};
      if (part.nodes.length < part.pieces.length) {
        drawPieces(part, SOON);
        if (chosen >= 0) paintPieces(part, SOON, Infinity);
        if (chosen >= 0 && !figure.writes) for (const node of piecesOf(of(chosen))) node.classList.add("here");
      }
      rove(body, part.nodes.filter((node) => node.dataset.element !== undefined), () => {});
    };
    if (part.pieces.length > SOON) afterPaint(() => part.rest());
    else part.rest();
  }

  // An output's text: a node around what each unit wrote.
  function drawOutput(part, p) {
    const body = bodyOf(part, "radiogroup");
    const owner = new Map(); // piece -> unit
    for (const [u, { place }] of level.units.entries()) {
      if (place && place[0] === p) for (let k = place[1]; k < place[2]; k++) owner.set(k, u);
    }
    const children = [];
    for (const [k, node] of part.nodes.entries()) {
      const u = owner.get(k);
      node.classList.toggle("fixed", u === undefined && part.pieces[k][1] < 0);
      if (u === undefined) {
        children.push(node);
        continue;
      }
      if (!picks[u]) {
        picks[u] = make("span", "pick");
        picks[u].setAttribute("role", "radio");
        picks[u].setAttribute("aria-checked", "false");
        children.push(picks[u]);
      }
      picks[u].append(node);
    }
    for (const [u, pick] of picks.entries()) if (pick && !pick.textContent.trim()) pick.setAttribute("aria-label", nameOf(of(u)));
    fill(body, children.slice(0, SOON));
    part.rest = () => {
      part.rest = () => {};
      fill(body, children.slice(SOON));
    };
    if (children.length > SOON) afterPaint(() => part.rest());
    const at = new Map(picks.map((node, k) => [node, k]));
    const walk = children.filter((node) => at.has(node));
    const move = rove(body, walk, (k) => choose(at.get(walk[k])), Math.max(walk.indexOf(picks[startOf(level)]), 0));
    go = (k) => (picks[k] ? move(walk.indexOf(picks[k]), false) : choose(k));
  }

  // The unit that holds the target that was chosen before the granularity changed.
  let first = figure.chosen;
  const startOf = ({ units }) => Math.max(units.findIndex((unit) => unit.end > first), 0);
  function group() {
    if (chosen >= 0) first = of(chosen).first;
    level = levels[grain];
    picks = [];
    chosen = -1;
    for (const [p, part] of parts.entries()) {
      if (!part.output) continue;
      part.rest();
      drawOutput(part, p);
    }
    stale = true;
    choose(startOf(level));
  }

  // Views
  let view = "Text";
  let grain = 0;
  let stale = true; // whether the matrix shows another granularity or scale
  const sides = make("div", "sides"), bars = make("div", "bars"), matrix = make("div", "heat");
  let matrixShown = null;
  function update() {
    const all = view.startsWith("All");
    sides.hidden = !all;
    bars.hidden = view !== "Bars";
    matrix.hidden = view !== "Matrix";
    texts.hidden = all || view === "Matrix" || (view === "Bars" && !figure.writes);
    for (const part of parts) part.box.hidden = view === "Bars" && !part.output;
    strongest.hidden = view !== "Text";
    legend.hidden = view === "Bars";
    facts.hidden = all;
    if (picker) picker.hidden = all;
    scale();
    if (view === "Text" || (view === "Bars" && figure.writes)) paint();
    if (all && !sides.firstChild) drawSides(sides, shared, largest() || 1);
    if (view === "Bars") drawBars(bars, shared, of(chosen));
    if (view === "Matrix") {
      if (stale) matrixShown = drawMatrix(matrix, shared);
      stale = false;
      matrixShown(chosen);
    }
  }

  const shown = ["Text"];
  if (!figure.writes && targets.length > 1) shown.push(figure.task === "classification" ? "All classes" : "All targets");
  if (targets.length && figure.count) shown.push("Bars", "Matrix");
  const switches = make("div", "switches");
  if (shown.length > 1) {
    const names = choices("View", shown.map((name) => [name, ""]), (k) => {
      view = shown[k];
      tip.hidden = true;
      update();
    });
    names.classList.add("segments");
    switches.append(names);
  }
  let picker = null;
  if (!figure.writes) {
    const items = level.units.map((unit) => [nameOf(unit), unit.score === null ? "" : format(unit.score, false)]);
    picker = choices("Targets", items, choose, figure.chosen);
    go = (k) => picker.dispatchEvent(new CustomEvent("interpreto:take", { detail: picker.children[k] }));
    root.append(switches, picker);
  } else {
    if (levels.length > 1) {
      const grains = choices("What is picked", levels.map(({ label: name }) => [name, ""]), (k) => {
        grain = k;
        group();
      });
      grains.classList.add("segments");
      switches.append(grains);
    }
    root.append(switches, make("p", "hint", "Pick a part of the output: what came before it is coloured by its influence on it."));
  }
  root.append(facts, texts, sides, bars, matrix, legend, strongest);
  if (figure.settings.length) root.append(settingsOf(figure.settings));

  together.addEventListener("change", () => {
    stale = true;
    update();
  });
  strongest.addEventListener("click", (event) => {
    const link = event.target.closest("[data-show]");
    if (!link) return;
    for (const part of parts) part.rest();
    const { part, piece } = elements[+link.dataset.show];
    const node = parts[part].nodes[piece];
    node.scrollIntoView({ block: "nearest" });
    showTip(node, words(of(chosen), +link.dataset.show, 80));
  });
  describe(texts, "[data-element]", (node) => {
    const part = parts.find(({ nodes }) => nodes.includes(node));
    if (chosen < 0 || part.start + part.nodes.indexOf(node) >= blindFrom(of(chosen))) return null;
    return words(of(chosen), +node.dataset.element, 80);
  });
  if (!targets.length) {
    for (const view of [sides, bars, matrix]) view.hidden = true;
  } else if (figure.writes) {
    group();
  } else {
    choose(figure.chosen);
  }
  return root;
};
