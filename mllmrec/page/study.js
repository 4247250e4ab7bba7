// Algorithms held against each other, seeds together: what each learns by rollouts and by time, what
// it gains over SFT, what became of its groups, and where its time went. The filter and the runs
// drawn have no say here: a line is all runs that differ by their seeds alone.

const SPENT = { rollouts: "rollouts (completions drawn)", cpu_seconds: "CPU seconds of training", tokens: "tokens read by the policy" };
const COURSES = { "groups/no_signal": "Groups whose rewards are all equal, share", "groups/unique": "Distinct completions of a group" };
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const studyChoice = { spent: null };

async function makeStudy(section) {
  const study = await part("study");
  const { lines } = study;
  const known = Object.keys(SPENT).filter((name) => lines.some((one) => one.curve?.[name]));
  const most = Math.max(...lines.map((one) => one.seeds.length));
  studyChoice.spent = known[0];
  section.append(
    el("p", { class: "quiet" }, `${counted(lines.length, "line")} of up to ${counted(most, "seed")}: runs that differ by their seeds alone are one. `
      + "Bands and ± are 95 % intervals of the mean over seeds (Student's t). The filter and the runs drawn have no say here."),
    resultsTable(study),
    ...study.notes.map((note) => el("p", { class: "quiet" }, `${note}.`)));
  if (known.length) {
    section.append(el("h3", {}, "NDCG@5 of the probe while they train"), el("div", { class: "row" },
      picker("Against", known.map((name) => [name, SPENT[name]]), studyChoice.spent, (name) => {
        studyChoice.spent = name;
        refresh(curve);
      })));
    const curve = chart(section, () => drawLearning(lines), { height: 460 });
    section.append(el("p", { class: "quiet" }, "A click on a name hides its line, two clicks all others. SFT draws no rollouts: it stands where as many steps of GRPO would, and SFT for as many tokens is not on that axis."));
  }
  if (lines.some((one) => one.gain[study.metric])) {
    section.append(el("h3", {}, `${metricName(study.metric)} on test samples, less that of ${study.base}`));
    chart(section, () => drawGains(study), {});
  }
  for (const [name, title] of Object.entries(COURSES))
    if (lines.some((one) => one.groups[name])) {
      section.append(el("h3", {}, title));
      chart(section, () => drawCourses(lines, name), {});
    }
  if (lines.some((one) => Object.keys(one.costs).length)) {
    section.append(el("h3", {}, "Where a step's CPU time goes, by part of the method"));
    chart(section, () => drawShares(lines), {});
  }
}

const ofAll = (n, every) => (n === every ? String(n) : `${n} of ${every}`);

function resultsTable({ lines, metric, base }) {
  const plusMinus = (own) => (!own ? NONE : score(own.mean) + (isNumber(own.low) ? ` ±${score(own.mean - own.low)}` : ""));
  const between = (low, high) => (isNumber(low) && isNumber(high) ? `${signed(low)} to ${signed(high)}` : NONE);
  const order = [...lines].sort((a, b) => (b.gain[metric]?.diff ?? -9) - (a.gain[metric]?.diff ?? -9));
  const head = ["algorithm", "seeds", metricName(metric), `less ${base}`, "other samples", "other seeds", "p samples (Holm)", "p seeds (Holm)", "verdict", "rollouts", "CPU time"];
  const row = (one) => {
    const gain = one.gain[metric];
    const told = gain ? [signed(gain.diff), between(gain.low, gain.high), between(...gain.seeds), score(gain.holm), score(gain.holm_seeds), gain.verdict] : Array(6).fill(NONE);
    return [ofAll((gain ?? one.final[metric])?.n ?? 0, one.seeds.length), plusMinus(one.final[metric]), ...told, one.spent.rollouts ? Math.round(one.spent.rollouts.mean).toLocaleString("en") : NONE, seconds(one.spent.cpu_seconds?.mean)];
  };
  return el("div", { class: "wide-table", tabindex: "0", role: "region", "aria-label": "Results by algorithm" }, el("table", { class: "plain-table" },
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, order.map((one) => el("tr", {}, el("th", { scope: "row" }, one.name), row(one).map((cell) => el("td", {}, cell)))))));
}

const strokeOf = (at) => ({ color: colourOf(at), width: 2, dash: DASHES[Math.floor(at / MOST_COLOURS) % DASHES.length] });
const lineName = (one) => plain(shorten(one.name, 40));

/** A line and, where it has several seeds, its band; both go by one name in the legend. */
function withBand(one, at, x, own, unit) {
  const line = { type: "scatter", mode: "lines+markers", name: lineName(one), legendgroup: String(at), x, y: own.mean, line: strokeOf(at), marker: { color: colourOf(at), symbol: MARKS[at % MARKS.length], size: 6, maxdisplayed: 12 },
    hovertemplate: `${unit} %{x:,.4g}<br>%{y:.4f}<extra>${templated(lineName(one))}</extra>` };
  if (!isNumber(own.low[0])) return [line];
  const band = { type: "scatter", mode: "lines", legendgroup: String(at), showlegend: false, hoverinfo: "skip", x: [...x, ...[...x].reverse()], y: [...own.high, ...[...own.low].reverse()], fill: "toself", fillcolor: colourOf(at), opacity: 0.15, line: { width: 0 } };
  return [band, line];
}

