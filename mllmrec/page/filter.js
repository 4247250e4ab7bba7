// The one filter that table and charts obey: words that all must hold, `grpo.beta<=0.04 cot_prob=0.1`.

const WORD = /(?:[^\s"\\]|\\.|"(?:[^"\\]|\\.)*")+/g;
const TERM = /^([^<>=!~"]+)(<=|>=|!=|=|<|>|~)(.*)$/s;

/** How each of the names that a term may begin with is read. */
const NAMES = (() => {
  const found = new Map();
  for (const name of ["name", "state", "group", "id", "folder"])
    found.set(name, (run) => RUNS[run][name]);
  found.set("tag", (run) => RUNS[run].tags ?? []);
  for (const cost of Object.keys(COSTS))
    if (DATA.costs?.[cost]) found.set(cost, (run) => DATA.costs[cost][run]);
  for (const key of KEYS) found.set(key, (run) => meanOf(key, run));
  for (const { name, also, values: own } of DATA.knobs)
    for (const one of [...(also ?? []), name]) found.set(one, (run) => own[run]);
  found.set("metric", (run) => meanOf(state.key, run));
  found.set("difference", (run) => differenceOf(state.key, run)?.diff ?? null);
  found.set("verdict", (run) => differenceOf(state.key, run)?.verdict ?? null);
  return found;
})();

/** A name in full, or the end of just one: `beta` for grpo.beta. */
function resolve(name) {
  if (NAMES.has(name)) return name;
  const ends = [...NAMES.keys()].filter((full) => full.endsWith(`.${name}`));
  return ends.length === 1 ? ends[0] : null;
}

function parseQuery(query) {
  const terms = [];
  const faults = [];
  for (const [word] of query.matchAll(WORD)) {
    const [, name, sign, rest] = TERM.exec(word) ?? [];
    if (!sign) {
      const text = unquote(word).toLowerCase();
      terms.push({ word, holds: (run) => textOf(run).includes(text) });
      continue;
    }
    const full = resolve(name);
    if (full) terms.push({ word, name: full, holds: test(NAMES.get(full), sign, unquote(rest)) });
    else faults.push(`${name} is no knob and no metric here; it is passed over`);
  }
  return { terms, fault: faults.join("; ") };
}

const unquote = (word) => word.replace(/"((?:[^"\\]|\\.)*)"|\\(.)/g, (_, inside, one) =>
  one ?? inside.replace(/\\(.)/g, "$1"));

/** A value as a word of the filter that `unquote` gives back. */
function quote(text) {
  return /^[\w.@/:+-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function test(read, sign, text) {
  const number = text.trim() === "" ? NaN : Number(text);
  const choices = [text, ...text.split("|")].map((one) => one.toLowerCase());
  const equals = (value) => {
    if (Array.isArray(value) && value.some((one) => choices.includes(said(one).toLowerCase()))) return true;
    if (choices.includes(said(value).toLowerCase())) return true;
    return value === null || value === undefined ? choices.includes("null")
      : isNumber(value) && choices.some((one) => one.trim() !== "" && Number(one) === value);
  };
  const tests = {
    "=": equals,
    "!=": (value) => !equals(value),
    "~": (value) => said(value).toLowerCase().includes(text.toLowerCase()),
    "<": (value) => isNumber(value) && value < number,
    ">": (value) => isNumber(value) && value > number,
    "<=": (value) => isNumber(value) && value <= number,
    ">=": (value) => isNumber(value) && value >= number,
  };
  return (run) => tests[sign](read(run));
}

const texts = new Map();

/** All that a bare word is looked for in. */
function textOf(run) {
  if (!texts.has(run)) {
    const { name, id, folder, state: ended, group, tags } = RUNS[run];
    const knobs = [...KNOBS].map(([knob, own]) => `${knob}=${said(own[run])}`);
    texts.set(run, [name, id, folder, ended, group, ...(tags ?? []), ...knobs].join("\n").toLowerCase());
  }
  return texts.get(run);
}

/** Puts terms in the filter, each in place of what it said of the same name before. */
function setTerms(words) {
  const named = new Set(words.map((word) => TERM.exec(word)?.[1]));
  const kept = now.terms.filter((term) => !named.has(term.name)).map((term) => term.word);
  setQuery([...kept, ...words].join(" "));
}

function dropTerms(names) {
  setQuery(now.terms.filter((term) => !names.includes(term.name)).map((term) => term.word).join(" "));
}

function setQuery(query) {
  byId("query").value = query;
  update({ query });
}
