// The choices of a shelf: in each row what there is for the choices before it, and nothing else.

const chooser = make("section", "g-chooser");
chooser.setAttribute("aria-label", "Choices");

function drawChooser() {
  const focused = document.activeElement.closest(".g-chooser [role=radiogroup]");
  const own = focused && focused.getAttribute("aria-label");
  const { shelf } = choice;
  chooser.replaceChildren();
  let found = shelves;
  for (const field of FIELDS) {
    const values = [...new Set(found.map((other) => other[field]))];
    found = found.filter((other) => other[field] === shelf[field]);
    const pick = (k) => {
      if (values[k] === shelf[field]) return;
      const next = changed(shelf, field, values[k]);
      go(fit(next, choice.methods, next.set === shelf.set ? choice.text : WHOLE));
    };
    const row = choices(LABELS[field], values.map((value) => [inFull(wordOf(field, value))]), pick, values.indexOf(shelf[field]));
    const box = make("div", "g-field");
    box.append(caption(LABELS[field]), row);
    chooser.append(box);
    if (own === LABELS[field]) row.querySelector("[aria-checked=true]").focus();
  }
}
