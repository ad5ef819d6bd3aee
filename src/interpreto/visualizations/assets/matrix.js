// Targets and elements as a heat map: a table while its cells are few, a canvas where they are many.
const MOST_CELLS = 2000;

// Draws all rows; returns what marks the one that is chosen.
function drawMatrix(box, shared) {
  const units = shared.units();
  const told = (k, g) => [`${shared.nameOf(units[k], 40)} \u2190 ${shared.words(units[k], g, 40)[0]}`, shared.numberOf(units[k], g)];
  const label = (k, g) => `output ${shared.nameOf(units[k], 40)}, input ${shared.words(units[k], g, 40)[0]}: ${shared.numberOf(units[k], g)}`;
  const scroll = make("div", "scroll");
  box.replaceChildren(scroll);
  const draw = units.length * shared.figure.count > MOST_CELLS ? drawCanvas : drawTable;
  return draw(box, scroll, shared, units, told, label);
}

// Arrow keys in two directions; the reading direction of rows turns left and right.
function stepInGrid(event, [k, g], height, width) {
  const turn = getComputedStyle(event.currentTarget).direction === "rtl" ? -1 : 1;
  const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -turn], ArrowRight: [0, turn], Home: [0, -Infinity], End: [0, Infinity], PageUp: [-10, 0], PageDown: [10, 0] }[event.key];
  if (!by || event.ctrlKey || event.altKey || event.metaKey) return null;
  event.preventDefault();
  const within = (value, most) => Math.min(Math.max(value, 0), most - 1);
  return [within(k + by[0], height), within(g + by[1], width)];
}

function drawTable(box, scroll, shared, units, told, label) {
  const { elements, nameOf, words } = shared;
  const table = make("table");
  table.dir = shared.direction();
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", "Scores of outputs (rows) for inputs (columns)");
  const head = make("tr");
  head.append(make("td"));
  for (const g of elements.keys()) {
    const cell = make("th");
    cell.scope = "col";
    cell.append(make("bdi", "", words(units[0], g, 16)[0]));
    head.append(cell);
  }
  const thead = make("thead"), tbody = make("tbody");
  thead.append(head);
  const cells = [];
  for (const [k, unit] of units.entries()) {
    const line = make("tr");
    const name = make("th");
    name.scope = "row";
    name.append(make("bdi", "", nameOf(unit, 20)));
    line.append(name);
    const row = unit.scores(), end = shared.scaleOf(unit);
    cells.push(elements.map((element, g) => {
      const cell = make("td", g && element.part !== elements[g - 1].part ? "part" : "");
      cell.tabIndex = -1;
      cell.setAttribute("aria-label", label(k, g));
      if (Number.isNaN(row[g])) cell.classList.add("none");
      else colour(cell, row[g] / end);
      cell.place = [k, g];
      line.append(cell);
      return cell;
    }));
    tbody.append(line);
  }
  table.append(thead, tbody);
  scroll.append(table);
  let current = cells[0][0];
  current.tabIndex = 0;
  const focus = ([k, g]) => {
    current.tabIndex = -1;
    current = cells[k][g];
    current.tabIndex = 0;
    current.focus();
  };
  table.addEventListener("keydown", (event) => {
    if (!event.target.place) return;
    if (event.key === "Enter" || event.key === " ") {
      shared.choose(event.target.place[0]);
      event.preventDefault();
    }
    const next = stepInGrid(event, event.target.place, units.length, elements.length);
    if (next) focus(next);
  });
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("tbody td");
    const line = event.target.closest("tbody tr");
    if (!line) return;
    shared.choose([...tbody.children].indexOf(line));
    if (cell) focus(cell.place);
  });
  describe(table, "tbody td", (cell) => told(...cell.place));
  return (chosen) => {
    for (const [k, line] of [...tbody.children].entries()) line.classList.toggle("here", k === chosen);
  };
}

