// The metric over one or two knobs: dots over one, a heat map over two.

const chosenKnobs = { x: null, y: null };
const CHANCE = new Set(["seed", "threads"]); // differ between runs, and are nobody's question
const MANY = 12; // numbers of more values than that are put in as many bins

/** `sft.cot_prob` or `cot_prob` by `grpo.beta` where they differ, as people ask for these first. */
function usualKnobs() {
  const names = [...KNOBS.keys()].filter((name) => distinct(KNOBS.get(name)).length > 1);
  const first = (ends) => ends.map((end) => names.find((name) => name === end || name.endsWith(`.${end}`))).find(Boolean);
  const x = first(["cot_prob"]) ?? names.find((name) => !name.endsWith("beta") && !CHANCE.has(name)) ?? names[0];
  const y = first(["grpo.beta", "beta"]) ?? names.find((name) => name !== x && !CHANCE.has(name));
  return { x, y: y === x ? names.find((name) => name !== x) ?? "" : y ?? "" };
}

function makeKnobs(section) {
  Object.assign(chosenKnobs, usualKnobs());
  const names = [...KNOBS.keys()];
  const choose = (side) => (name) => {
    chosenKnobs[side] = name;
    refresh(one);
  };
  section.append(el("div", { class: "row" }, picker("Across", names, chosenKnobs.x, choose("x")),
    picker("Upwards", [["", "nothing: dots"], ...names], chosenKnobs.y, choose("y")),
    el("span", { class: "quiet" }, "A click on a cell filters by it.")));
  const one = chart(section, drawKnobs, { act: clickKnobs });
}

/** The places of a knob along an axis: its values, or bins of them, each with the runs in it. */
function places(name, rows) {
  const own = KNOBS.get(name);
  const found = distinct(rows.map((run) => own[run]));
  const isMany = found.length > MANY && found.every((value) => value === null || isNumber(value));
  if (!isMany) return found.map((value) => ({
    label: said(value), terms: [`${name}=${value === null ? "null" : quote(said(value))}`], has: (run) => said(own[run]) === said(value),
  }));
  // Bins hold as many values each, as what is searched is as often spread by its logarithm.
  const numbers = found.filter(isNumber);
  const edges = Array.from({ length: 9 }, (_, at) => numbers[Math.round((at / 8) * (numbers.length - 1))]);
  return edges.slice(0, -1).map((from, at) => {
    const [to, isLast] = [edges[at + 1], at === 7];
    return {
      label: `${brief(from, 2)} to ${brief(to, 2)}`, terms: [`${name}>=${from}`, `${name}${isLast ? "<=" : "<"}${to}`],
      has: (run) => isNumber(own[run]) && own[run] >= from && (isLast ? own[run] <= to : own[run] < to),
    };
  });
}

function drawKnobs() {
  const { x, y } = chosenKnobs;
  const rows = now.rows.filter((run) => isNumber(meanOf(state.key, run)));
  if (!x) return { empty: "No knob differs between these runs." };
  if (!rows.length) return { empty: `No run that passes the filter has ${keyName(state.key)}.` };
  return y && y !== x ? heatMap(x, y, rows) : knobDots(x, rows);
}

function heatMap(x, y, rows) {
  const [across, up] = [places(x, rows), places(y, rows)];
  const cells = up.map((one) => across.map((other) => rows.filter((run) => one.has(run) && other.has(run))));
  const z = cells.map((line) => line.map((runs) => (runs.length ? mean(runs.map((run) => meanOf(state.key, run))) : null)));
  const cellWidth = (byId("knobs").clientWidth - 190) / across.length;
  const isSmall = cellWidth > 62 && up.length <= MANY;
  const [, row, column] = best(z);
  const words = (runs, value, isBest) => `<b>${isBest ? "★ " : ""}${score(value)}</b>${runs.length > 1 ? `<br>${runs.length} runs` : ""}`;
  const trace = {
    type: "heatmap", z, x: across.map((_, place) => place), y: up.map((_, place) => place), colorscale: scale(), xgap: 3, ygap: 3,
    hoverongaps: false, showscale: !isNarrow(), colorbar: { thickness: 12, outlinewidth: 0, title: { text: metricName(split(state.key).metric), side: "top" }, tickfont: { color: css("--quiet") } },
    customdata: cells.map((line, row) => line.map((_, column) => [...across[column].terms, ...up[row].terms])),
    hovertext: cells.map((line, row) => line.map((runs, column) => (z[row][column] === null ? "" : hoverCell(x, y, across[column], up[row], runs, z[row][column])))),
    hovertemplate: "%{hovertext}<extra></extra>",
  };
  // Of black and white the one that is read better on the cell: plotly's own choice is a pale grey.
  const range = extent(z.flat());
  const texts = !isSmall ? [] : cells.flatMap((line, y) => line.map((runs, x) => (z[y][x] === null ? null : {
    x, y, text: words(runs, z[y][x], y === row && x === column), showarrow: false, captureevents: false, font: { size: 13, color: inkOn(z[y][x], range) },
  }))).filter(Boolean);
  const ticks = (all, title) => ({ title: plain(title), tickvals: all.map((_, place) => place), ticktext: all.map((one) => plain(shorten(one.label, 24))), showgrid: false, zeroline: false });
  const box = { type: "rect", x0: column - 0.5, x1: column + 0.5, y0: row - 0.5, y1: row + 0.5, line: { color: "#D55E00", width: 3 } };
  return {
    traces: [trace], label: `Heat map of ${keyName(state.key)} by ${x} and ${y}; best ${score(z[row][column])} at ${x} ${across[column].label}, ${y} ${up[row].label}.`,
    layout: { height: Math.min(620, Math.max(300, 110 + up.length * 62)), xaxis: ticks(across, x), yaxis: ticks(up, y), shapes: [box], annotations: texts },
  };
}

