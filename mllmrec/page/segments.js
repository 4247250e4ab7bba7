// The metric by kinds of test samples: how popular the target is, how long the history.

const segmentChoice = { name: null };

async function makeSegments(section) {
  const all = (await part("segments")).filter((one) => one.rows.length);
  segmentChoice.name = all[0].name;
  section.append(
    el("div", { class: "row" }, picker("By", all.map((one) => one.name), segmentChoice.name, (name) => {
      segmentChoice.name = name;
      refresh(one);
    })), legend());
  const one = chart(section, () => drawSegments(all.find((segment) => segment.name === segmentChoice.name)), {});
}

/** The chosen metric where it was taken by segment; else the nearest that was, said in words. */
function segmentKey({ rows }) {
  const keys = [...new Set(rows.map((row) => row.key))];
  const wanted = split(state.key);
  const likeness = (key) => ["policy", "protocol", "metric"].reduce((sum, name, at) => sum + (split(key)[name] === wanted[name] ? 4 >> at : 0), 0);
  return keys.reduce((one, other) => (likeness(other) > likeness(one) ? other : one));
}

function drawSegments(segment) {
  const key = segmentKey(segment);
  const rows = segment.rows.filter((row) => row.key === key && now.shown.includes(row.run)).sort((a, b) => now.shown.indexOf(a.run) - now.shown.indexOf(b.run));
  if (!rows.length) return { empty: `None of the runs drawn has ${keyName(key)} by ${segment.name}.` };
  const spread = Math.min(0.7, rows.length * 0.11);
  const traces = rows.map((row, at) => {
    const slot = now.shown.indexOf(row.run);
    const move = rows.length < 2 ? 0 : (at / (rows.length - 1) - 0.5) * spread;
    const side = (ends, sign) => row.mean.map((value, bin) => (isNumber(ends?.[bin]) && isNumber(value) ? Math.max(0, sign * (ends[bin] - value)) : 0));
    return {
      type: "scatter", mode: "lines+markers", name: nameOf(row.run), x: segment.bins.map((_, bin) => bin + move), y: row.mean,
      line: { color: colourOf(slot), width: 1, dash: "dot" }, marker: { color: colourOf(slot), symbol: MARKS[slot], size: 10 },
      error_y: { type: "data", symmetric: false, array: side(row.high, 1), arrayminus: side(row.low, -1), color: colourOf(slot), thickness: 1.6, width: 3 },
      text: row.mean.map((value, bin) => `<b>${nameOf(row.run, 60)}</b><br>${plain(segment.bins[bin])}: ${score(value)}`
        + (isNumber(row.low?.[bin]) ? `<br>95 % interval ${score(row.low[bin])} to ${score(row.high[bin])}` : "") + (isNumber(row.n?.[bin]) ? `<br>${counted(row.n[bin], "sample")}` : "")),
      hovertemplate: "%{text}<extra></extra>",
    };
  });
  const n = (bin) => rows.find((row) => isNumber(row.n?.[bin]))?.n[bin];
  const ticks = segment.bins.map((bin, at) => plain(bin) + (isNumber(n(at)) ? `<br>n ${n(at).toLocaleString("en")}` : ""));
  const said = key === state.key ? "" : `, for want of ${keyName(state.key)}`;
  return {
    traces, label: `${keyName(key)} by ${segment.name}, ${counted(rows.length, "run")}.`,
    layout: { height: 400, xaxis: { title: plain(segment.name), tickvals: segment.bins.map((_, at) => at), ticktext: ticks, range: [-0.6, segment.bins.length - 0.4], zeroline: false, showgrid: false },
      yaxis: { title: keyName(key) + said, zeroline: false } },
  };
}
