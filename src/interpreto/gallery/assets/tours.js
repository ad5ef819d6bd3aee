// A guided tour goes along above what it is about.

const tourBar = make("section", "g-tour");
tourBar.setAttribute("aria-label", "Guided tour");

function drawTour() {
  const { tour, step } = choice;
  tourBar.hidden = tour === null;
  const key = tour === null ? "" : `${tour}/${step}`;
  const other = tourBar.dataset.key !== key;
  const began = tourBar.dataset.key;
  tourBar.dataset.key = key;
  if (tour === null) return;
  const { title: name, steps } = walks[tour];
  if (other) {
    const head = make("h2");
    head.tabIndex = -1;
    head.append(make("bdi", "", inFull(name)), make("span", "kind", `step ${step + 1} of ${steps.length}`));
    const before = button("\u2039 Previous", "g-plain", () => move(step - 1));
    const next = button("Next \u203a", "g-main", () => move(step + 1));
    before.disabled = step === 0;
    next.disabled = step === steps.length - 1;
    const bar = make("div", "g-bar");
    const back = button("Back to this step", "g-plain g-back", () => move(step));
    bar.append(before, next, back, button("Leave the tour", "g-plain g-end", () => go({ tour: null, step: null })));
    const progress = make("div", "g-progress");
    progress.setAttribute("aria-hidden", "true");
    progress.style.setProperty("--done", (step + 1) / steps.length);
    tourBar.replaceChildren(progress, head, make("p", "g-words", steps[step].text), bar);
    if (began !== undefined) head.focus({ preventScroll: true });
  }
  tourBar.querySelector(".g-back").hidden = steps[step].shelf === null || addressOf(stop(tour, step)) === addressOf(choice);
}

function move(step) {
  picks.clear(); // a step shows what it is about
  go(stop(choice.tour, step));
}
