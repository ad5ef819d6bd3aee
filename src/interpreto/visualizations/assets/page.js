"use strict";
// The ground of every view. Data becomes text only: createElement and textContent, never markup.

const views = {}; // name -> function (figure, number of figures) -> element

function make(tag, className = "", text = null) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== null) node.textContent = text;
  return node;
}

// Three digits that count, a true minus sign.
function format(value, signed = true) {
  if (value === null) return "n/a";
  const size = Math.abs(value);
  const digits = size === 0 ? "0" : size >= 1000 || size < 0.001 ? size.toExponential(2).replace("-", "\u2212") : String(Number(size.toPrecision(3)));
  return (value < 0 ? "\u2212" : signed && value > 0 ? "+" : "") + digits;
}

// A text for use within a line, without the marks that would turn what stands beside it.
function brief(text, length = 60) {
  const letters = Array.from(text.slice(0, 4 * length).replace(/\n/g, "\u21b5").replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd"));
  const line = letters.length > length ? letters.slice(0, length).join("") + "\u2026" : letters.join("");
  return line.trim() || "\u201c" + line + "\u201d";
}

// Moves with the arrow keys, in the reading direction of the node that has the focus.
function step(event) {
  const rightToLeft = getComputedStyle(event.target).direction === "rtl";
  const steps = { ArrowLeft: rightToLeft ? 1 : -1, ArrowRight: rightToLeft ? -1 : 1, ArrowUp: -1, ArrowDown: 1 };
  return event.ctrlKey || event.altKey || event.metaKey ? undefined : { ...steps, Home: -Infinity, End: Infinity }[event.key];
}

// One tab stop for many nodes: arrow keys walk among them. `chosen(index)` is called when one gets the focus by key or click.
// What a reader picked is told to who listens for "interpreto:choose"; "interpreto:take" picks without moving the focus.
function rove(container, nodes, chosen, start = 0) {
  const index = new Map(nodes.map((node, k) => [node, k]));
  let current = start;
  const own = (target) => {
    for (let node = target; node && node !== container; node = node.parentElement) if (index.has(node)) return index.get(node);
    return -1;
  };
  const go = (k, focus) => {
    nodes[current].tabIndex = -1;
    current = k;
    nodes[k].tabIndex = 0;
    if (focus) nodes[k].focus();
    chosen(k);
  };
  for (const node of nodes) node.tabIndex = -1;
  if (nodes.length) nodes[start].tabIndex = 0;
  const pick = (k) => {
    go(k, true);
    container.dispatchEvent(new CustomEvent("interpreto:choose", { bubbles: true, detail: nodes[k] }));
  };
  container.addEventListener("click", (event) => {
    const k = own(event.target);
    if (k >= 0) pick(k);
  });
  container.addEventListener("keydown", (event) => {
    const k = own(event.target);
    const by = step(event);
    if (k < 0) return;
    if (by === undefined) {
      if (event.key !== " " && event.key !== "Enter") return;
      pick(k);
    } else {
      pick(Math.min(Math.max(k + by, 0), nodes.length - 1));
    }
    event.preventDefault();
  });
  container.addEventListener("interpreto:take", (event) => {
    if (index.has(event.detail)) go(index.get(event.detail), false);
  });
  return go;
}

// The title of a figure, numbered where there are several; an ordinal that is a word only tells figures apart.
function heading(ordinal, name, kind) {
  const title = make("h2", "", typeof ordinal === "number" ? ordinal + ". " : "");
  title.append(make("bdi", "", name));
  if (kind) title.append(make("span", "kind", kind));
  return title;
}

// A row of buttons, [name, note] each, of which one is picked.
function choices(label, items, chosen, start = 0) {
  const group = make("div", "targets");
  group.setAttribute("role", "radiogroup");
  group.setAttribute("aria-label", label);
  const buttons = items.map(([name, note], k) => {
    const button = make("button");
    button.type = "button";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", k === start);
    button.append(make("bdi", "", name));
    if (note) button.append(make("small", "", note));
    return button;
  });
  group.append(...buttons);
  rove(group, buttons, (picked) => {
    for (const [k, button] of buttons.entries()) button.setAttribute("aria-checked", k === picked);
    chosen(picked);
  }, start);
  return group;
}

// A number with its name, and a sign of arithmetic before it.
function fact(label, value, sign, signed = false) {
  const node = make("span", "fact");
  if (sign) node.append(make("span", "sign", sign));
  node.append(make("b", "", format(value, signed)), make("small", "", label));
  return node;
}

// A bar as long as a sum of absolute values; the solid part is what their signs leave, orange above 0, blue below.
function meter(absolute, net, most) {
  const bar = make("span", "meter");
  const long = make("span", net < 0 ? "minus" : "plus");
  const solid = make("span");
  const percent = (value, of) => (of ? Math.min(100, (100 * Math.abs(value)) / of) : 0).toFixed(1) + "%";
  long.style.width = percent(absolute, most);
  solid.style.width = percent(net, absolute);
  long.append(solid);
  bar.append(long);
  return bar;
}

// What to call a concept: its label, or its strongest examples, or its number.
function conceptName(concept) {
  if (concept.label !== null) return brief(concept.label, 300);
  return concept.words.join(" \u00b7 ") || "concept " + concept.number + (concept.read ? " (never active)" : "");
}

// The largest activation in examples, which has the full colour.
function strongestOf(examples) {
  const within = (most, [, value]) => Math.max(most, Math.abs(value || 0));
  return examples.reduce((most, [activation, pieces]) => pieces.reduce(within, Math.max(most, Math.abs(activation || 0))), 0) || 1;
}

// Examples of a concept: the number of each, and its text with the places where the concept is active.
function exampleList(examples, most) {
  const list = make("ul", "examples");
  for (const [activation, pieces] of examples) {
    const item = make("li");
    const text = make("span", "text");
    text.dir = "auto";
    text.lang = "";
    for (const [letters, value, own] of pieces) {
      const node = make(own ? "mark" : "span", "", own && !letters.trim() ? brief(letters) : letters);
      const level = pieces.length > 1 && value !== null ? value / most : 0;
      if (level) node.style.backgroundColor = `rgb(var(--${level > 0 ? "plus" : "minus"}) / ${(0.85 * Math.min(Math.abs(level), 1)).toFixed(3)})`;
      if (value !== null) node.dataset.activation = value;
      text.append(node);
    }
    item.append(make("span", "number", format(activation, false)), text);
    list.append(item);
  }
  return list;
}

// How a result was made, folded away.
function settingsOf(pairs) {
  const details = make("details");
  const list = make("dl");
  for (const [name, value] of pairs) list.append(make("dt", "", name), make("dd", "", value));
  details.append(make("summary", "", "Settings"), list);
  return details;
}

// The one tooltip of the page: shown for whatever node `describe` has words for.
const tip = make("div", "tip");
tip.setAttribute("aria-hidden", "true"); // the same words are the nodes' labels
tip.hidden = true;

function showTip(node, lines) {
  tip.replaceChildren(...lines.map((line) => make("div", "", line)));
  tip.hidden = false;
  const box = node.getClientRects()[0] || node.getBoundingClientRect();
  const own = tip.getBoundingClientRect();
  const left = Math.min(Math.max(box.left, 4), document.documentElement.clientWidth - own.width - 4);
  const above = box.top - own.height - 6;
  tip.style.setProperty("left", Math.max(left, 4) + window.scrollX + "px");
  tip.style.setProperty("top", (above < 0 ? box.bottom + 6 : above) + window.scrollY + "px");
}

function describe(container, selector, words) {
  const show = (event) => {
    const node = event.target.closest(selector);
    const lines = node && words(node);
    if (lines) showTip(node, lines);
    else tip.hidden = true;
  };
  container.addEventListener("pointerover", show);
  container.addEventListener("focusin", show);
  container.addEventListener("pointerleave", () => (tip.hidden = true));
  container.addEventListener("focusout", () => (tip.hidden = true));
}
