// The texts of a data set, with a search. Only the rows in view are in the page, so a list may be as long as it likes.

const aside = make("section", "g-aside");
const search = make("input");
const differing = make("input"); // a tick: only texts that the model gets wrong
const matches = make("p", "g-matches");
const box = make("div", "g-rows");
const space = make("div", "g-space");
const list = { shelf: null, set: null, rows: null, folded: null, found: [], active: 0, height: 0 };
let moving = 0;

const fold = (text) => text.slice(0, 100000).normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const told = ([, truth, predicted]) => truth !== null || predicted !== null;
const differs = ([, truth, predicted]) => truth !== null && predicted !== null && truth !== predicted;

function buildTexts() {
  aside.setAttribute("aria-label", "Texts");
  const label = make("label", "g-search");
  search.type = "search";
  search.autocomplete = "off";
  search.spellcheck = false;
  label.append(make("span", "g-label", "Search the texts"), search);
  const only = make("label", "g-only");
  differing.type = "checkbox";
  only.append(differing, "only where model and data differ");
  only.hidden = true;
  matches.setAttribute("role", "status");
  box.tabIndex = 0;
  box.setAttribute("role", "listbox");
  box.setAttribute("aria-label", "Texts");
  space.setAttribute("role", "presentation");
  box.append(space);
  aside.append(label, only, matches, box);

  search.addEventListener("input", filter);
  differing.addEventListener("change", filter);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || !list.found.length) return;
    event.preventDefault();
    box.focus();
  });
  box.addEventListener("scroll", drawRows, { passive: true });
  new ResizeObserver(drawRows).observe(box);
  box.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (!row) return;
    list.active = +row.dataset.place;
    drawRows();
    pickActive(go);
  });
  box.addEventListener("keydown", (event) => {
    const screenful = Math.max(1, Math.floor(box.clientHeight / list.height) - 1);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -screenful, PageDown: screenful, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in steps) moveActive(steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") pickActive(go);
    else return;
    event.preventDefault();
  });
}

function pickActive(how) {
  clearTimeout(moving);
  const text = list.found[list.active];
  if (text !== undefined && text !== choice.text) how(fit(choice.shelf, choice.methods, text));
}

// A key that is held down passes texts without loading them.
function moveActive(by) {
  list.active = Math.min(Math.max(list.active + by, 0), list.found.length - 1);
  reveal();
  clearTimeout(moving);
  moving = setTimeout(pickActive, 120, stay);
}

function reveal() {
  const top = list.active * list.height;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + list.height > box.scrollTop + box.clientHeight) box.scrollTop = top + list.height - box.clientHeight;
  drawRows();
}

function showTexts() {
  const { shelf, text } = choice;
  const other = list.shelf !== shelf;
  list.shelf = shelf;
  aside.hidden = !shelf.texts.length;
  clearTimeout(moving);
  if (aside.hidden) return;
  if (list.set !== shelf.set) {
    fetchTexts(shelf.set);
  } else if (other) {
    filter();
  } else if (list.rows) {
    const place = list.found.indexOf(text);
    if (place >= 0) list.active = place;
    reveal();
  }
}

async function fetchTexts(set) {
  Object.assign(list, { set, rows: null, folded: null, found: [] });
  search.value = "";
  differing.checked = false;
  box.hidden = true;
  matches.textContent = "Loading the texts\u2026";
  try {
    const rows = await load(sets[set]);
    if (list.set !== set) return;
    list.rows = rows;
    filter();
    tellText();
  } catch (error) {
    if (list.set !== set) return;
    list.set = null; // the next look tries again
    matches.textContent = `The texts cannot be shown: ${error.message}.`;
  }
}

function filter() {
  const { rows, shelf } = list;
  if (!rows) return;
  const words = fold(search.value).split(/\s+/).filter(Boolean);
  if (words.length && !list.folded) list.folded = rows.map((row) => fold(row.filter(Boolean).join(" \n ")));
  const wrong = differing.checked;
  list.found = shelf.texts.filter((text) => (!wrong || differs(rows[text])) && words.every((word) => list.folded[text].includes(word)));
  differing.parentNode.hidden = !wrong && !shelf.texts.some((text) => differs(rows[text]));
  const all = shelf.texts.length;
  search.parentNode.hidden = all < 2;
  matches.textContent = list.found.length === all ? plural(all, "text") : list.found.length ? `${list.found.length} of ${plural(all, "text")}` : "No text matches.";
  list.active = Math.max(0, list.found.indexOf(choice.text));
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  list.height = Math.round(rem * (shelf.texts.some((text) => told(rows[text])) ? 4.6 : 3.2));
  box.hidden = !list.found.length;
  box.style.setProperty("--row", list.height + "px");
  box.style.setProperty("--all", list.found.length * list.height + "px");
  box.scrollTop = 0;
  reveal();
  tellText();
}

function drawRows() {
  const { rows, found, height, active } = list;
  if (!rows || !height) return;
  const first = Math.max(0, Math.floor(box.scrollTop / height) - 4);
  const end = Math.min(found.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + 4);
  const nodes = [];
  for (let k = first; k < end; k++) nodes.push(row(found[k], k));
  space.replaceChildren(...nodes);
  if (found.length && active >= first && active < end) box.setAttribute("aria-activedescendant", "text-" + found[active]);
  else box.removeAttribute("aria-activedescendant");
}

function row(text, k) {
  const values = list.rows[text];
  const node = make("div", k === list.active ? "g-row g-active" : "g-row");
  node.id = "text-" + text;
  node.dataset.place = k;
  node.setAttribute("role", "option");
  node.setAttribute("aria-selected", text === choice.text);
  node.setAttribute("aria-setsize", list.found.length);
  node.setAttribute("aria-posinset", k + 1);
  node.style.setProperty("top", k * list.height + "px");
  const words = make("span", "g-words", brief(values[0], 160));
  words.dir = "auto";
  node.append(words);
  if (told(values)) node.append(verdict(values, 24));
  return node;
}

// What the data says of a text and what the model says; where they differ, a sign says so beside the colour.
function verdict(values, length) {
  const [, truth, predicted] = values;
  const node = make("span", differs(values) ? "g-verdict g-wrong" : "g-verdict");
  const says = (who, what) => {
    const one = make("span", "g-says", who + " ");
    one.append(quoted(what, length));
    return one;
  };
  if (truth !== null) node.append(says("data", truth));
  if (truth !== null && predicted !== null) node.append(" ", make("span", "g-sign", differs(values) ? "\u2260" : "="), " ");
  if (predicted !== null) node.append(says("model", predicted));
  return node;
}
