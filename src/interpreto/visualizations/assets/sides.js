// All targets of a text below each other, or in columns where there is room, on one scale.
const MOST_SIDES = 12; // the others are shown on demand

function drawSides(box, shared, end) {
  const { figure, elements, nameOf, words } = shared;
  const order = shared.units().map((unit, k) => k);
  const many = order.length > MOST_SIDES;
  if (many) order.sort((a, b) => (shared.units()[b].score || 0) - (shared.units()[a].score || 0) || a - b);

  function side(k) {
    const unit = shared.units()[k];
    const row = unit.scores();
    const block = make("section", "side");
    const title = make("h3");
    title.id = `side${shared.ordinal}-${k}`;
    title.append(make("bdi", "", nameOf(unit)));
    if (unit.score !== null) title.append(make("small", "", format(unit.score, false)));
    block.append(title);
    for (const [p, part] of figure.parts.entries()) {
      if (figure.parts.length > 1) block.append(make("p", "hint", part.label));
      const body = make("div", "text");
      body.lang = "";
      body.setAttribute("role", "group");
      body.setAttribute("aria-labelledby", title.id);
      const nodes = [];
      const draw = (from, to) => {
        for (const [j, piece] of part.pieces.slice(from, to).entries()) {
          const node = pieceOf(piece);
          if (piece[1] >= 0) colour(node, row[piece[1]] / end);
          else node.classList.add("fixed");
          if (unit.place && unit.place[0] === p && from + j >= unit.place[1] && from + j < unit.place[2]) node.classList.add("here");
          nodes.push(node);
        }
        fill(body, nodes.slice(from));
      };
      draw(0, SOON / 2);
      // What does not fit the box is drawn once the reader is in it.
      const whole = () => {
        for (const kind of kinds) body.removeEventListener(kind, whole);
        if (nodes.length < part.pieces.length) draw(SOON / 2, Infinity);
        rove(body, nodes.filter((node) => node.dataset.element !== undefined), () => {});
      };
      const kinds = ["scroll", "focusin", "pointerenter"];
      if (part.pieces.length > SOON / 2) {
        body.tabIndex = 0;
        for (const kind of kinds) body.addEventListener(kind, whole);
      } else {
        whole();
      }
      describe(body, "[data-element]", (node) => [nameOf(unit, 40), ...words(unit, +node.dataset.element, 80)]);
      tellOnFocus(body, (g) => words(unit, g, 60));
      block.append(body);
    }
    return block;
  }

  box.append(...order.slice(0, MOST_SIDES).map(side));
  if (!many) return;
  const more = make("button", "more", `Show the other ${order.length - MOST_SIDES}`);
  more.type = "button";
  more.addEventListener("click", () => {
    const shown = box.querySelectorAll(".side").length;
    const next = order.slice(shown, shown + 4 * MOST_SIDES).map(side);
    more.before(...next);
    const left = order.length - shown - next.length;
    more.textContent = `Show the other ${left}`;
    more.hidden = left <= 0;
    (next[0].querySelector("[tabindex='0']") || more).focus();
  });
  box.append(more);
}
