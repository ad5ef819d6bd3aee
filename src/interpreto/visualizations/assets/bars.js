// The strongest elements of a target as bars left and right of zero; where the score of nothing is known, each begins
// where the one before it ended, from there to the score of the text.
const MOST_BARS = 12;
const WIDE = 1.96; // standard errors to each side hold the true value 95 times of 100

function drawBars(box, shared, unit) {
  const { elements, numberOf } = shared;
  const row = unit.scores(), errors = unit.errors();
  const strongest = strongestIn(row, MOST_BARS);
  const known = row.reduce((count, value) => count + !Number.isNaN(value), 0);
  const others = known - strongest.length;
  const rest = unit.sum - strongest.reduce((sum, g) => sum + row[g], 0);
  const adds = unit.baseline !== null && unit.score !== null && unit.gap !== null;

  // What is drawn: name, number, where a bar begins and ends, its kind.
  const lines = [];
  let at = 0;
  const bar = (name, value, options = {}) => {
    lines.push({ name, from: at, to: at + value, text: format(value), kind: value < 0 ? "minus" : "plus", ...options });
    if (adds) at += value;
  };
  const mark = (name, value) => lines.push({ name, from: value, to: value, text: format(value, false), kind: "total" });
  if (adds) {
    mark("score with nothing left (baseline)", unit.baseline);
    at = unit.baseline;
  }
  for (const g of strongest) {
    const error = errors && Number.isFinite(errors[g]) ? WIDE * errors[g] : 0;
    bar(brief(elements[g].text, 28), row[g], { own: true, g, error, text: numberOf(unit, g) });
  }
  if (others > 0) bar(others === 1 ? "the other one" : `all others (${others})`, rest);
  if (adds) {
    if (Math.abs(unit.gap) > 0.005 * Math.max(Math.abs(unit.score - unit.baseline), largestOf(row))) bar("not explained (gap)", unit.gap);
    mark("score of the text", unit.score);
  }

  const ends = lines.flatMap(({ from, to, error = 0 }) => [from, to - error, to + error]);
  if (!adds) ends.push(0);
  const low = Math.min(...ends), width = Math.max(...ends) - low || 1;
  const percent = (value) => (100 * value) / width + "%";
  const place = (node, start, end) => {
    node.style.setProperty("left", percent(Math.min(start, end) - low));
    node.style.setProperty("width", percent(Math.abs(end - start)));
    return node;
  };

  const list = make("ul");
  list.setAttribute("role", "list");
  for (const [k, line] of lines.entries()) {
    const item = make("li", line.kind);
    const name = make(line.own ? "bdi" : "span", line.own ? "name" : "name told", line.name);
    const track = make("span", "track");
    track.setAttribute("aria-hidden", "true");
    if (!adds) track.append(place(make("span", "zero"), 0, 0));
    track.append(place(make("span", "bar"), line.from, line.to));
    if (line.error) track.append(place(make("span", "whisker"), line.to - line.error, line.to + line.error));
    if (adds && k < lines.length - 1) track.append(place(make("span", "next"), line.to, line.to));
    if (line.own) item.dataset.bar = line.g;
    item.append(name, track, make("span", "number", line.text));
    list.append(item);
  }
  const notes = [adds ? "From the score with nothing left, each element takes the score on to that of the text." : "Bars to the left lower the score, bars to the right raise it."];
  if (lines.some(({ error }) => error)) notes.push("Whiskers: \u00b11.96 standard errors. 95 times of 100 they hold what endless draws would give.");
  box.replaceChildren(list, make("p", "hint", notes.join(" ")));
  if (box.told) return;
  box.told = true;
  describe(box, "[data-bar]", (node) => {
    const g = +node.dataset.bar;
    const near = [g - 2, g - 1, g, g + 1, g + 2].map((k) => (elements[k] && elements[k].part === elements[g].part ? elements[k].text : ""));
    return [brief(near.join(""), 80), node.querySelector(".number").textContent];
  });
}
