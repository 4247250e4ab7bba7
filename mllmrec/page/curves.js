// Training curves: a small chart a name, the shown runs in colour, the others in grey behind them.

const curveChoice = { names: new Set(), smooth: 0, isLog: false, withOthers: true };
const MOST_GREY = 150; // curves behind; more are one grey smear
// What is looked at first, one curve of each.
const FIRST = [/^grpo\/reward$/, /^grpo\/probe\/ndcg/, /^grpo\/kl$/, /^sft\/loss$/, /reward$/, /probe/, /loss/, /./];

async function makeCurves(section) {
  const frame = el("div", { class: "small-multiples" });
  const boxes = el("div", { class: "chips", role: "group", "aria-label": "Curves drawn" });
  const redraw = () => refreshAll();
  const others = el("input", { type: "checkbox", checked: true, on: { change: () => {
    curveChoice.withOthers = others.checked;
    redraw();
  } } });
  const log = el("input", { type: "checkbox", on: { change: () => {
    curveChoice.isLog = log.checked;
    redraw();
  } } });
  section.append(
    el("div", { class: "row" }, picker("Smoothing", [["0", "none"], ["0.6", "some"], ["0.9", "much"]], "0", (value) => {
      curveChoice.smooth = Number(value);
      redraw();
    }), el("label", { class: "choice" }, log, "logarithmic"), el("label", { class: "choice" }, others, "other runs in grey")),
    legend(), boxes, frame);
  const byName = await curvesByName();
  const names = [...byName.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  for (const wanted of FIRST) {
    const name = names.find((one) => wanted.test(one) && !curveChoice.names.has(one));
    if (name && curveChoice.names.size < 4) curveChoice.names.add(name);
  }
  const made = new Map();
  const lay = () => {
    for (const name of curveChoice.names)
      if (!made.has(name)) {
        const place = el("div", {}, el("h3", {}, name));
        made.set(name, place);
        chart(place, () => drawCurve(name, byName.get(name)), { height: 260 });
      }
    frame.replaceChildren(...names.filter((name) => curveChoice.names.has(name)).map((name) => made.get(name)));
  };
  boxes.append(...names.map((name) => el("button", {
    type: "button", class: "chip", "aria-pressed": String(curveChoice.names.has(name)), on: { click: (event) => {
      const isOn = !curveChoice.names.has(name);
      curveChoice.names[isOn ? "add" : "delete"](name);
      event.currentTarget.setAttribute("aria-pressed", String(isOn));
      lay();
    } },
  }, name)));
  lay();
}

async function curvesByName() {
  const found = new Map();
  for (const { run, name, x, y } of await part("curves")) {
    if (!found.has(name)) found.set(name, new Map());
    found.get(name).set(run, { x, y });
  }
  return found;
}

/** A moving mean in which each older value counts `weight` times the next; its start is not pulled to 0. */
function smoothed(values, weight) {
  let [sum, total] = [0, 0];
  return values.map((value) => {
    if (!isNumber(value)) return value;
    [sum, total] = [sum * weight + value, total * weight + 1];
    return sum / total;
  });
}

function drawCurve(name, curves) {
  const shown = now.shown.filter((run) => curves.has(run));
  const others = now.rows.filter((run) => curves.has(run) && !shown.includes(run)).slice(0, curveChoice.withOthers ? MOST_GREY : 0);
  if (!shown.length && !others.length) return { empty: "None of the runs that pass the filter has this curve." };
  const y = (run) => smoothed(curves.get(run).y, curveChoice.smooth);
  const grey = others.length ? [{
    type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: css("--line-strong"), width: 1 }, opacity: others.length > 30 ? 0.35 : 0.7,
    x: others.flatMap((run) => [...curves.get(run).x, null]), y: others.flatMap((run) => [...y(run), null]),
  }] : [];
  const coloured = shown.map((run) => {
    const slot = now.shown.indexOf(run);
    return {
      // Marks here and there tell lines apart without colours; dashes would be lost in the noise.
      type: "scatter", mode: "lines+markers", marker: { color: colourOf(slot), symbol: MARKS[slot], size: 8, maxdisplayed: 7 }, name: nameOf(run), x: curves.get(run).x, y: y(run),
      line: { color: colourOf(slot), width: 2 }, hovertemplate: `step %{x}<br>%{y:.4g}<extra>${templated(nameOf(run, 40))}</extra>`,
    };
  });
  return {
    traces: [...grey, ...coloured.reverse()], label: `${name} of ${counted(shown.length, "run")} by step: ${shown.map((run) => RUNS[run].name).join(", ")}.`,
    layout: { height: 260, margin: { l: 48, r: 12, t: 8, b: 40 }, xaxis: { title: "step", zeroline: false }, yaxis: { type: curveChoice.isLog ? "log" : "linear", zeroline: false, exponentformat: "power" } },
  };
}

/** Data within a template of plotly's: it must not name one of plotly's own variables. */
const templated = (text) => text.replace(/%\{/g, "% {");
