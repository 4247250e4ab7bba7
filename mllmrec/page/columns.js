// The columns that the table can have: what they are called, read and sorted by, and how a cell looks.

const TEXTS = {
  state: "State", group: "Group", tags: "Tags", began: "Began", id: "Id", folder: "Folder",
};

/** A column by its id: `name`, `metric`, `diff`, `run:state`, `knob:cot_prob`, `value:KEY`, `cost:tokens`. */
function columnOf(id) {
  const [kind, name] = [id.split(":")[0], id.slice(id.indexOf(":") + 1)];
  const makers = { name: nameColumn, metric: () => valueColumn(state.key, "metric"), diff: diffColumn };
  if (makers[id]) return makers[id]();
  if (kind === "run" && name in TEXTS) return textColumn(name);
  if (kind === "knob" && KNOBS.has(name)) return knobColumn(name);
  if (kind === "value" && DATA.values[name]) return valueColumn(name, id);
  if (kind === "cost" && DATA.costs?.[name]) return costColumn(name);
  return null;
}

function nameColumn() {
  return {
    id: "name", title: "Run", about: "name of the run", value: (run) => RUNS[run].name,
    text: (run) => RUNS[run].name, least: 140, most: 320,
  };
}

function textColumn(name) {
  const read = (run) => (name === "tags" ? (RUNS[run].tags ?? []).join(", ") : RUNS[run][name] ?? "");
  const text = (run) => (name === "began" ? read(run).replace("T", " ").slice(0, 16) : read(run)) || NONE;
  return { id: `run:${name}`, title: TEXTS[name], about: name, value: read, text, least: 60, most: 220 };
}

// The other names of knobs that always have the same value: one that is typed sets several.
const ALSO = new Map(DATA.knobs.map(({ name, also }) => [name, also]));

function knobColumn(name) {
  const own = KNOBS.get(name);
  const isRight = own.every((value) => value === null || isNumber(value));
  return {
    id: `knob:${name}`, title: name, about: ["knob", ...(ALSO.get(name) ?? [])].join(", also "), isRight,
    value: (run) => (own[run] !== null && typeof own[run] === "object" ? said(own[run]) : own[run] ?? null),
    text: (run) => said(own[run]), least: 56, most: 200,
  };
}

function valueColumn(key, id) {
  const isMain = id === "metric";
  return {
    id, key, title: isMain || split(key).policy !== split(state.key).policy
      || split(key).protocol !== split(state.key).protocol ? keyName(key) : metricName(split(key).metric),
    about: `mean of ${keyName(key)} with half of its 95 % interval`, isRight: true, bestIsHigh: true,
    value: (run) => meanOf(key, run),
    text: (run) => scoreWithHalf(key, run),
    cell: (run) => valueCell(key, run, isMain), least: isMain ? 226 : 128, most: isMain ? 260 : 200,
  };
}

function scoreWithHalf(key, run) {
  const ends = intervalOf(key, run);
  return score(meanOf(key, run)) + (ends ? ` ±${score((ends[1] - ends[0]) / 2)}` : "");
}

/** The number, half of its interval, and for the chosen metric both as a picture. */
function valueCell(key, run, isMain) {
  const value = meanOf(key, run);
  if (!isNumber(value)) return [el("span", { class: "quiet" }, NONE)];
  const ends = intervalOf(key, run);
  const parts = [el("span", { class: "score" }, score(value))];
  if (ends) parts.push(el("span", { class: "half" }, ` ±${score((ends[1] - ends[0]) / 2)}`));
  if (isMain) parts.unshift(whisker(key, run, value, ends));
  return parts;
}

const scales = new Map();

/** The range of a key over all runs, intervals included. */
function scaleOf(key) {
  if (!scales.has(key)) {
    const { mean: means, low, high } = values(key);
    scales.set(key, extent([...means, ...(low ?? []), ...(high ?? [])]) ?? [0, 1]);
  }
  return scales.get(key);
}

