// The bar above all: metric, reference, filter; and the theme, the columns, the keys.

function makeControls() {
  for (const id of ["policy", "protocol", "metric"]) byId(id).addEventListener("change", chooseKey);
  const references = RUNS.map((run, at) => [String(at), run.name]);
  fill(byId("reference"), [["", "none"], ...references], String(state.reference ?? ""));
  byId("reference").addEventListener("change", (event) =>
    update({ reference: event.target.value === "" ? null : Number(event.target.value) }));
  const query = byId("query");
  query.placeholder = exampleQuery();
  query.value = state.query;
  query.addEventListener("input", lately(() => update({ query: query.value }), 80));
  byId("add-filter").addEventListener("click", openFilters);
  byId("help-button").addEventListener("click", openHelp);
  byId("theme-button").addEventListener("click", changeTheme);
  document.addEventListener("keydown", onPageKey);
  addEventListener("hashchange", () => {
    recall();
    setQuery(state.query);
  });
  listen(drawControls);
  drawControls();
  sayTheme();
}

function exampleQuery() {
  const [name, own] = [...KNOBS].find(([, values]) => values.some(isNumber)) ?? [];
  return name ? `${name}=${said(own.find(isNumber))} or any word` : "any word";
}

/** The three lists of what a key is made of; only what is there can be chosen. */
function drawControls() {
  const chosen = split(state.key);
  const parts = KEYS.map(split);
  const list = (name, keep) => [...new Set(parts.filter(keep).map((one) => one[name]))];
  fill(byId("policy"), list("policy", () => true), chosen.policy);
  fill(byId("protocol"), list("protocol", (one) => one.policy === chosen.policy), chosen.protocol);
  const near = (one) => one.policy === chosen.policy && one.protocol === chosen.protocol;
  fill(byId("metric"), list("metric", near).map((name) => [name, metricName(name)]), chosen.metric);
  byId("reference").value = String(state.reference ?? "");
  byId("count").textContent = now.rows.length === RUNS.length ? counted(RUNS.length, "run")
    : `${now.rows.length.toLocaleString("en")} of ${counted(RUNS.length, "run")}`;
  byId("query-fault").textContent = now.fault;
  byId("query").setAttribute("aria-invalid", String(Boolean(now.fault)));
  byId("terms").replaceChildren(...now.terms.map((term) => el("button", {
    type: "button", class: "term", "aria-label": `remove ${term.word} from the filter`,
    on: { click: () => setQuery(now.terms.filter((one) => one !== term).map((one) => one.word).join(" ")) },
  }, term.word, el("span", { "aria-hidden": "true" }, " ×"))));
}

/** The chosen policy, protocol and metric; where not all three go together, the nearest that do. */
function chooseKey() {
  const wanted = { policy: byId("policy").value, protocol: byId("protocol").value, metric: byId("metric").value };
  const fits = (key, names) => names.every((name) => split(key)[name] === wanted[name]);
  const tries = [["policy", "protocol", "metric"], ["policy", "protocol"], ["policy", "metric"], ["policy"]];
  const found = tries.map((names) => KEYS.find((key) => fits(key, names))).find(Boolean);
  if (found) update({ key: found });
}

const isDark = () => document.documentElement.dataset.theme === "dark"
  || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

function sayTheme() {
  const button = byId("theme-button");
  button.textContent = isDark() ? "Light" : "Dark";
  button.setAttribute("aria-label", `Change to the ${isDark() ? "light" : "dark"} theme`);
}

function changeTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("mllmrec-theme", theme);
  } catch { /* a browser that keeps nothing for files */ }
  sayTheme();
  update({ theme });
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  sayTheme();
  update({ theme: null });
});

function onPageKey(event) {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || byId("dialog").open) return;
  if (event.key === "/") byId("query").focus();
  else if (event.key === "t") changeTheme();
  else if (event.key === "?") openHelp();
  else return;
  event.preventDefault();
}

/** A dialog with a title, its contents and a way out; the keyboard stays in it while it is open. */
function openDialog(title, ...contents) {
  const dialog = byId("dialog");
  const close = el("button", { type: "button", class: "plain", on: { click: () => dialog.close() } }, "Close");
  dialog.replaceChildren(
    el("div", { class: "dialog-head" }, el("h2", { id: "dialog-title" }, title), close),
    el("div", { class: "dialog-body" }, contents));
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
  // Back to where the keyboard was: a cell of the table may have been made anew meanwhile.
  dialog.onclose = () => { if (document.activeElement === document.body) focusActive(); };
  if (dialog.open) close.focus();
  else dialog.showModal();
}

function openHelp() {
  const keys = [
    ["Tab", "from control to control; the table is one stop"], ["Arrows, Page, Home, End", "move in the table"],
    ["Enter", "open a run; on a heading, sort"], ["Space", "tick a run, so that charts draw it"],
    ["/", "to the filter"], ["t", "light or dark"], ["?", "these lines"], ["Esc", "close"],
  ];
  const filters = [
    ["cot_prob=0.1", "a knob's value"], ["cot_prob=0|0.1", "one of several"], ["beta<=0.04", "a bound; the end of a name will do"],
    ["metric>0.4", "the metric that is chosen"], ["verdict=above", "by the test against the reference"],
    ["state!=finished", "also name, group, tag, id, seconds"], ["\"two words\"", "text anywhere in name, tags and knobs"],
  ];
  const lines = (pairs) => el("dl", { class: "pairs" }, pairs.map(([key, words]) =>
    [el("dt", {}, el("kbd", {}, key)), el("dd", {}, words)]));
  openDialog("Keys and filters", el("h3", {}, "Keys"), lines(keys), el("h3", {}, "Filter: all words must hold"), lines(filters));
}
