// The page of a gallery: built once, and then drawn anew from whatever its address says.

const explorer = make("div", "g-explorer");
const notice = make("div", "g-notice");
const name = make("bdi");

function build() {
  const header = make("header", "g-top");
  const home = make("a", "g-home");
  const logo = make("span", "g-logo");
  logo.setAttribute("aria-hidden", "true");
  home.href = "#";
  home.append(logo, name);
  header.append(home, make("span", "g-count", plural(shelves.reduce((sum, shelf) => sum + shelf.count, 0), "explanation")));
  notice.setAttribute("role", "alert");
  const main = make("main");
  main.id = "explanations";
  main.tabIndex = -1;
  const columns = make("div", "g-columns");
  columns.append(aside, panels);
  explorer.append(chooser, columns);
  main.append(notice, tourBar, front, explorer, news);
  const footer = make("footer", "", "Made with Interpreto. Nothing that you look at leaves your computer.");
  document.getElementById("gallery").replaceChildren(header, main, footer);
  document.body.append(tip, dialog);
  document.querySelector(".g-skip").addEventListener("click", (event) => {
    event.preventDefault();
    (choice.shelf ? subjectLine.querySelector("h1") : main).focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tip.hidden = true;
  });
}

function complain(wrong) {
  notice.hidden = !wrong.length;
  notice.replaceChildren();
  if (!wrong.length) return;
  const words = make("p", "", "This link names what is not here: ");
  for (const [k, [what, value]] of wrong.slice(0, 5).entries()) words.append(k ? ", " : "", what + " ", quoted(value, 60));
  words.append(choice.shelf ? ". You see what comes closest." : ". Choose below.");
  notice.append(words, button("Dismiss", "g-plain", () => (notice.hidden = true)));
}

function render() {
  const before = choice;
  const [next, wrong] = read(location.hash);
  const { shelf } = next;
  choice = next;
  if (before.shelf !== shelf || before.text !== next.text) picks.clear();
  complain(wrong);
  drawTour();
  front.hidden = shelf !== null || next.tour !== null;
  explorer.hidden = shelf === null;
  name.textContent = front.hidden ? inFull(title) : "Interpreto";
  if ((before.shelf === null) !== (shelf === null)) window.scrollTo(0, 0);
  if (!shelf) {
    look++;
    document.title = brief(title, 80);
    if (!front.hidden) drawExample();
    tell("");
    return;
  }
  document.title = `${next.methods.map((method) => brief(method, 40)).join(", ")} \u00b7 ${brief(shelf.model, 40)} \u00b7 ${brief(title, 80)}`;
  if (before.shelf !== shelf) drawChooser();
  showTexts();
  tellText();
  drawMethods();
  drawPanels();
}

drawFront();
buildTexts();
buildPanels();
buildSnippet();
build();
addEventListener("hashchange", render);
render();
performance.mark("gallery:ready");
