// Reward inflation: what the reward in training gains beyond the same reward on the probe.

const inflationChoice = { run: null };

async function makeInflation(section) {
  const all = await part("inflation");
  const of = new Map(all.map((one) => [one.run, one]));
  const choose = picker("Run", all.map((one) => [String(one.run), RUNS[one.run].name]), null, (value) => {
    inflationChoice.run = Number(value);
    refreshAll();
  });
  const select = choose.querySelector("select");
  const pick = (run) => {
    inflationChoice.run = run;
    select.value = String(run);
    refresh(single);
    refresh(overview);
  };
  section.append(el("div", { class: "row" }, choose), el("p", { class: "quiet hint" }, "RI is what the reward gained in training beyond what it gained on the probe: ",
    "where it is above 0, the reward rises without ranking better."));
  const frame = el("div", { class: "two" });
  section.append(frame);
  const [left, right] = [el("div", {}, el("h3", {}, "Reward by step, the run that is chosen")), el("div", {}, el("h3", {}, "RI against the metric, all runs"))];
  frame.append(left, right);
  const single = chart(left, () => drawInflation(of, select), {});
  const overview = chart(right, () => drawIndices(all), { act: (point) => pick(point.customdata) });
}

/** The run that was picked; else the first of those shown that has a chart. */
function inflationRun(of) {
  const picked = inflationChoice.run;
  return picked !== null ? picked : [...now.shown, ...now.rows, ...of.keys()].find((run) => of.has(run));
}

function drawInflation(of, select) {
  const run = inflationRun(of);
  const { x, train, probe, hint, ri } = of.get(run);
  select.value = String(run);
  const [first, second, third] = [colourOf(1), colourOf(0), colourOf(2)];
  const line = (name, y, colour, dash, symbol) => ({
    type: "scatter", mode: x.length > 40 ? "lines" : "lines+markers", name, x, y, line: { color: colour, width: 2.4, dash }, marker: { size: 6, symbol },
    connectgaps: true, hovertemplate: `step %{x}<br>%{y:.4f}<extra>${name}</extra>`,
  });
  const has = (values) => values?.some(isNumber);
  const traces = [
    // Between train and probe lies what is inflated.
    ...(has(probe) && has(train) ? [{ ...line("", probe, "rgba(0,0,0,0)", "solid"), mode: "lines", hoverinfo: "skip", hovertemplate: null, showlegend: false },
      { ...line("", train, "rgba(0,0,0,0)", "solid"), mode: "lines", fill: "tonexty", fillcolor: css("--band"), hoverinfo: "skip", hovertemplate: null, showlegend: false }] : []),
    ...(has(train) ? [line("train", train, first, "solid", "circle")] : []),
    ...(has(probe) ? [line("probe, without hint", probe, second, "solid", "square")] : []),
    ...(has(hint) ? [line("probe, with hint", hint, third, "dash", "diamond")] : []),
  ];
  return {
    traces, label: `Reward of ${RUNS[run].name} by step, in training and on the probe; RI ${score(ri)}.`,
    layout: {
      showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0 }, margin: { l: 52, r: 12, t: 34, b: 44 },
      xaxis: { title: "step", zeroline: false }, yaxis: { title: "expected reward", zeroline: false },
      annotations: isNumber(ri) ? [{ xref: "paper", yref: "paper", x: 1, y: 0.02, xanchor: "right", showarrow: false, text: `RI ${score(ri)}`, font: { size: 15, color: css("--text") }, bgcolor: css("--raised") }] : [],
    },
  };
}

function drawIndices(all) {
  const passed = new Set(now.rows);
  const own = all.filter((one) => passed.has(one.run) && isNumber(one.ri) && isNumber(meanOf(state.key, one.run)));
  if (!own.length) return { empty: "No run that passes the filter has both." };
  const slot = (run) => now.shown.indexOf(run);
  return {
    traces: [{
      type: "scatter", mode: "markers", x: own.map((one) => one.ri), y: own.map((one) => meanOf(state.key, one.run)), customdata: own.map((one) => one.run),
      marker: {
        color: own.map(({ run }) => (slot(run) < 0 ? css("--quiet") : colourOf(slot(run)))), opacity: own.map(({ run }) => (slot(run) < 0 ? 0.5 : 1)),
        symbol: own.map(({ run }) => (slot(run) < 0 ? "circle" : MARKS[slot(run)])), size: own.map(({ run }) => (slot(run) < 0 ? 6 : 11)),
        line: { color: css("--text"), width: own.map(({ run }) => (run === inflationChoice.run ? 2 : 0)) },
      },
      text: own.map(({ run, ri }) => `RI ${score(ri)}<br>${hoverOf(run)}`), hovertemplate: "%{text}<extra></extra>",
    }],
    label: `Reward inflation against ${keyName(state.key)} of ${counted(own.length, "run")}.`,
    layout: { margin: { l: 52, r: 12, t: 34, b: 44 }, xaxis: { title: "RI", zeroline: true }, yaxis: { title: keyName(state.key), zeroline: false }, shapes: referenceShapes("y") },
  };
}
