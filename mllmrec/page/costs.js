// What the metric cost: time, tokens and memory, and the runs that none beats in both.

const costChoice = { x: null };

function makeCosts(section) {
  const names = Object.keys(COSTS).filter((name) => DATA.costs?.[name]?.some(isNumber));
  costChoice.x = names.includes("built_seconds") ? "built_seconds" : names[0];
  const totals = el("dl", { class: "totals" });
  section.append(el("div", { class: "row" }, picker("Cost", names.map((name) => [name, `${COSTS[name].title}: ${COSTS[name].about}`]), costChoice.x, (name) => {
    costChoice.x = name;
    refresh(one);
  })), totals);
  const tell = () => totals.replaceChildren(...names.map((name) => {
    const isMost = name.endsWith("memory");
    const own = costsOf(name, now.rows).filter(isNumber);
    const value = own.length ? COSTS[name].say(own.reduce((all, one) => (isMost ? Math.max(all, one) : all + one), 0)) : NONE;
    return el("div", {}, el("dt", {}, `${COSTS[name].title}, ${isMost ? "the most" : "in all"}`), el("dd", {}, value));
  }));
  listen(tell);
  tell();
  const one = chart(section, drawCosts, { act: (point) => openRun(point.customdata) });
  if (!DATA.costs.stages?.length) return;
  section.append(el("h3", {}, "Where the time went, by stage: time of building it, whichever launch did"));
  chart(section, drawStages, {});
}

/** The costs of some runs; what several of them stand on is there once. */
function costsOf(name, rows) {
  const parts = DATA.costs.parts?.[name];
  if (!parts) return rows.map((run) => DATA.costs[name][run]);
  return [...new Set(rows.flatMap((run) => parts.runs[run]))].map((place) => parts.of[place]);
}

/** A bar a run of those drawn, in parts by stage. */
function drawStages() {
  const rows = [...now.shown].reverse();
  const { stages } = DATA.costs;
  const total = (run) => stages.reduce((sum, one) => sum + (one.seconds[run] ?? 0), 0);
  const longest = Math.max(...rows.map(total));
  // Said within the part where it is wide enough for that; over the others by the pointer.
  const words = (name, value) => (value > (isNarrow() ? 0.25 : 0.1) * longest ? `${plain(name)} ${seconds(value)}` : "");
  const traces = stages.map(({ name, seconds: own }, at) => ({
    type: "bar", orientation: "h", name: plain(name), y: rows.map((_, row) => row), x: rows.map((run) => own[run]),
    // More stages than colours: the second round of them is hatched.
    marker: { color: colourOf(at), line: { color: css("--raised"), width: 1.5 }, pattern: { shape: at < MOST_COLOURS ? "" : "/", size: 6 } },
    text: rows.map((run) => words(name, own[run])), textposition: "inside", insidetextanchor: "middle",
    constraintext: "none", textangle: 0, hovertext: rows.map((run) => `${nameOf(run, 60)}<br>${plain(name)} ${seconds(own[run])}`), hovertemplate: "%{hovertext}<extra></extra>",
  }));
  return {
    traces, label: `Time of building ${counted(rows.length, "run")} by stage: ${stages.map((one) => one.name).join(", ")}.`,
    layout: { height: 150 + rows.length * 34, barmode: "stack", bargap: 0.25, margin: { l: 56, r: 16, t: 40, b: 44 }, showlegend: !isNarrow(), legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0, traceorder: "normal" },
      xaxis: { title: "seconds", zeroline: false }, yaxis: { tickvals: rows.map((_, row) => row), ticktext: rows.map((run) => nameOf(run, isNarrow() ? 14 : 34)), showgrid: false } },
  };
}

/** From the cheapest on, each run that is better than all cheaper ones. */
function frontier(rows, cost) {
  const found = [];
  for (const run of [...rows].sort((a, b) => cost[a] - cost[b] || meanOf(state.key, b) - meanOf(state.key, a)))
    if (!found.length || meanOf(state.key, run) > meanOf(state.key, found.at(-1))) found.push(run);
  return found;
}

function drawCosts() {
  const name = costChoice.x;
  const cost = DATA.costs[name];
  const rows = now.rows.filter((run) => isNumber(cost[run]) && isNumber(meanOf(state.key, run)));
  if (!rows.length) return { empty: "No run that passes the filter has both." };
  const edge = frontier(rows, cost);
  const slot = (run) => now.shown.indexOf(run);
  const [low, high] = extent(rows.map((run) => cost[run]));
  const isLog = low > 0 && high / low > 30;
  const [by, unit] = COSTS[name].units.find(([size]) => high >= 2 * size) ?? COSTS[name].units.at(-1);
  const told = [unit, isLog ? "logarithmic" : ""].filter(Boolean).join(", ");
  return {
    traces: [
      { type: "scatter", mode: "lines", name: "none is cheaper and better", x: edge.map((run) => cost[run] / by), y: edge.map((run) => meanOf(state.key, run)), line: { shape: "hv", color: css("--quiet"), dash: "dash", width: 1.5 }, hoverinfo: "skip" },
      {
        type: "scatter", mode: "markers", x: rows.map((run) => cost[run] / by), y: rows.map((run) => meanOf(state.key, run)), customdata: rows, showlegend: false,
        marker: { color: rows.map((run) => (slot(run) < 0 ? css("--quiet") : colourOf(slot(run)))), symbol: rows.map((run) => (slot(run) < 0 ? "circle" : MARKS[slot(run)])),
          size: rows.map((run) => (slot(run) < 0 ? 7 : 12)), opacity: rows.map((run) => (slot(run) < 0 ? 0.55 : 1)), line: { width: 0 } },
        text: rows.map((run) => `${COSTS[name].say(cost[run])}<br>${hoverOf(run)}`), hovertemplate: "%{text}<extra></extra>",
      }],
    label: `${keyName(state.key)} against ${COSTS[name].title.toLowerCase()} of ${counted(rows.length, "run")}; ${counted(edge.length, "run")} are beaten by none in both.`,
    layout: { height: 400, showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 }, margin: { l: 56, r: 16, t: 34, b: 48 },
      xaxis: { title: COSTS[name].title + (told && ` (${told})`), type: isLog ? "log" : "linear", zeroline: false }, yaxis: { title: keyName(state.key), zeroline: false } },
  };
}
