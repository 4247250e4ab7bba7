// Each run's mean with its 95 % interval, the reference as a line and a band.

const FEW = 40; // up to so many rows each has its name beside it

function makeIntervals(section) {
  chart(section, drawIntervals, { act: (point) => openRun(point.customdata) });
}

function drawIntervals() {
  const rows = now.rows.filter((run) => isNumber(meanOf(state.key, run)));
  if (!rows.length) return { empty: `No run that passes the filter has ${keyName(state.key)}.` };
  rows.sort((a, b) => meanOf(state.key, a) - meanOf(state.key, b));
  const isFew = rows.length <= FEW;
  const [value, rank] = isFew ? ["x", "y"] : ["y", "x"];
  const traces = ["below", "even", "above", "untested"].map((verdict) => {
    const own = rows.map((run, at) => [run, at]).filter(([run]) => (differenceOf(state.key, run)?.verdict ?? "untested") === verdict);
    return !own.length ? [] : isFew ? [dots(own, verdict, value, rank, isFew)] : [spans(own, verdict), dots(own, verdict, value, rank, isFew)];
  }).flat();
  const names = { tickvals: rows.map((_, at) => at), ticktext: rows.map((run) => nameOf(run, isNarrow() ? 14 : 34)), range: [-0.7, rows.length - 0.3] };
  const layout = {
    height: isFew ? 90 + rows.length * 24 : 420, showlegend: traces.length > 1,
    legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0, itemsizing: "constant" }, shapes: referenceShapes(value),
    margin: { l: 56, r: 16, t: 40, b: 48 },
    [`${value}axis`]: { title: keyName(state.key), zeroline: false },
    [`${rank}axis`]: isFew ? { ...names, showgrid: false, zeroline: false }
      : { title: `${rows.length.toLocaleString("en")} runs, from the least to the best`, showgrid: false, zeroline: false },
  };
  return { traces, layout, label: intervalsInWords(rows) };
}

function dots(own, verdict, value, rank, isFew) {
  const colour = css(`--${verdict}`);
  const side = (sign) => own.map(([run]) => {
    const ends = intervalOf(state.key, run);
    return ends ? Math.max(0, sign * (ends[sign < 0 ? 0 : 1] - meanOf(state.key, run))) : 0;
  });
  return {
    type: "scatter", mode: "markers", name: LEGEND[verdict],
    [value]: own.map(([run]) => meanOf(state.key, run)), [rank]: own.map(([, at]) => at),
    ...(isFew ? { [`error_${value}`]: { type: "data", symmetric: false, array: side(1), arrayminus: side(-1), color: colour, thickness: 1.6, width: 3 } } : {}),
    marker: {
      color: colour, symbol: SIGNS[verdict].symbol, size: own.map(([run]) => (isFew ? 9 : state.ticked.includes(run) ? 11 : 5)),
      line: { color: css("--text"), width: own.map(([run]) => (state.ticked.includes(run) || run === state.reference ? 2 : 0)) },
    },
    customdata: own.map(([run]) => run), text: own.map(([run]) => hoverOf(run)), hovertemplate: "%{text}<extra></extra>",
  };
}

/** The intervals of many runs as one line with gaps: an element each would take seconds. */
function spans(own, verdict) {
  const ends = own.map(([run, at]) => [at, intervalOf(state.key, run)]).filter(([, pair]) => pair);
  return {
    type: "scatter", mode: "lines", x: ends.flatMap(([at]) => [at, at, null]), y: ends.flatMap(([, pair]) => [...pair, null]),
    line: { color: css(`--${verdict}`), width: 0.7 }, opacity: 0.7, hoverinfo: "skip", showlegend: false, customdata: [],
  };
}

const LEGEND = { above: "above the reference", below: "below", even: "not distinguishable", untested: "reference, or not tested" };

function referenceShapes(value) {
  const at = state.reference === null ? null : meanOf(state.key, state.reference);
  if (!isNumber(at)) return [];
  const across = value === "x" ? "y" : "x";
  const line = (from, to, more) => ({ [`${value}0`]: from, [`${value}1`]: to, [`${across}0`]: 0, [`${across}1`]: 1, [`${across}ref`]: "paper", layer: "below", ...more });
  const ends = intervalOf(state.key, state.reference);
  const band = ends ? [line(...ends, { type: "rect", fillcolor: css("--band"), line: { width: 0 } })] : [];
  return [...band, line(at, at, { type: "line", line: { color: css("--quiet"), width: 1.5, dash: "dash" } })];
}

/** A run in a few lines, as plotly shows it over a mark. */
function hoverOf(run, key = state.key) {
  const found = differenceOf(key, run);
  const knobs = [...KNOBS].slice(0, 6).map(([name, own]) => `${plain(name)}=${plain(shorten(said(own[run]), 40))}`);
  return [`<b>${nameOf(run, 60)}</b>`, `${plain(keyName(key))} ${scoreWithHalf(key, run)}`,
    found ? plain(diffTold(found)) : run === state.reference ? "the reference" : "", ...knobs].filter(Boolean).join("<br>");
}

function intervalsInWords(rows) {
  const best = rows.at(-1);
  const least = rows[0];
  return `Means of ${keyName(state.key)} with 95 % intervals of ${counted(rows.length, "run")}, from `
    + `${RUNS[least].name} at ${score(meanOf(state.key, least))} to ${RUNS[best].name} at ${score(meanOf(state.key, best))}. `
    + "The table has the same numbers.";
}