const STUDY_LAYOUT = () => ({ showlegend: true, legend: isNarrow() ? { orientation: "h", y: -0.25 } : { x: 1.01, y: 1, xanchor: "left" }, margin: { l: 56, r: 16, t: 12, b: 48 } });

function drawLearning(lines) {
  const { spent } = studyChoice;
  const known = lines.map((one, at) => [one, at]).filter(([one]) => one.curve?.[spent]);
  if (!known.length) return { empty: "Nobody counted that here." };
  return {
    traces: known.flatMap(([one, at]) => withBand(one, at, one.curve[spent], one.curve, SPENT[spent].split(" (")[0])),
    label: `NDCG@5 of the probe against ${SPENT[spent]}: ${known.map(([one]) => one.name).join(", ")}.`,
    layout: { ...STUDY_LAYOUT(), height: 460, xaxis: { title: SPENT[spent], zeroline: false, rangemode: "tozero" }, yaxis: { title: "NDCG@5 of the probe", zeroline: false } },
  };
}

function drawCourses(lines, name) {
  const known = lines.map((one, at) => [one, at]).filter(([one]) => one.groups[name]);
  return {
    traces: known.flatMap(([one, at]) => withBand(one, at, one.groups[name].step, one.groups[name], "step")),
    label: `${COURSES[name]}, by step: ${known.map(([one]) => one.name).join(", ")}.`,
    layout: { ...STUDY_LAYOUT(), xaxis: { title: "step", zeroline: false }, yaxis: { rangemode: "tozero", zeroline: false } },
  };
}

function drawGains({ lines, metric, base }) {
  const known = lines.filter((one) => one.gain[metric]).sort((a, b) => a.gain[metric].diff - b.gain[metric].diff);
  const gains = known.map((one) => one.gain[metric]);
  const y = known.map((_, row) => row);
  const bar = (ends, width, color, name) => ({ type: "scatter", mode: "lines", name, hoverinfo: "skip", line: { color, width },
    x: gains.flatMap((own) => { const [low, high] = ends(own); return [low, high, null]; }), y: y.flatMap((row) => [row, row, null]) });
  return {
    traces: [
      bar((own) => own.seeds, 9, css("--line-strong"), "95 % over other seeds"),
      bar((own) => [own.low, own.high], 3, colourOf(0), "95 % over other test samples"),
      { type: "scatter", mode: "markers", showlegend: false, x: gains.map((own) => own.diff), y, marker: { color: css("--text"), symbol: "square", size: 8 },
        text: known.map((one, at) => `<b>${lineName(one)}</b><br>${signed(gains[at].diff)}, ${gains[at].verdict}<br>p ${score(gains[at].holm)} over samples, ${score(gains[at].holm_seeds)} over seeds (Holm); ${counted(gains[at].n, "seed")}`), hovertemplate: "%{text}<extra></extra>" },
    ],
    label: `${metricName(metric)} less that of ${base}: ${known.map((one, at) => `${one.name} ${signed(gains[at].diff)}`).join(", ")}.`,
    layout: { height: 130 + 26 * known.length, showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 }, margin: { l: 56, r: 16, t: 40, b: 44 },
      xaxis: { title: `${metricName(metric)} less that of ${base}`, zeroline: true, zerolinecolor: css("--text") }, yaxis: { tickvals: y, ticktext: known.map(lineName), showgrid: false, zeroline: false } },
  };
}

function drawShares(lines) {
  const known = lines.filter((one) => Object.keys(one.costs).length).reverse();
  const parts = [...new Set(known.flatMap((one) => Object.keys(one.costs)))].sort();
  const y = known.map((_, row) => row);
  return {
    traces: parts.map((name, at) => ({ type: "bar", orientation: "h", name: plain(name), y, x: known.map((one) => one.costs[name] ?? null),
      marker: { color: colourOf(at), line: { color: css("--raised"), width: 1 }, pattern: { shape: at < MOST_COLOURS ? "" : "/", size: 6 } },
      hovertext: known.map((one) => `${lineName(one)}<br>${plain(name)} ${((one.costs[name] ?? 0) * 100).toFixed(1)} %`), hovertemplate: "%{hovertext}<extra></extra>" })),
    label: `Shares of a step's CPU time: ${parts.join(", ")}.`,
    layout: { height: 150 + 26 * known.length, barmode: "stack", bargap: 0.25, margin: { l: 56, r: 16, t: 60, b: 44 }, showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0, traceorder: "normal" },
      xaxis: { title: "share of CPU time", tickformat: ".0%", zeroline: false }, yaxis: { tickvals: y, ticktext: known.map(lineName), showgrid: false } },
  };
}