// One pixel a cell, made larger by the style. What is under the pointer, or under a frame that the keys move, is told.
function drawCanvas(box, scroll, shared, units, told, label) {
  const { elements, figure } = shared;
  const [height, width] = [units.length, elements.length];
  const canvas = make("canvas");
  [canvas.width, canvas.height] = [width, height];
  const right = shared.direction() === "rtl";
  const room = Math.max((box.clientWidth || 800) - 16, 200);
  const wide = Math.min(Math.max(Math.floor(room / width), 2), 18), high = Math.min(Math.max(Math.floor(420 / height), 4), 22);
  const sheet = make("div", "sheet");
  sheet.style.setProperty("width", wide * width + "px");
  sheet.style.setProperty("height", high * height + "px");
  sheet.dir = right ? "rtl" : "ltr";
  const column = (g) => (right ? width - 1 - g : g);

  const paint = () => {
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const style = getComputedStyle(document.documentElement);
    const [up, lo] = ["--plus", "--minus"].map((name) => {
      const [red, green, blue] = style.getPropertyValue(name).trim().split(" ").map(Number);
      return (blue << 16) | (green << 8) | red;
    });
    for (const [k, unit] of units.entries()) {
      const row = unit.scores(), end = shared.scaleOf(unit);
      for (let g = 0; g < width; g++) {
        const level = row[g] / end;
        if (level) pixels[k * width + column(g)] = (level > 0 ? up : lo) | (Math.min(255 * Math.abs(level), 255) << 24);
      }
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => canvas.isConnected && paint());

  // Where each text begins, above its columns; names of rows where they fit.
  for (const [g, element] of elements.entries()) {
    if (figure.parts.length < 2 || (g && elements[g - 1].part === element.part)) continue;
    const part = make("span", "begins", figure.parts[element.part].label);
    part.style.setProperty("inset-inline-start", wide * g + "px");
    sheet.append(part);
  }
  if (figure.parts.length > 1) scroll.classList.add("parted");
  const band = make("div", "band"), frame = make("div", "frame");
  for (const node of [band, frame]) node.style.setProperty("height", high + "px");
  frame.style.setProperty("width", wide + "px");
  frame.tabIndex = 0;
  frame.setAttribute("role", "img");
  canvas.setAttribute("aria-hidden", "true");
  sheet.append(canvas, band, frame);
  const names = make("div", "rows");
  names.setAttribute("aria-hidden", "true");
  if (high >= 14) {
    for (const unit of units) {
      const name = make("bdi", "", shared.nameOf(unit, 16));
      name.style.setProperty("height", high + "px");
      names.append(name);
    }
  }
  scroll.dir = sheet.dir;
  scroll.append(names, sheet);
  const line = make("p", "facts");
  line.setAttribute("aria-live", "polite");
  box.append(line);

  let place = [0, 0];
  const show = ([k, g]) => {
    place = [k, g];
    frame.style.setProperty("top", high * k + "px");
    frame.style.setProperty("inset-inline-start", wide * g + "px");
    frame.setAttribute("aria-label", label(k, g));
    const [names, number] = told(k, g);
    line.replaceChildren(make("bdi", "", names), make("b", "", number));
  };
  const under = (event) => {
    const at = canvas.getBoundingClientRect();
    const g = column(Math.floor((event.clientX - at.left) / wide));
    return [Math.min(Math.max(Math.floor((event.clientY - at.top) / high), 0), height - 1), Math.min(Math.max(g, 0), width - 1)];
  };
  sheet.addEventListener("pointermove", (event) => show(under(event)));
  sheet.addEventListener("click", (event) => {
    show(under(event));
    frame.focus({ preventScroll: true });
    shared.choose(place[0]);
  });
  sheet.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      shared.choose(place[0]);
      event.preventDefault();
    }
    const next = stepInGrid(event, place, height, width);
    if (!next) return;
    show(next);
    frame.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  show([0, 0]);
  return (chosen) => band.style.setProperty("top", high * chosen + "px");
}
