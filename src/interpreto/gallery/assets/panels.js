// The explanations of a text, by one method or by several side by side.

const panels = make("section", "g-panels");
const subjectLine = make("div", "g-subject");
const methodsBox = make("fieldset", "g-methods");
const grid = make("div", "g-grid");
const news = make("p", "g-unseen"); // for those who listen
const drawn = new Map(); // method -> panel
const picks = new Map(); // what the reader picked in a panel, by the name of its group
let serial = 0; // of figures: it tells their ids apart
let look = 0; // of choices: what arrives for an earlier one is not told

function buildPanels() {
  panels.setAttribute("aria-label", "Explanations");
  news.setAttribute("role", "status");
  panels.append(subjectLine, methodsBox, grid);
  // What is picked in one panel is picked in those beside it, and in those that come later.
  grid.addEventListener("interpreto:choose", (event) => {
    const group = event.target;
    if (group.getAttribute("role") !== "radiogroup") return;
    const [label, name] = [labelOf(group), nameOf(event.detail)];
    picks.delete(label); // what was picked last is taken last
    picks.set(label, name);
    const own = group.closest(".g-panel");
    for (const panel of drawn.values()) if (panel !== own) take(panel, label, name);
  });
}

function labelOf(group) {
  const node = document.getElementById(group.getAttribute("aria-labelledby") || "");
  return node ? node.textContent : group.getAttribute("aria-label");
}

const nameOf = (node) => (node.querySelector("bdi") || node).textContent;

function take(panel, label, name) {
  for (const group of panel.querySelectorAll("[role=radiogroup]")) {
    if (labelOf(group) !== label) continue;
    const node = [...group.querySelectorAll("[role=radio]")].find((one) => nameOf(one) === name);
    if (node && node.getAttribute("aria-checked") !== "true") {
      group.dispatchEvent(new CustomEvent("interpreto:take", { detail: node }));
    }
  }
}

// Which text this is, and the way to its neighbours in the list.
function tellText() {
  const { shelf, text } = choice;
  if (!shelf) return;
  const focused = subjectLine.contains(document.activeElement) && document.activeElement.getAttribute("aria-label");
  const head = make("h1", "", text === WHOLE ? "The whole model" : "Text " + (text + 1));
  head.tabIndex = -1;
  subjectLine.replaceChildren(head);
  if (text === WHOLE) return;
  const place = list.found.indexOf(text);
  const steps = [["Text before", "\u2039", -1], ["Next text", "\u203a", 1]].map(([words, sign, by]) => {
    const goal = place < 0 ? list.found[0] : list.found[place + by];
    const node = button(sign, "g-plain g-step", () => go(fit(shelf, choice.methods, goal)));
    node.setAttribute("aria-label", words);
    node.disabled = goal === undefined || (place < 0 && by < 0);
    return node;
  });
  subjectLine.append(...steps);
  const values = list.rows && list.set === shelf.set ? list.rows[text] : null;
  if (values && told(values)) subjectLine.append(verdict(values, 60));
  const again = steps.find((node) => node.getAttribute("aria-label") === focused);
  if (again) (again.disabled ? head : again).focus();
}

function drawMethods() {
  const { shelf, methods, text } = choice;
  const focused = methodsBox.contains(document.activeElement) ? document.activeElement : null;
  const possible = methodsOf(shelf, text);
  methodsBox.replaceChildren(make("legend", "g-label", shelf.files.size > 1 ? "Methods, side by side" : "Method"));
  for (const method of shelf.files.keys()) {
    const label = make("label", "g-method");
    const tick = make("input");
    tick.type = "checkbox";
    tick.value = method;
    tick.checked = methods.includes(method);
    tick.disabled = !possible.includes(method);
    tick.addEventListener("change", () => {
      const next = possible.filter((other) => (other === method ? tick.checked : choice.methods.includes(other)));
      if (next.length) go({ methods: next });
      else tick.checked = true; // one is always shown
    });
    label.append(tick, make("bdi", "", inFull(method)));
    methodsBox.append(label);
    if (focused && focused.type === "checkbox" && focused.value === method) tick.focus();
  }
  if (possible.length < 3) return;
  const all = methods.length < possible.length;
  const node = button(all ? "Show all" : "Show one", "g-plain", () => go({ methods: all ? possible : possible.slice(0, 1) }));
  methodsBox.append(node);
  if (focused && focused.type === "button") node.focus();
}

function drawPanels() {
  const { shelf, methods, text } = choice;
  const mine = ++look;
  for (const [method, panel] of drawn) {
    if (methods.includes(method)) continue;
    panel.remove();
    drawn.delete(method);
  }
  tip.hidden = true;
  const filled = methods.map((method, k) => {
    const panel = drawn.get(method) || emptyPanel(method);
    drawn.set(method, panel);
    if (grid.children[k] !== panel) grid.insertBefore(panel, grid.children[k] || null);
    return fill(panel, fileOf(shelf, method, text));
  });
  grid.classList.toggle("g-single", methods.length === 1);
  const what = text === WHOLE ? "the whole model" : "text " + (text + 1);
  const words = `${plural(methods.length, "explanation")} of ${what}: ${methods.map((method) => brief(method, 40)).join(", ")}`;
  Promise.all(filled).then(() => mine === look && tell(words));
}

function tell(words) {
  if (news.textContent !== words) news.textContent = words;
  document.documentElement.dataset.shown = location.hash || "#";
  performance.mark("gallery:shown");
}

function emptyPanel(method) {
  const panel = make("article", "g-panel");
  const head = make("header");
  const name = make("h2");
  const how = button("How to make this", "g-plain g-how", () => openSnippet(method, panel.snippet));
  how.disabled = true;
  name.append(make("bdi", "", inFull(method)));
  panel.method = method;
  head.append(name, how);
  panel.append(head, make("div", "g-content"));
  return panel;
}

async function fill(panel, file) {
  if (panel.dataset.file === file) return;
  const content = panel.querySelector(".g-content");
  const how = panel.querySelector(".g-how");
  panel.dataset.file = file;
  panel.setAttribute("aria-busy", "true");
  if (!content.childNodes.length) content.append(make("p", "g-wait", "Loading\u2026"));
  try {
    const { figures, snippet } = await load(file);
    if (panel.dataset.file !== file) return;
    const nodes = figures.map((figure) => views[figure.view](figure, "e" + serial++));
    if (nodes.length === 1) shorten(nodes[0], panel.method);
    content.replaceChildren(...nodes);
    panel.snippet = snippet;
    how.disabled = false;
    for (const [label, name] of picks) take(panel, label, name);
  } catch (error) {
    if (panel.dataset.file !== file) return;
    const alert = make("div", "g-failed");
    alert.setAttribute("role", "alert");
    alert.append(make("p", "", `This explanation cannot be shown: ${error.message}.`), button("Try again", "g-plain", () => {
      content.replaceChildren();
      panel.dataset.file = "";
      fill(panel, file);
    }));
    content.replaceChildren(alert);
    how.disabled = true;
  }
  panel.removeAttribute("aria-busy");
}

// The panel says the method already.
function shorten(figure, method) {
  const head = figure.querySelector("h2");
  if (!head || head.firstChild.textContent !== method) return;
  const kind = head.querySelector(".kind");
  if (kind) head.replaceWith(make("p", "hint", kind.textContent));
  else head.remove();
}
