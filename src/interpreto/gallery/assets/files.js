// Files are scripts beside the page that hand over their data: a page that was opened from a disk may load scripts, but
// not read files.

const KEPT = 60; // files in memory
const loaded = new Map(); // name -> promise of its data, the one used last at the end
const awaited = new Map(); // name -> what to do with its text

globalThis.arrived = (name, text) => {
  if (awaited.has(name)) awaited.get(name)(text);
};

function load(name) {
  const promise = loaded.get(name) || request(name);
  loaded.delete(name);
  loaded.set(name, promise);
  if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
  promise.catch(() => loaded.get(name) === promise && loaded.delete(name)); // it may be there the next time
  return promise;
}

function request(name) {
  return new Promise((resolve, reject) => {
    const script = make("script");
    const end = () => {
      awaited.delete(name);
      script.remove();
      reject(new Error(`the file data/${name}.js is missing or damaged`)); // does nothing where the data has arrived
    };
    awaited.set(name, (text) => resolve(JSON.parse(text)));
    script.addEventListener("load", end);
    script.addEventListener("error", end);
    script.src = `data/${name}.js`;
    document.head.append(script);
  });
}