function inkOn(value, [low, high]) {
  const colours = scale();
  const at = high === low ? 1 : (value - low) / (high - low);
  const hex = colours[Math.round(at * (colours.length - 1))][1];
  const [red, green, blue] = [1, 3, 5].map((from) => (parseInt(hex.slice(from, from + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#000000" : "#ffffff";
}

function best(z) {
  return z.flatMap((line, row) => line.map((value, column) => [value ?? -Infinity, row, column])).reduce((one, other) => (other[0] > one[0] ? other : one));
}

function hoverCell(x, y, across, up, runs, value) {
  const scores = runs.map((run) => meanOf(state.key, run));
  const range = runs.length > 1 ? `<br>${runs.length} runs, ${score(Math.min(...scores))} to ${score(Math.max(...scores))}` : `<br>${nameOf(runs[0], 60)}`;
  return `<b>${score(value)}</b><br>${plain(x)} ${plain(across.label)}<br>${plain(y)} ${plain(up.label)}${range}`;
}

/** A dot a run over one knob, and the line of their means where several share a value. */
function knobDots(x, rows) {
  const own = KNOBS.get(x);
  const isNumeric = rows.every((run) => own[run] === null || isNumber(own[run]));
  const all = places(x, rows);
  const spots = distinct(rows.map((run) => own[run]));
  const isSpread = isNumeric && spots.length > MANY;
  const where = (run) => (isSpread ? own[run] : all.findIndex((one) => one.has(run)));
  const known = rows.filter((run) => where(run) !== null && where(run) !== -1);
  const dots = {
    type: "scatter", mode: "markers", x: known.map(where), y: known.map((run) => meanOf(state.key, run)), customdata: known.map((run) => [`#${run}`]),
    error_y: errors(known), marker: { color: css("--accent"), size: known.length > 100 ? 5 : 9, opacity: known.length > 100 ? 0.6 : 1 },
    text: known.map((run) => hoverOf(run)), hovertemplate: "%{text}<extra></extra>",
  };
  const means = isSpread ? [] : [{
    type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: css("--quiet"), width: 1.5 },
    x: all.map((_, place) => place), y: all.map((one) => mean(known.filter(one.has).map((run) => meanOf(state.key, run)))),
  }];
  const axis = isSpread ? { title: plain(x) } : { title: plain(x), tickvals: all.map((_, place) => place), ticktext: all.map((one) => plain(shorten(one.label, 24))), range: [-0.5, all.length - 0.5] };
  return {
    traces: [...means, dots], label: `${keyName(state.key)} of ${counted(known.length, "run")} over ${x}.`,
    layout: { height: 400, xaxis: { ...axis, zeroline: false }, yaxis: { title: keyName(state.key), zeroline: false }, shapes: referenceShapes("y") },
  };
}

function errors(rows) {
  const ends = rows.map((run) => intervalOf(state.key, run));
  if (rows.length > 100 || !ends.some(Boolean)) return undefined;
  const side = (place, sign) => ends.map((pair, at) => (pair ? sign * (pair[place] - meanOf(state.key, rows[at])) : 0));
  return { type: "data", symmetric: false, array: side(1, 1), arrayminus: side(0, -1), thickness: 1.4, width: 3, color: css("--accent") };
}

function clickKnobs(point) {
  const found = point.customdata;
  if (found?.[0]?.startsWith("#")) openRun(Number(found[0].slice(1)));
  else if (found && point.z !== null) setTerms(found);
}
