// Dialogs: all of one run, the columns, filters by knob.

function openRun(run) {
  const { name, folder, id, url, state: ended, began, group, tags, command } = RUNS[run];
  const facts = [["State", ended], ["Began", began?.replace("T", " ")], ["Group", group], ["Tags", (tags ?? []).join(", ")],
    ["Id", id], ["Folder", folder], ...Object.entries(COSTS).filter(([cost]) => isNumber(DATA.costs?.[cost]?.[run]))
      .map(([cost, { title, say }]) => [title, say(DATA.costs[cost][run])])].filter(([, value]) => value);
  const copyButton = el("button", { type: "button" }, "Copy");
  copyButton.addEventListener("click", () => copy(command, copyButton));
  const isTicked = state.ticked.includes(run);
  openDialog(name,
    el("p", { class: "row" },
      el("button", { type: "button", on: { click: () => { toggle(run); openRun(run); } } }, isTicked ? "Untick" : "Tick: draw in charts"),
      el("button", { type: "button", disabled: run === state.reference, on: { click: () => { update({ reference: run }); openRun(run); } } },
        run === state.reference ? "This is the reference" : "Make it the reference"),
      link(url, "Open in W&B")),
    command ? el("div", { class: "command" }, el("code", {}, command), copyButton) : null,
    el("dl", { class: "pairs" }, facts.map(([key, value]) => [el("dt", {}, key), el("dd", {}, value)])),
    el("h3", {}, "Results"), resultTable(run),
    el("h3", {}, "Knobs that differ"), knobList([...KNOBS].map(([knob, own]) => [knob, own[run]])),
    el("h3", {}, "The same in all runs"), knobList(Object.entries(DATA.same ?? {})));
}

function knobList(pairs) {
  if (!pairs.length) return el("p", { class: "quiet" }, "None.");
  return el("dl", { class: "pairs knobs" }, pairs.map(([knob, value]) => [el("dt", {}, knob), el("dd", {}, said(value))]));
}

function resultTable(run) {
  const keys = KEYS.filter((key) => isNumber(meanOf(key, run)));
  if (!keys.length) return el("p", { class: "quiet" }, "This run evaluated nothing.");
  const line = (key) => {
    const ends = intervalOf(key, run);
    const found = differenceOf(key, run);
    return el("tr", {}, el("th", { scope: "row" }, keyName(key)), el("td", { class: "right" }, score(meanOf(key, run))),
      el("td", { class: "right quiet" }, ends ? `${score(ends[0])} to ${score(ends[1])}` : ""),
      el("td", { class: "right" }, found ? diffCell(found, run) : ""));
  };
  const heads = ["Metric", "Mean", "95 % interval", "Difference"];
  return el("div", { class: "flow" }, el("table", { class: "simple" },
    el("thead", {}, el("tr", {}, heads.map((text, at) => el("th", { scope: "col", class: at ? "right" : "" }, text)))),
    el("tbody", {}, keys.map(line))));
}

function openColumns() {
  const has = new Set(columns().map((column) => column.id));
  const change = (id, isOn) => {
    const kept = columns().map((column) => column.id).filter((one) => one !== id);
    update({ columns: isOn ? [...kept, id] : kept });
  };
  const box = (id) => el("label", { class: "choice" }, el("input", {
    type: "checkbox", checked: has.has(id), on: { change: (event) => change(id, event.target.checked) },
  }), id.startsWith("value:") ? keyName(id.slice(6)) : columnOf(id).title);
  const find = el("input", { type: "search", "aria-label": "find a column", placeholder: "find a column" });
  const lists = Object.entries(choices()).filter(([, ids]) => ids.length).map(([heading, ids]) =>
    el("fieldset", {}, el("legend", {}, heading), el("div", { class: "grid-of-choices" }, ids.map(box))));
  find.addEventListener("input", () => {
    for (const label of byId("dialog").querySelectorAll(".choice"))
      label.hidden = !label.textContent.toLowerCase().includes(find.value.toLowerCase());
  });
  openDialog("Columns", el("p", { class: "row" }, find, el("button", { type: "button",
    on: { click: () => { update({ columns: null }); openColumns(); } } }, "As they were")), lists);
}

/** A knob's values to tick, or bounds where it has many. */
function openFilters() {
  const knobs = [...KNOBS].map(([name, own]) => [name, own, distinct(own)]);
  const body = knobs.map(([name, own, found]) =>
    el("fieldset", {}, el("legend", {}, name), found.length > 12 && own.every((value) => value === null || isNumber(value))
      ? bounds(name, found) : ticks(name, found)));
  openDialog("Filter by knob", body.length ? body : el("p", {}, "No knob differs between these runs."),
    el("p", { class: "row" }, el("button", { type: "button", on: { click: () => { setQuery(""); openFilters(); } } }, "Show all runs")));
}

const distinct = (own) => [...new Map(own.map((value) => [said(value), value])).values()]
  .sort((one, other) => compare(one, other, true));

function wordsOf(name) {
  return now.terms.filter((term) => term.name === name).map((term) => term.word);
}

function ticks(name, found) {
  const term = now.terms.find((one) => one.name === name);
  const own = KNOBS.get(name);
  const isIn = (value) => !term || term.holds(own.findIndex((one) => said(one) === said(value)));
  const boxes = found.slice(0, 60).map((value) => el("label", { class: "choice" },
    el("input", { type: "checkbox", checked: isIn(value), value: value === null ? "null" : said(value), on: { change: apply } }), said(value)));
  function apply() {
    const on = boxes.map((box) => box.querySelector("input")).filter((input) => input.checked).map((input) => input.value);
    if (on.length === boxes.length) dropTerms([name]);
    else setTerms([`${name}=${quote(on.join("|")).replace(/^""$/, "\"\"")}`]);
  }
  return el("div", { class: "grid-of-choices" }, boxes);
}

function bounds(name, found) {
  const numbers = found.filter(isNumber);
  const input = (sign, text, usual) => {
    const word = wordsOf(name).find((one) => one.startsWith(name + sign));
    return el("label", { class: "field" }, el("span", {}, text), el("input", {
      type: "number", step: "any", placeholder: String(usual), value: word ? word.slice(name.length + sign.length) : "",
      "data-sign": sign, on: { change: apply },
    }));
  };
  const both = [input(">=", "from", numbers[0]), input("<=", "to", numbers.at(-1))];
  function apply() {
    const words = both.map((label) => label.querySelector("input")).filter((one) => one.value !== "")
      .map((one) => `${name}${one.dataset.sign}${one.value}`);
    dropTerms([name]);
    if (words.length) setTerms(words);
  }
  return el("div", { class: "row" }, both);
}
