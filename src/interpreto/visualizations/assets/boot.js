// A page of figures, one below the other.
document.addEventListener("DOMContentLoaded", () => {
  const { figures } = JSON.parse(document.getElementById("data").textContent);
  const drawn = figures.map((figure, k) => views[figure.view](figure, figures.length > 1 ? k + 1 : null));
  document.getElementById("page").replaceChildren(make("h1", "unseen", document.title), ...drawn);
  document.body.append(tip);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tip.hidden = true;
  });
});
