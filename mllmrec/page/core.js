// What the page was told, and how elements are made. All data is text: nothing of it is ever
// parsed as HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs;
const ALL = RUNS.map((_, run) => run);
const isNarrow = () => innerWidth < 700;
const byId = (id) => document.getElementById(id);

/** An element: attributes by name (`class`, `on: {event: act}`), then children, text or elements, in lists or not. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, act] of Object.entries(value)) made.addEventListener(event, act);
    } else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A link only where it leads to the web: an address is data too, and could be a script. */
function link(url, text) {
  if (!/^https?:\/\//i.test(url ?? "")) return null;
  return el("a", { href: url, rel: "noopener noreferrer", target: "_blank" }, text);
}

function option(value, text, chosen) {
  return el("option", { value, selected: chosen }, text ?? String(value));
}

/** Fills a select; `choices` are values, or pairs of value and text. */
function fill(select, choices, chosen) {
  const pairs = choices.map((one) => (Array.isArray(one) ? one : [one, String(one)]));
  select.replaceChildren(...pairs.map(([value, text]) => option(value, text, value === chosen)));
  select.disabled = pairs.length < 2;
}

function picker(text, choices, chosen, act) {
  const select = el("select", { on: { change: () => act(select.value) } });
  fill(select, choices, chosen);
  return el("label", { class: "field" }, el("span", {}, text), select);
}

const unpackedParts = new Map();

/** What was packed under an id, as text; unpacked once. */
function unpacked(id) {
  if (!unpackedParts.has(id)) unpackedParts.set(id, unpack(byId(`packed-${id}`)));
  return unpackedParts.get(id);
}

async function unpack(element) {
  if (typeof DecompressionStream === "undefined")
    throw new Error("this browser cannot unpack it (DecompressionStream); a newer one can");
  const letters = atob(element.textContent);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
  element.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const told = new Map();

/** A packed part of the data, parsed once. */
function part(id) {
  if (!told.has(id)) told.set(id, unpacked(id).then(JSON.parse));
  return told.get(id);
}

/** Whether there is anything in a packed part: `[]` and `{}` take at most some 32 letters. */
const isPacked = (id) => byId(`packed-${id}`).textContent.length > 40;

/** Calls once after the last of many calls. */
function lately(act, milliseconds) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...args), milliseconds);
  };
}

async function copy(text, button) {
  const was = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl+C";
    const selection = getSelection();
    selection.selectAllChildren(button.parentElement.querySelector("code"));
  }
  setTimeout(() => { button.textContent = was; }, 1500);
}
