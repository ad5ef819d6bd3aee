// Concepts, ranked for the class that is picked; the concept that is picked shows its examples.
views.concepts = (figure, ordinal) => {
  const root = make("section", "figure concepts");
  const { concepts, groups } = figure;
  const weighed = groups.some((group) => group.texts !== null);
  const measures = { gradient: "gradient", gradient_x_concept: "concept \u00d7 gradient" };
  const kind = [figure.interpretation, measures[figure.importance] || figure.importance].filter(Boolean).join(", ");
  root.append(heading(ordinal, weighed ? "Concepts that matter" : "Concepts", kind));

  const counts = make("p", "hint");
  counts.setAttribute("aria-live", "polite");
  const place = make("div");
  const panel = make("div", "panel");
  panel.setAttribute("role", "group");
  let chosen = null; // the concept that the reader picked, kept from class to class
  const counted = (n) => n + (n === 1 ? " text" : " texts");

  function tell(concept, group, [, share, absolute, signed]) {
    const name = make("p", "title");
    if (concept.label !== null) name.append(make("bdi", "", conceptName(concept)), make("small", "", "concept " + concept.number));
    else name.textContent = "Concept " + concept.number;
    panel.setAttribute("aria-label", "Concept " + concept.number);
    panel.replaceChildren(name);
    if (share !== undefined) {
      const facts = make("p", "facts");
      facts.append(fact("share of all weights", share), fact("mean |weight|", absolute), fact("mean weight", signed, "", true));
      panel.append(facts);
    }
    if (concept.examples.length) {
      panel.append(make("h3", "", "Strongest examples, with their activations"), exampleList(concept.examples, strongestOf(concept.examples)));
    } else {
      panel.append(make("p", "hint", concept.read ? "No example to show." : "No examples: this concept was not interpreted."));
    }
    if (concept.across.length) {
      const most = concept.across[0][1];
      const list = make("ul", "across");
      for (const [k, own, whole, net] of concept.across) {
        const item = make("li", groups[k] === group ? "here" : "");
        item.append(make("bdi", "", brief(groups[k].name)), meter(own, whole ? (own * net) / whole : 0, most), make("span", "number", own.toFixed(3)));
        list.append(item);
      }
      panel.append(make("h3", "", groups.length > concept.across.length + 1 ? "Its share in the classes to which it matters most" : "Its share in each class"), list);
    }
  }

  function rank(g) {
    const group = groups[g];
    const list = make("div", "list");
    list.setAttribute("role", "radiogroup");
    list.setAttribute("aria-label", "Concepts");
    list.style.setProperty("--rows", group.entries.length);
    const most = weighed && group.entries.length ? group.entries[0][1] : 0;
    const buttons = group.entries.map(([c, share, absolute, signed]) => {
      const concept = concepts[c];
      const button = make("button", weighed ? "concept" : "concept bare");
      button.type = "button";
      button.setAttribute("role", "radio");
      const name = make("span", "name");
      name.append(make("bdi", "", conceptName(concept)));
      if (concept.label !== null && concept.words.length) name.append(make("small", "", concept.words.join(" \u00b7 ")));
      if (weighed) button.append(meter(share, absolute ? (share * signed) / absolute : 0, most), make("span", "number", share.toFixed(3)));
      else button.append(make("span", "number", concept.number));
      button.append(name);
      return button;
    });
    const pick = (k) => {
      for (const [n, button] of buttons.entries()) button.setAttribute("aria-checked", n === k);
      tell(concepts[group.entries[k][0]], group, group.entries[k]);
      buttons[k].after(panel); // below it on a phone; style puts it beside the list where there is room
      tip.hidden = true;
    };
    const start = Math.max(group.entries.findIndex(([c]) => c === chosen), 0);
    list.append(...buttons);
    rove(list, buttons, (k) => {
      chosen = group.entries[k][0];
      pick(k);
    }, start);
    if (weighed) {
      // Only over the bar and its number, so that it does not hide the other rows; on focus the panel tells the same.
      describe(list, ".concept > .meter, .concept > .number", (node) => {
        const [c, share, absolute, signed] = group.entries[buttons.indexOf(node.parentElement)];
        return [brief(conceptName(concepts[c]), 120), `share ${share.toFixed(3)}, mean |weight| ${format(absolute, false)}, mean weight ${format(signed)}`];
      });
    }
    const shown = group.entries.length < group.total ? `${group.entries.length} of ${group.total} concepts` : `${group.total} concepts`;
    counts.textContent = shown + (group.texts === null ? "" : ", over " + counted(group.texts));
    place.replaceChildren(buttons.length ? list : make("p", "hint", "No concept weighs anything."));
    if (buttons.length) pick(start);
  }

  if (groups.length > 1) {
    root.append(choices("Classes", groups.map((group) => [brief(group.name), group.texts === null ? "" : counted(group.texts)]), rank));
  } else if (groups[0].name !== null) {
    root.append(make("p", "only", brief(groups[0].name)));
  }
  root.append(counts, place);
  if (weighed) {
    const legend = make("p", "legend");
    for (const [net, words] of [[1, "raises the class"], [-1, "lowers it"], [0, "cancels out between texts"]]) {
      const item = make("span", "item");
      item.append(meter(1, net, 1), words);
      legend.append(item);
    }
    root.append(legend);
  }
  if (figure.settings.length) root.append(settingsOf(figure.settings));
  rank(0);
  return root;
};
