// Cards of concepts: a list to search and sort, and the card of the concept that is picked. Only that card is drawn.
views.cards = (figure, ordinal) => {
  const AT_ONCE = 200; // rows of the list that are drawn at once
  const root = make("section", "figure cards");
  const { cards } = figure;
  const [nRows, one, many] = figure.rows;
  const counted = (n) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
  root.append(heading(ordinal, cards.length > 1 ? "Concept cards" : "Concept card", `over ${counted(nRows)}`));

  const places = new Map(cards.map((card, k) => [card.number, k]));
  const percent = (share) => (share === null ? "n/a" : Number((100 * share).toPrecision(share < 0.001 ? 2 : 3)) + "\u202f%");
  const nameOf = (number) => (places.has(number) ? conceptName(cards[places.get(number)]) : "concept " + number);
  const panel = make("article", "panel");
  let chosen = figure.chosen;
  const visited = []; // cards that links were followed from

  // The card

  function told(value, label) {
    const node = make("span", "fact");
    node.append(make("b", "", value), make("small", "", label));
    return node;
  }

  // Rows in each bin of activations; heights are logarithms, so that a single strong row is seen beside thousands.
  function histogram(card) {
    const [start, width, counts] = card.histogram;
    const most = Math.max(...counts);
    const height = (n) => (100 * (Math.log10(n) + 0.25)) / (Math.log10(most) + 0.25);
    const field = make("div", "field");
    for (let n = 1; n <= most; n *= 10) {
      const line = make("span", "grid", n.toLocaleString("en"));
      line.style.setProperty("bottom", height(n) + "%");
      field.append(line);
    }
    const bars = make("div", "bars");
    const end = Math.max(Math.abs(start), start + counts.length * width);
    for (const [k, n] of counts.entries()) {
      const bar = make("span", "bar");
      const low = start + k * width;
      const level = Math.min(1, Math.abs(low + width / 2) / end);
      const fill = make("span");
      if (n) {
        fill.style.setProperty("height", height(n) + "%");
        fill.style.setProperty("background-color", `rgb(var(--${low < 0 ? "minus" : "plus"}) / ${(0.35 + 0.6 * level).toFixed(3)})`);
      }
      bar.dataset.bin = k;
      bar.append(fill);
      bars.append(bar);
    }
    field.append(bars);
    const axis = make("div", "axis");
    axis.append(make("span", "", format(start, false)), make("span", "", `activation; height: ${many}, log scale`), make("span", "", format(start + counts.length * width, false)));
    const node = make("div", "histogram");
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", `Activations above 0 of ${counted(card.active)}, ${format(card.mean, false)} on average, at most ${format(card.largest, false)}`);
    node.append(field, axis);
    describe(node, ".bar", (bar) => {
      const low = start + bar.dataset.bin * width;
      return [`activation ${format(low, false)} to ${format(low + width, false)}`, counted(counts[bar.dataset.bin])];
    });
    return node;
  }

  function block(title, ...nodes) {
    const node = make("section", "block");
    node.append(make("h3", "", title), ...nodes);
    return node;
  }

  function tokens(name, list) {
    const most = list.reduce((m, [, weight]) => Math.max(m, Math.abs(weight || 0)), 0) || 1;
    const node = make("ul", "tokens");
    for (const [text, weight] of list) {
      const item = make("li");
      const letters = make("bdi", "", brief(text, 40));
      const level = (weight || 0) / most;
      letters.lang = "";
      letters.style.setProperty("background-color", `rgb(var(--${level < 0 ? "minus" : "plus"}) / ${(0.6 * Math.abs(level)).toFixed(3)})`);
      item.append(letters, make("small", "", format(weight)));
      node.append(item);
    }
    return block({ raised: "Tokens it makes more likely", lowered: "Tokens it makes less likely" }[name] || brief(name), node);
  }

  function near(title, list) {
    const node = make("ul", "near");
    for (const [number, value] of list) {
      const item = make("li");
      const known = places.has(number);
      const name = make(known ? "button" : "span", "link");
      name.append(make("bdi", "", brief(nameOf(number), 80)));
      if (known) {
        name.type = "button";
        name.addEventListener("click", () => {
          visited.push(chosen);
          show(places.get(number), true);
        });
      }
      item.append(make("span", "number", value.toFixed(2)), name);
      node.append(item);
    }
    return block(title, node);
  }

  function weights(list) {
    const most = list[0][1];
    const node = make("ul", "across");
    for (const [name, share, absolute, signed] of list) {
      const item = make("li");
      item.append(make("bdi", "", brief(name)), meter(share, absolute ? (share * signed) / absolute : 0, most), make("span", "number", share.toFixed(3)));
      node.append(item);
    }
    return block("Its share of what decides each class", node, make("p", "hint", "Orange raises the class, blue lowers it, pale cancels out between texts."));
  }

  function examples(card) {
    const node = make("section", "block wide");
    const all = [...card.examples, ...card.bands.flatMap(([, , , , some]) => some)];
    const most = strongestOf(all);
    node.append(make("h3", "", "Where it is strongest, with activations"), exampleList(card.examples, most));
    const bands = card.bands.filter(([, , , , some]) => some.length);
    if (bands.length) {
      node.append(make("h3", "", `${many[0].toUpperCase()}${many.slice(1)} at random, from its strong to its weak activations${card.label === null ? "" : ": does the label fit these too?"}`));
      for (const [start, end, high, low, some] of bands) {
        const part = start === 0 ? `strongest ${percent(end)}` : end === 1 ? `weakest ${percent(1 - start)}` : `next ${percent(end - start)}`;
        node.append(make("h4", "", `${part} (${format(low, false)} to ${format(high, false)})`), exampleList(some, most));
      }
    }
    return node;
  }

  function draw(card) {
    const title = make("h3", "title");
    title.tabIndex = -1;
    if (card.label !== null) title.append(make("bdi", "", conceptName(card)), make("small", "", "concept " + card.number));
    else title.append("Concept " + card.number, make("small", "", "no label"));
    const facts = make("p", "facts");
    facts.append(told(percent(card.density), `of ${many} active (${card.active.toLocaleString("en")})`));
    if (card.active) facts.append(told(format(card.mean, false), "mean activation"), told(format(card.largest, false), "largest"));
    if (card.overall !== null) facts.append(told(card.overall.toFixed(3), "importance"));
    for (const [name, value, error] of card.scores) facts.append(told(format(value, false) + (error === null ? "" : " \u00b1 " + format(error, false)), `how well the label fits (${brief(name, 40)})`));
    panel.replaceChildren(title, facts);
    if (visited.length) {
      const back = make("button", "back", "\u2190 back to " + brief(conceptName(cards[visited.at(-1)]), 40));
      back.type = "button";
      back.addEventListener("click", () => show(visited.pop(), true));
      panel.prepend(back);
    }
    const blocks = make("div", "blocks");
    if (card.histogram[2].length) {
      const node = block("How strongly, how often", histogram(card));
      node.classList.toggle("wide", !card.importance.length);
      blocks.append(node);
    } else blocks.append(make("p", "hint", "Never active in these texts."));
    if (card.importance.length) blocks.append(weights(card.importance));
    if (card.examples.length) blocks.append(examples(card));
    for (const [name, list] of card.tokens) if (list.length) blocks.append(tokens(name, list));
    if (card.similar.length) blocks.append(near("Points the same way (cosine)", card.similar));
    if (card.together.length) blocks.append(near("Active together (correlation)", card.together));
    panel.append(blocks);
    panel.setAttribute("aria-label", "Card of concept " + card.number);
    tip.hidden = true;
  }

  // The list

  const sorts = [["as given", () => 0, (card) => String(card.number)], ["how often active", (card) => card.density, (card) => percent(card.density)]];
  if (cards.some((card) => card.overall !== null)) sorts.push(["importance", (card) => card.overall, (card) => (card.overall === null ? "" : card.overall.toFixed(3))]);
  const metrics = [...new Set(cards.flatMap((card) => card.scores.map(([name]) => name)))];
  for (const metric of metrics) {
    const value = (card) => (card.scores.find(([name]) => name === metric) || [])[1] ?? null;
    sorts.push([brief(metric, 40), value, (card) => (value(card) === null ? "" : value(card).toFixed(2))]);
  }
  const said = cards.map((card) => [conceptName(card), ...card.words, "concept " + card.number].join(" ").toLowerCase());
  const search = make("input");
  search.type = "search";
  search.placeholder = "Search";
  search.setAttribute("aria-label", "Search concepts");
  const by = make("select");
  for (const [k, [name]] of sorts.entries()) {
    const option = make("option", "", name);
    option.value = k;
    by.append(option);
  }
  const byLabel = make("label", "", "Sorted by ");
  byLabel.append(by);
  const count = make("p", "hint");
  count.setAttribute("aria-live", "polite");
  const frame = make("div", "frame");
  let buttons = new Map(); // the place of a card -> its row in the list

  function list(most) {
    const [, value, shown] = sorts[+by.value || 0];
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = cards.map((_, k) => k).filter((k) => words.every((word) => said[k].includes(word)));
    const keys = cards.map((card) => value(card) ?? -Infinity);
    found.sort((a, b) => (keys[a] === keys[b] ? a - b : keys[b] - keys[a])); // equal ones as they were given
    count.textContent = `${found.length.toLocaleString("en")} of ${figure.total.toLocaleString("en")} concepts`;
    const drawn = found.slice(0, most);
    const group = make("div", "list");
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", "Concepts");
    group.style.setProperty("--numbers", +by.value ? "3.6rem" : "2.2rem");
    buttons = new Map(drawn.map((k) => {
      const button = make("button", "concept bare");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.setAttribute("aria-checked", k === chosen);
      const name = make("span", "name");
      name.append(make("bdi", "", conceptName(cards[k])));
      if (cards[k].label !== null && cards[k].words.length) name.append(make("small", "", cards[k].words.join(" \u00b7 ")));
      button.append(make("span", "number", shown(cards[k])), name);
      return [k, button];
    }));
    group.append(...buttons.values());
    rove(group, [...buttons.values()], (k) => {
      visited.length = 0;
      show(drawn[k], false);
    }, Math.max(drawn.indexOf(chosen), 0));
    frame.replaceChildren(drawn.length ? group : make("p", "hint", "No concept matches."));
    if (found.length > drawn.length) {
      const more = make("button", "more", `Show ${Math.min(AT_ONCE, found.length - drawn.length)} more`);
      more.type = "button";
      more.addEventListener("click", () => {
        list(most + AT_ONCE);
        [...buttons.values()][drawn.length].focus();
      });
      frame.append(more);
    }
  }

  function show(k, linked) {
    if (buttons.has(chosen)) buttons.get(chosen).setAttribute("aria-checked", false);
    chosen = k;
    const button = buttons.get(k);
    if (button) {
      button.setAttribute("aria-checked", true);
      if (linked) frame.scrollTop = button.offsetTop - frame.clientHeight / 2;
    }
    draw(cards[k]);
    if (linked) panel.querySelector(".title").focus({ preventScroll: false });
  }

  const both = make("div", "both");
  if (cards.length > 1) {
    const left = make("div", "left");
    search.addEventListener("input", () => list(AT_ONCE));
    by.addEventListener("change", () => {
      list(AT_ONCE);
      frame.scrollTop = 0;
    });
    left.append(search, byLabel, count, frame);
    both.append(left);
    list(AT_ONCE);
  } else root.classList.add("single");
  both.append(panel);
  root.append(both);
  if (figure.settings.length) root.append(settingsOf(figure.settings));
  draw(cards[chosen]);
  return root;
};
