// The front: what this is, guided tours, and what there is to look at.

const front = make("div", "g-front");
const example = make("div", "g-example");

function drawFront() {
  const hero = make("div", "g-hero");
  const words = make("div");
  words.append(make("h1", "", inFull(title)));
  if (about) words.append(make("p", "g-lead", about));
  hero.append(words, example);
  front.append(hero);
  if (walks.length) front.append(make("h2", "", walks.length > 1 ? "Guided tours" : "A guided tour"), tiles(walks.map(tourCard)));
  const groups = new Map(); // task, model, data set -> shelves
  for (const shelf of shelves) {
    const key = JSON.stringify([shelf.task, shelf.model, shelf.data]);
    groups.set(key, [...(groups.get(key) || []), shelf]);
  }
  front.append(make("h2", "", "Browse"), tiles([...groups.values()].map(shelfCard)));
}

// One explanation to begin with, once somebody looks at the front.
function drawExample() {
  if (example.childNodes.length) return;
  const goal = fit(shelves.find((shelf) => shelf.texts.length) || shelves[0], [], WHOLE);
  const panel = emptyPanel(goal.methods[0]);
  const to = make("a", "", "Look around from here");
  to.href = addressOf({ ...NOTHING, ...goal });
  example.append(panel, to);
  fill(panel, fileOf(goal.shelf, goal.methods[0], goal.text));
}

function tiles(nodes) {
  const row = make("div", "g-tiles");
  row.append(...nodes);
  return row;
}

function tourCard(walk, w) {
  const card = make("article", "g-tile");
  card.append(make("p", "g-over", plural(walk.steps.length, "step")), make("h3", "", inFull(walk.title)));
  if (!walk.steps.length) return card;
  card.append(make("p", "g-first", brief(walk.steps[0].text.slice(0, 2000).replace(/\s+/g, " "), 240)));
  const steps = make("ol");
  for (const [k, step] of walk.steps.entries()) {
    const item = make("li");
    item.append(make("p", "", step.text));
    if (step.shelf !== null) item.append(button("Look at it", "g-plain", () => go(stop(w, k))));
    steps.append(item);
  }
  const all = make("details");
  all.append(make("summary", "", "All steps"), steps);
  card.append(button("Start the tour", "g-main", () => go(stop(w, 0))), all);
  return card;
}

function shelfCard(group) {
  const { task, model, data } = group[0];
  const card = make("article", "g-tile");
  const head = make("h3");
  head.append(make("bdi", "", inFull(model)), make("span", "g-on", " on "), make("bdi", "", inFull(data)));
  const list = make("ul");
  for (const shelf of group) {
    const item = make("li");
    const to = make("a");
    to.href = addressOf({ ...NOTHING, ...fit(shelf, [], WHOLE) });
    to.append(WORDS[shelf.family], ": ", make("bdi", "", inFull(shelf.form)));
    const counts = [plural(shelf.files.size, "method")];
    if (shelf.texts.length) counts.push(plural(shelf.texts.length, "text"));
    item.append(to, make("small", "", counts.join(", ")));
    list.append(item);
  }
  card.append(make("p", "g-over", WORDS[task]), head, list);
  return card;
}