function whisker(key, run, value, ends) {
  const [low, high] = scaleOf(key);
  const width = 84;
  const x = (one) => 4 + ((one - low) / (high - low || 1)) * (width - 8);
  const made = svg("svg", { class: "whisker", width, height: 16, "aria-hidden": "true" });
  const against = state.reference === null ? null : meanOf(key, state.reference);
  if (isNumber(against))
    made.append(svg("line", { class: "at-reference", x1: x(against), x2: x(against), y1: 0, y2: 16 }));
  if (ends) made.append(svg("line", { class: "span", x1: x(ends[0]), x2: x(ends[1]), y1: 8, y2: 8 }));
  const verdict = differenceOf(key, run)?.verdict ?? "reference";
  made.append(svg("circle", { class: `dot ${verdict}`, cx: x(value), cy: 8, r: 3.5 }));
  return made;
}

function diffColumn() {
  const read = (run) => differenceOf(state.key, run);
  return {
    id: "diff", title: "Difference", isRight: true, bestIsHigh: true,
    about: `difference of ${keyName(state.key)} from the reference, paired by sample`,
    value: (run) => read(run)?.diff ?? null,
    text: (run) => (read(run) ? `${signed(read(run).diff)} ${SIGNS[read(run).verdict].sign}`
      : run === state.reference ? "reference" : NONE),
    cell: (run) => diffCell(read(run), run), least: 118, most: 160,
  };
}

function diffCell(found, run) {
  if (!found) return [el("span", { class: "quiet" }, run === state.reference ? "reference" : NONE)];
  const { sign, words } = SIGNS[found.verdict];
  return [el("span", { class: `diff ${found.verdict}`, title: diffTold(found) },
    el("span", {}, signed(found.diff)), el("span", { class: "sign", "aria-hidden": "true" }, sign),
    el("span", { class: "unseen" }, `, ${words}`))];
}

function diffTold(found) {
  const told = [`${signed(found.diff)}: ${SIGNS[found.verdict].words}`];
  if (isNumber(found.low)) told.push(`95 % interval ${signed(found.low)} to ${signed(found.high)}`);
  if (isNumber(found.p)) told.push(`p ${pValue(found.p)}`);
  if (isNumber(found.holm)) told.push(`Holm-corrected ${pValue(found.holm)}`);
  return told.join(", ");
}

const pValue = (p) => (p < 0.0001 ? "< 0.0001" : p.toPrecision(2));

function costColumn(name) {
  const { title, about, say } = COSTS[name];
  return {
    id: `cost:${name}`, title, about, isRight: true, value: (run) => DATA.costs[name][run],
    text: (run) => say(DATA.costs[name][run]), least: 76, most: 130,
  };
}

/** All that can be picked, by heading. */
function choices() {
  const costs = Object.keys(COSTS).filter((name) => DATA.costs?.[name]?.some(isNumber));
  return {
    Run: Object.keys(TEXTS).map((name) => `run:${name}`),
    Knobs: [...KNOBS.keys()].map((name) => `knob:${name}`),
    Results: KEYS.map((key) => `value:${key}`),
    Costs: costs.map((name) => `cost:${name}`),
  };
}

/** Those shown when none were picked: the first knobs, the metric's neighbours, the state if it tells. */
function usual() {
  const { policy, protocol } = split(state.key);
  const near = KEYS.filter((key) => key !== state.key
    && split(key).policy === policy && split(key).protocol === protocol).slice(0, 3);
  const tells = new Set(RUNS.map((run) => run.state)).size > 1 ? ["run:state"] : [];
  const all = choices();
  return [...tells, ...all.Knobs.slice(0, 8), ...near.map((key) => `value:${key}`), ...all.Costs.slice(0, 1)];
}

function columns() {
  const fixed = ["name", "metric", ...(state.reference === null ? [] : ["diff"])];
  const picked = (state.columns ?? usual()).filter((id) => !fixed.includes(id));
  return [...fixed, ...picked].map(columnOf).filter(Boolean);
}
