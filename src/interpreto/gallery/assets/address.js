// A gallery: what there is to choose, and the choice as the fragment of the address. Links keep it, and the browser's own
// back and forward walk through what was looked at.

const { title, about, sets, shelves, walks } = JSON.parse(document.getElementById("data").textContent);
const FIELDS = ["task", "model", "data", "family", "form"];
const LABELS = { task: "Task", model: "Model", data: "Data set", family: "Family", form: "Form" };
const WORDS = { classification: "Classification", generation: "Generation", attributions: "Attributions", concepts: "Concepts" };
const WHOLE = -1; // instead of a text: the whole model
const NOTHING = { shelf: null, methods: [], text: WHOLE, tour: null, step: null };

let choice = NOTHING;

for (const shelf of shelves) {
  shelf.files = new Map(shelf.methods.map(([name, files]) => [name, new Map(files)]));
  shelf.count = shelf.methods.reduce((sum, [, files]) => sum + files.length, 0);
  const texts = new Set(shelf.methods.flatMap(([, files]) => files.map(([text]) => text)));
  texts.delete(WHOLE);
  shelf.texts = [...texts].sort((a, b) => a - b);
  shelf.has = texts;
}

// A name as the address says it: one too long for that by its beginning, and a number that tells it apart.
function keyOf(name) {
  if (name.length <= 120) return name;
  let sum = 0;
  for (let k = 0; k < name.length; k++) sum = (Math.imul(sum, 31) + name.charCodeAt(k)) >>> 0;
  return `${Array.from(name.slice(0, 120)).slice(0, 50).join("")}\u2026${sum}`;
}

const wordOf = (field, value) => (field === "task" || field === "family" ? WORDS[value] : value);
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

function fileOf(shelf, method, text) {
  const files = shelf.files.get(method);
  return files && (files.get(text) || files.get(WHOLE));
}

const methodsOf = (shelf, text) => [...shelf.files.keys()].filter((method) => fileOf(shelf, method, text));

// What a shelf can show of wanted methods and a wanted text.
function fit(shelf, methods, text) {
  if (!shelf.has.has(text)) text = shelf.texts.length ? shelf.texts[0] : WHOLE;
  const possible = methodsOf(shelf, text);
  const kept = possible.filter((method) => methods.includes(method));
  return { shelf, methods: kept.length ? kept : possible.slice(0, 1), text };
}

// The shelf with one field changed: the fields before it stay, those after it where possible.
function changed(shelf, field, value) {
  const at = FIELDS.indexOf(field);
  let found = shelves.filter((other) => other[field] === value && FIELDS.slice(0, at).every((before) => other[before] === shelf[before]));
  for (const later of FIELDS.slice(at + 1)) {
    const same = found.filter((other) => other[later] === shelf[later]);
    if (same.length) found = same;
  }
  return found[0];
}

function addressOf({ shelf, methods, text, tour, step }) {
  const words = new URLSearchParams();
  if (shelf) {
    for (const field of FIELDS) words.append(field, keyOf(shelf[field]));
    for (const method of methods) words.append("method", keyOf(method));
    if (text !== WHOLE) words.append("text", text + 1);
  }
  if (tour !== null) {
    words.append("tour", tour + 1);
    words.append("step", step + 1);
  }
  return "#" + words;
}

// A choice from an address, and what that names but the gallery does not have.
function read(fragment) {
  const words = new URLSearchParams(fragment.slice(1));
  const wrong = [];
  const next = { ...NOTHING };
  if (words.has("tour")) {
    const [tour, step] = [words.get("tour") - 1, words.get("step") - 1];
    if (walks[tour] && walks[tour].steps[step]) Object.assign(next, { tour, step });
    else wrong.push(["step of a tour", `${words.get("tour")}, ${words.get("step")}`]);
  }
  let found = shelves;
  let some = false;
  for (const field of FIELDS) {
    if (!words.has(field)) continue;
    const same = found.filter((shelf) => keyOf(shelf[field]) === words.get(field));
    if (same.length) [found, some] = [same, true];
    else wrong.push([LABELS[field].toLowerCase(), words.get(field)]);
  }
  if (some) {
    const keys = words.getAll("method");
    const methods = [...found[0].files.keys()].filter((method) => keys.includes(keyOf(method)));
    const text = words.has("text") ? words.get("text") - 1 : WHOLE;
    Object.assign(next, fit(found[0], methods, text));
    if (words.has("text") && next.text !== text) wrong.push(["text", words.get("text")]);
    const shown = next.methods.map(keyOf);
    for (const key of keys) if (!shown.includes(key)) wrong.push(["method", key]);
  } else if (fragment.length > 1 && next.tour === null && !wrong.length) {
    wrong.push(["choice", fragment.slice(1)]);
  }
  return [next, wrong];
}

const go = (change) => (location.hash = addressOf({ ...choice, ...change }));
const stay = (change) => location.replace(addressOf({ ...choice, ...change })); // without a place of its own in the history

// The choice that a step of a tour is about.
function stop(tour, step) {
  const { shelf, methods, instance } = walks[tour].steps[step];
  const goal = shelf === null ? choice : fit(shelves[shelf], methods, instance === null ? WHOLE : instance);
  return { ...goal, tour, step };
}
