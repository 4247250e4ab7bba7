// Numbers and names as people read them.

const NONE = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** An override with a name for its value, as it is typed in a shell: comparison/run.py has the same. */
function inShell(knob, name) {
  const word = `${knob}=${/^([A-Za-z_][\w./-]*|0|[1-9]\d*)$/.test(name) ? name : `"${name.replace(/"/g, '\\"')}"`}`;
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'"'"'`)}'`;
}

/** A knob's value, as it would be typed. */
function said(value) {
  if (value === null || value === undefined) return NONE;
  if (isNumber(value) && value !== 0 && Math.abs(value) < 1e-3) return value.toExponential();
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const score = (value) =>
  !isNumber(value) ? NONE
    : (value < 0 ? "−" : "") + (Math.abs(value) < 10 ? Math.abs(value).toFixed(4)
      : Math.abs(value).toLocaleString("en", { maximumFractionDigits: 1 }));

const signed = (value) => (value < 0 ? "−" : "+") + score(Math.abs(value));

function seconds(value) {
  if (!isNumber(value)) return NONE;
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  const minutes = Math.round(value / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

function scaled(value, base, units) {
  if (!isNumber(value)) return NONE;
  let unit = 0;
  let left = value;
  while (Math.abs(left) >= base && unit < units.length - 1) {
    left /= base;
    unit += 1;
  }
  return `${left >= 100 || unit === 0 ? Math.round(left) : left.toFixed(1)} ${units[unit]}`.trim();
}

const bytes = (value) => scaled(value, 1000, ["B", "kB", "MB", "GB", "TB"]);
const tokens = (value) => scaled(value, 1000, ["", "k", "M", "G", "T"]);
const counted = (number, noun) =>
  `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

const TIMES = [[3600, "h"], [60, "min"], [1, "s"]]; // seconds in each, the largest first
const COSTS = {
  seconds: { title: "Time", about: "wall time of the launch", say: seconds, units: TIMES },
  built_seconds: {
    title: "Built", about: "time of all steps that it stands on, reused or not", say: seconds, units: TIMES,
  },
  tokens: { title: "Tokens", about: "tokens trained on", say: tokens, units: [[1e6, "million"], [1e3, "thousand"], [1, ""]] },
  gpu_memory: { title: "GPU memory", about: "peak of a GPU's memory", say: bytes, units: [[1e9, "GB"], [1e6, "MB"], [1, "B"]] },
  memory: { title: "Memory", about: "peak of main memory", say: bytes, units: [[1e9, "GB"], [1e6, "MB"], [1, "B"]] },
};

const PROPER = { hr: "HR", ndcg: "NDCG", mrr: "MRR" };

/** `hr@5` → HR@5 */
function metricName(metric) {
  const [name, k] = metric.split("@");
  return (PROPER[name] ?? name) + (k ? `@${k}` : "");
}

/** A key of a value: policy/protocol/metric. */
function split(key) {
  const words = key.split("/");
  return {
    policy: words[0],
    protocol: words.slice(1, -1).join("/"),
    metric: words.length > 1 ? words.at(-1) : "",
  };
}

function keyName(key) {
  const { policy, protocol, metric } = split(key);
  return [policy, protocol, metricName(metric)].filter(Boolean).join(" · ");
}

/** Numbers by size, then text, then what is missing, whichever way the order goes. */
function compare(one, other, isUp) {
  const rank = (value) =>
    value === null || value === undefined || value === "" ? 2 : isNumber(value) ? 0 : 1;
  const [first, second] = [rank(one), rank(other)];
  if (first === 2 || second === 2) return first - second;
  if (first !== second) return isUp ? first - second : second - first;
  const found = first === 0 ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
  return isUp ? found : -found;
}

/** A number in few places, for the ends of an axis. */
const brief = (value, places = 3) => said(Number(value.toPrecision(places)));

const shorten = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!isNumber(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
