// In a notebook: a plot's page is put together from its own data and from the code that one output carries for all.
// An output may be drawn before the one with the code, or without it: then it shows its text, and waits.
(() => {
  const shared = (window.interpretoPlots1 ||= { code: new Map(), waiting: new Set() });
  const read = (box, name) => {
    const block = box.querySelector(`script[data-${name}]`);
    return block && block.textContent;
  };
  for (const box of document.querySelectorAll(".interpreto-plot:not([data-met])")) {
    box.dataset.met = "";
    for (const [name, code] of Object.entries(JSON.parse(read(box, "code") || "{}"))) shared.code.set(name, code);
    shared.waiting.add(box);
  }
  for (const box of shared.waiting) {
    const { title, height, page } = JSON.parse(read(box, "page"));
    if (!page.every((part) => typeof part === "string" || !part.code || shared.code.has(part.code))) continue;
    const frame = document.createElement("iframe");
    frame.title = title;
    frame.setAttribute("sandbox", "allow-scripts");
    frame.width = "100%";
    frame.height = height;
    frame.style.cssText = "border:0;resize:vertical";
    const data = read(box, "data");
    frame.srcdoc = page.map((part) => (typeof part === "string" ? part : part.code ? shared.code.get(part.code) : data)).join("");
    shared.waiting.delete(box);
    box.replaceChildren(frame);
  }
})();
