// What is chosen, what follows from it, and who must know. The address keeps it.

const KEYS = Object.keys(DATA.values);
const KNOBS = new Map(DATA.knobs.map((knob) => [knob.name, knob.values]));
const MOST_COLOURS = 8;

const atFirst = () => ({
  key: KEYS.includes(DATA.primary) ? DATA.primary : KEYS[0] ?? "",
  query: "",
  sort: null, // {by: id of a column, isUp}; null: by the metric, best first
  reference: DATA.reference,
  ticked: [],
  columns: null, // ids; null: those that fit what is chosen
});
const state = atFirst();

// What follows from the state; made anew by `derive`.
const now = { rows: ALL, shown: [], fault: "", terms: [] };
const listeners = [];

/** Calls `act(changed)` after every change; `changed` are the names of what did. */
const listen = (act) => listeners.push(act);

function update(change) {
  Object.assign(state, change);
  derive();
  keep();
  for (const act of listeners) act(new Set(Object.keys(change)));
}

function derive() {
  const { terms, fault } = parseQuery(state.query);
  Object.assign(now, { terms, fault });
  now.rows = ordered(ALL.filter((run) => terms.every((term) => term.holds(run))));
  const passed = new Set(now.rows);
  const ticked = state.ticked.filter((run) => passed.has(run));
  now.shown = (ticked.length ? ticked : now.rows.slice(0, 6)).slice(0, MOST_COLOURS);
}

function ordered(rows) {
  const { by, isUp } = state.sort ?? { by: "metric", isUp: false };
  const value = columnOf(by)?.value ?? (() => null);
  const values = new Map(rows.map((run) => [run, value(run)]));
  return [...rows].sort((a, b) => compare(values.get(a), values.get(b), isUp) || a - b);
}

const values = (key) => DATA.values[key] ?? { mean: [], low: [], high: [], n: [] };
const meanOf = (key, run) => values(key).mean[run] ?? null;

function intervalOf(key, run) {
  const { low, high } = values(key);
  return isNumber(low?.[run]) && isNumber(high?.[run]) ? [low[run], high[run]] : null;
}

/** How a run differs from the reference that is chosen; tests are there for the built-in one. */
function differenceOf(key, run) {
  if (state.reference === null || run === state.reference) return null;
  const tests = DATA.tests?.[key];
  if (state.reference === DATA.reference && tests && isNumber(tests.diff[run])) {
    const at = (name) => tests[name]?.[run] ?? null;
    const found = { diff: at("diff"), low: at("low"), high: at("high"), p: at("p"), holm: at("holm") };
    return { ...found, verdict: verdictOf(found) };
  }
  const [ours, theirs] = [meanOf(key, run), meanOf(key, state.reference)];
  if (!isNumber(ours) || !isNumber(theirs)) return null;
  return { diff: ours - theirs, low: null, high: null, p: null, holm: null, verdict: "untested" };
}

function verdictOf({ diff, low, high, holm }) {
  const isTold = isNumber(holm) ? holm < 0.05 : isNumber(low) && (low > 0 || high < 0);
  return !isTold ? "even" : diff > 0 ? "above" : "below";
}

const SIGNS = {
  above: { sign: "▲", words: "above the reference", symbol: "triangle-up" },
  below: { sign: "▼", words: "below the reference", symbol: "triangle-down" },
  even: { sign: "≈", words: "not distinguishable from the reference", symbol: "circle" },
  untested: { sign: "", words: "not tested against this reference", symbol: "circle" },
};

/** What a run goes by in the address; one that W&B does not know has its place only. */
const idOf = (run) => String(RUNS[run].id ?? `at${run}`);

/** The address's end, by which a choice is kept and handed on. */
function keep() {
  const told = new URLSearchParams();
  if (state.key !== DATA.primary) told.set("metric", state.key);
  if (state.query) told.set("filter", state.query);
  if (state.sort) told.set("sort", (state.sort.isUp ? "" : "-") + state.sort.by);
  if (state.reference !== DATA.reference) told.set("reference", RUNS[state.reference] ? idOf(state.reference) : "none");
  if (state.ticked.length) told.set("runs", state.ticked.map(idOf).join(","));
  if (state.columns) told.set("columns", state.columns.join("|"));
  try {
    history.replaceState(null, "", `#${told}`);
  } catch { /* an embedded page may not */ }
}

/** What the address says, all else as at first; what it names and is not there is passed over. */
function recall() {
  const told = new URLSearchParams(location.hash.slice(1));
  Object.assign(state, atFirst());
  const named = new Map(ALL.map((run) => [idOf(run), run]));
  if (KEYS.includes(told.get("metric"))) state.key = told.get("metric");
  state.query = told.get("filter") ?? "";
  const sort = told.get("sort");
  if (sort) state.sort = { by: sort.replace(/^-/, ""), isUp: !sort.startsWith("-") };
  if (told.has("reference")) state.reference = named.get(told.get("reference")) ?? null;
  state.ticked = (told.get("runs") ?? "").split(",").filter((id) => named.has(id)).map((id) => named.get(id));
  if (told.has("columns")) state.columns = told.get("columns").split("|");
}
