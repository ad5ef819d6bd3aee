// Small things of the whole gallery.

function button(words, className, act) {
  const node = make("button", className, words);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

// A text of the data within a line of ours.
const quoted = (text, length) => make("bdi", "", brief(text, length));

// A name or title as it is, unless it is absurdly long.
const inFull = (text) => (text.length > 300 ? brief(text, 120) : text);

// Over a row of choices; those who listen hear the name of the row itself.
function caption(words) {
  const node = make("span", "g-label", words);
  node.setAttribute("aria-hidden", "true");
  return node;
}
