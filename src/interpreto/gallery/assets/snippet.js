// The program that makes an explanation, to read and to copy.

const dialog = make("dialog", "g-snippet");
const subject = make("h2");
const code = make("code");
const copied = make("span", "g-copied");
const KINDS = ["g-comment", "g-string", "g-keyword", "g-number"];
const TOKENS = new RegExp([
  "(#.*)",
  `("""[^]*?"""|'''[^]*?'''|"(?:\\\\.|[^"\\\\\\n])*"|'(?:\\\\.|[^'\\\\\\n])*')`,
  "\\b(import|from|as|for|in|if|else|not|and|or|def|return|with|lambda|class|True|False|None)\\b",
  "\\b(\\d[\\d_.]*(?:e-?\\d+)?)\\b",
].join("|"), "g");

function buildSnippet() {
  subject.id = "snippet";
  dialog.setAttribute("aria-labelledby", subject.id);
  const program = make("pre");
  program.tabIndex = 0; // it scrolls
  program.setAttribute("role", "region");
  program.setAttribute("aria-label", "Program");
  program.append(code);
  copied.setAttribute("role", "status");
  const bar = make("div", "g-bar");
  bar.append(button("Copy", "g-main", copy), copied, button("Close", "g-plain g-end", () => dialog.close()));
  dialog.append(subject, make("p", "hint", "A complete program: run it with Python where Interpreto is installed."), program, bar);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the ground beside the box
  });
}

function openSnippet(method, program) {
  subject.replaceChildren("How to make this: ", quoted(method, 80));
  copied.textContent = "";
  code.replaceChildren(...coloured(program));
  dialog.showModal();
  dialog.querySelector(".g-main").focus();
}

function coloured(program) {
  if (program.length > 20000) return [program];
  const nodes = [];
  let at = 0;
  for (const match of program.matchAll(TOKENS)) {
    nodes.push(program.slice(at, match.index), make("span", KINDS[match.slice(1).findIndex(Boolean)], match[0]));
    at = match.index + match[0].length;
  }
  return [...nodes, program.slice(at)];
}

async function copy() {
  try {
    await navigator.clipboard.writeText(code.textContent);
    copied.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(code); // no permission, or a server without a certificate
    copied.textContent = document.execCommand("copy") ? "Copied." : "Selected: copy it with Ctrl+C or \u2318C.";
  }
}
