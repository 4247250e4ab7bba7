// Charts: drawn by plotly, which is started when the first one comes into view or nobody has done
// anything for a while, as that keeps the page busy for a moment; and redrawn when they are in view
// and what they show has changed.

// Okabe and Ito's colours, told apart with any colour vision; marks tell them apart too.
const PALETTE = {
  light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F"],
  dark: ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#FFFFFF", "#0072B2"],
};
const MARKS = ["circle", "square", "diamond", "cross", "triangle-up", "x", "star", "triangle-down"];
const SIGNS_OF_MARKS = ["●", "■", "◆", "✚", "▲", "✖", "★", "▼"];
// Cividis: one lightness scale for all eyes. The best is what stands out from the ground.
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];

const colourOf = (slot) => PALETTE[isDark() ? "dark" : "light"][slot % MOST_COLOURS];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** From worst to best, as plotly takes it. */
function scale() {
  const colours = isDark() ? CIVIDIS : [...CIVIDIS].reverse();
  return colours.map((colour, at) => [at / (colours.length - 1), colour]);
}

/** Text as plotly shows it: plotly reads some tags in text, and data must not be tags. */
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const nameOf = (run, most = 34) => plain(shorten(RUNS[run].name, most));

let started = null;

/** plotly, started once. */
function plotly() {
  started ??= unpacked("plotly").then((source) => {
    const script = document.createElement("script");
    script.textContent = source;
    document.head.append(script);
    if (!window.Plotly) throw new Error("the charts' script did not start");
    return window.Plotly;
  });
  return started;
}

const charts = [];
const inView = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const one = charts.find((chart) => chart.frame === entry.target);
    one.isSeen = entry.isIntersecting;
    if (one.isSeen && one.isOld) show(one);
  }
});

const QUIET = 2000; // milliseconds without a key, a click or a turn of the wheel

/** Starts plotly before it is needed, at a time when nobody would notice. */
function startWhenQuiet() {
  const start = lately(() => {
    for (const event of events) removeEventListener(event, start);
    plotly().catch(() => null); // who draws a chart is told
  }, QUIET);
  const events = ["keydown", "pointerdown", "pointermove", "wheel", "scroll"];
  for (const event of events) addEventListener(event, start, { passive: true, capture: true });
  start();
}

/**
 * A place for a chart. `draw()` gives plotly's `traces` and `layout`, and `label`, the chart in
 * words; or `empty`, why there is none. `act` takes plotly's clicks.
 */
function chart(section, draw, { act, height = 380, look } = {}) {
  const box = el("div", { class: "plot", role: "img", "aria-label": "chart" });
  const note = el("p", { class: "quiet nothing" }, "Drawing…");
  const frame = el("figure", { class: "chart" }, note, box);
  frame.style.setProperty("--height", `${height}px`);
  section.append(frame);
  const one = { frame, box, note, draw, act, look, isSeen: false, isOld: true, turn: 0 };
  charts.push(one);
  inView.observe(frame);
  return one;
}

function refresh(one) {
  one.isOld = true;
  if (one.isSeen) show(one);
}

function refreshAll() {
  for (const one of charts) refresh(one);
}

async function show(one) {
  one.isOld = false;
  const turn = ++one.turn;
  try {
    const [Plotly, made] = [await plotly(), await one.draw()];
    if (turn !== one.turn) return; // something newer is on its way
    one.note.hidden = !made.empty;
    one.box.hidden = Boolean(made.empty);
    one.note.textContent = made.empty ?? "";
    if (made.empty) return;
    one.box.setAttribute("aria-label", made.label);
    one.frame.style.setProperty("--height", `${made.layout.height ?? 380}px`);
    await Plotly.react(one.box, made.traces, dressed(made.layout), CONFIG);
    one.frame.dataset.drawn = String(turn);
    if (one.act && !one.isBound) {
      one.isBound = true;
      one.box.on("plotly_click", (event) => one.act(event.points[0]));
    }
  } catch (error) {
    one.note.hidden = false;
    one.note.textContent = `This chart could not be drawn: ${error.message}`;
    console.error(error);
  }
}

const CONFIG = {
  displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  toImageButtonOptions: { scale: 2 },
};

/** A layout in the page's own colours and type. */
function dressed(layout) {
  const axis = {
    gridcolor: css("--line"), linecolor: css("--line-strong"), zerolinecolor: css("--line"),
    tickfont: { color: css("--quiet"), size: 12 }, automargin: true, fixedrange: false,
  };
  const given = Object.fromEntries(Object.entries(layout).filter(([name]) => !/^[xy]axis/.test(name)));
  const axes = Object.fromEntries(Object.entries({ xaxis: {}, yaxis: {}, ...layout })
    .filter(([name]) => /^[xy]axis/.test(name))
    .map(([name, own]) => [name, { ...axis, ...own, title: titled(own.title) }]));
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: css("--text") },
    margin: { l: 56, r: 16, t: 12, b: 44 }, height: 380, hovermode: "closest",
    hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--line-strong"), font: { color: css("--text"), size: 12 }, align: "left" },
    showlegend: false, modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--text"), orientation: "v" },
    ...given, ...axes,
  };
}

const titled = (text) => (typeof text === "string" ? { text, standoff: 8, font: { size: 12, color: css("--quiet") } } : text);

/** Who is drawn in which colour, beside charts that draw the shown runs. */
function legend() {
  const made = el("ul", { class: "legend", "aria-label": "Runs drawn" });
  const draw = () => made.replaceChildren(...now.shown.map((run, slot) => {
    const mark = el("span", { class: "mark", "aria-hidden": "true" }, SIGNS_OF_MARKS[slot]);
    mark.style.setProperty("--colour", colourOf(slot));
    return el("li", {}, mark, el("button", { type: "button", class: "text", on: { click: () => openRun(run) } }, shorten(RUNS[run].name, 40)));
  }), ...(state.ticked.length > MOST_COLOURS ? [el("li", { class: "quiet" }, `the first ${MOST_COLOURS} of ${state.ticked.length} ticked`)] : []));
  listen(draw);
  draw();
  return made;
}

const MOST_CHANGES = new Set(["columns"]); // what no chart hangs on

listen((changed) => {
  if ([...changed].some((name) => !MOST_CHANGES.has(name))) refreshAll();
});
