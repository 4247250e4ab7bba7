// Parallel coordinates: a line a run through its knobs to the metric, on a canvas of our own:
// plotly's draws by WebGL and needs eval, and neither is to be had everywhere. What is dragged
// along an axis becomes a term of the filter, so that the same can be typed.

const PADS = { left: 70, right: 90, top: 46, bottom: 18 };
const parallel = { canvas: null, axes: [], picked: null, isSeen: false, drag: null, near: null };

function makeParallel(section) {
  const names = [...KNOBS.keys()].filter((name) => distinct(KNOBS.get(name)).length > 1);
  parallel.picked = new Set(names.slice(0, isNarrow() ? 3 : 7));
  const boxes = names.map((name) => el("label", { class: "choice" }, el("input", {
    type: "checkbox", checked: parallel.picked.has(name), on: { change: (event) => {
      parallel.picked[event.target.checked ? "add" : "delete"](name);
      drawParallel();
    } },
  }), name));
  const canvas = el("canvas", { class: "parallel", role: "img", on: { pointerdown: grab, pointermove: drag, pointerup: drop, pointerleave: leave } });
  parallel.canvas = canvas;
  section.append(
    el("p", { class: "quiet hint" }, "Drag along an axis to filter by it, click an axis to let it go. A click on a line opens the run."),
    el("figure", { class: "chart" }, canvas),
    el("details", {}, el("summary", {}, `Axes (${names.length} knobs differ)`), el("div", { class: "grid-of-choices" }, boxes)));
  new IntersectionObserver(([entry]) => {
    parallel.isSeen = entry.isIntersecting;
    if (parallel.isSeen) drawParallel();
  }, { rootMargin: "200px" }).observe(canvas);
  new ResizeObserver(() => drawParallel()).observe(canvas.parentElement);
  listen(() => drawParallel());
}

/** Where values lie on an axis, from 0 at the bottom to 1: numbers by size, others in their order. */
function axisOf(name, title, own, isMetric) {
  const found = distinct(own);
  const numbers = found.filter(isNumber);
  const isNumeric = numbers.length && found.every((value) => value === null || isNumber(value));
  if (isNumeric && (numbers.length > 6 || isMetric)) {
    const [low, high] = [numbers[0], numbers.at(-1)];
    // By the logarithm where values span more than a power of ten, as rates of learning do.
    const isLog = low > 0 && high / low > 10;
    const by = isLog ? Math.log : (value) => value;
    const place = (value) => (isNumber(value) ? (high === low ? 0.5 : (by(value) - by(low)) / (by(high) - by(low))) : null);
    const back = (at) => (isLog ? Math.exp(by(low) + at * (by(high) - by(low))) : low + at * (high - low));
    return { name, title, own, place, back, labels: [0, 0.25, 0.5, 0.75, 1].map((at) => [at, brief(back(at))]) };
  }
  const at = new Map(found.map((value, index) => [said(value), found.length < 2 ? 0.5 : 0.03 + (0.94 * index) / (found.length - 1)]));
  return { name, title, own, place: (value) => at.get(said(value)) ?? null, found, at,
    labels: found.length > 30 ? [] : found.map((value) => [at.get(said(value)), shorten(said(value), 14)]) };
}

function layOut() {
  const axes = [...KNOBS].filter(([name]) => parallel.picked.has(name)).map(([name, own]) => axisOf(name, name, own, false));
  const last = axisOf(state.key, keyName(state.key), ALL.map((run) => meanOf(state.key, run)), true);
  parallel.axes = [...axes, last];
  const { clientWidth: width, clientHeight: height } = parallel.canvas;
  const wide = width - PADS.left - PADS.right;
  parallel.axes.forEach((axis, at) => { axis.x = PADS.left + (parallel.axes.length < 2 ? wide : (at * wide) / (parallel.axes.length - 1)); });
  parallel.y = (at) => height - PADS.bottom - at * (height - PADS.top - PADS.bottom);
}

function drawParallel() {
  const { canvas } = parallel;
  if (!parallel.isSeen || !canvas.clientWidth) return;
  layOut();
  const ratio = devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.lineJoin = "round";
  const passed = new Set(now.rows);
  const scores = extent(now.rows.map((run) => meanOf(state.key, run)));
  pen.lineWidth = 1;
  pen.strokeStyle = css("--line-strong");
  pen.globalAlpha = ALL.length > 200 ? 0.12 : 0.35;
  for (const run of ALL) if (!passed.has(run)) trace(pen, run);
  const usual = Math.max(0.1, Math.min(0.9, 70 / now.rows.length));
  pen.lineWidth = now.rows.length > 200 ? 1.2 : 2;
  // The best last, over all others.
  const height = (run) => meanOf(state.key, run) ?? -1e9;
  const upwards = [...now.rows].sort((a, b) => height(a) - height(b) || a - b);
  for (const [at, run] of upwards.entries()) {
    pen.globalAlpha = at > 0.97 * upwards.length - 1 ? Math.max(usual, 0.75) : usual;
    pen.strokeStyle = shade(meanOf(state.key, run), scores);
    trace(pen, run);
  }
  pen.globalAlpha = 1;
  for (const run of state.ticked.filter((one) => passed.has(one)).slice(0, MOST_COLOURS)) {
    pen.lineWidth = 3.5;
    pen.strokeStyle = colourOf(now.shown.indexOf(run));
    trace(pen, run);
  }
  if (parallel.near !== null) {
    pen.lineWidth = 4;
    pen.strokeStyle = css("--text");
    trace(pen, parallel.near);
  }
  for (const axis of parallel.axes) drawAxis(pen, axis);
  canvas.setAttribute("aria-label", `Parallel coordinates of ${counted(now.rows.length, "run")} over `
    + `${parallel.axes.map((axis) => axis.title).join(", ")}. The filter above selects the same by typing.`);
  canvas.dataset.drawn = String(now.rows.length);
}

function trace(pen, run) {
  pen.beginPath();
  let isDown = false;
  for (const axis of parallel.axes) {
    const at = axis.place(axis.own[run]);
    if (at === null) isDown = false;
    else if (isDown) pen.lineTo(axis.x, parallel.y(at));
    else {
      pen.moveTo(axis.x, parallel.y(at));
      isDown = true;
    }
  }
  pen.stroke();
}

function shade(value, range) {
  if (!isNumber(value) || !range) return css("--line-strong");
  const colours = scale();
  const at = range[1] === range[0] ? 1 : (value - range[0]) / (range[1] - range[0]);
  // The fifth that is nearest to the ground is left out: its lines would not be seen.
  return colours[Math.round((0.2 + 0.8 * at) * (colours.length - 1))][1];
}

function drawAxis(pen, axis) {
  const [top, bottom] = [parallel.y(1), parallel.y(0)];
  const isLast = axis === parallel.axes.at(-1);
  pen.strokeStyle = css("--text");
  pen.lineWidth = 1.2;
  pen.beginPath();
  pen.moveTo(axis.x, top - 6);
  pen.lineTo(axis.x, bottom + 6);
  pen.stroke();
  const family = getComputedStyle(document.body).fontFamily;
  const write = (text, x, y, colour) => {
    const wide = pen.measureText(text).width;
    const from = x - wide * { left: 0, center: 0.5, right: 1 }[pen.textAlign];
    pen.globalAlpha = 0.82;
    pen.fillStyle = css("--raised");
    pen.fillRect(from - 3, y - 11, wide + 6, 15);
    pen.globalAlpha = 1;
    pen.fillStyle = colour;
    pen.fillText(text, x, y);
  };
  pen.font = `600 12px ${family}`;
  pen.textAlign = isLast ? "right" : axis === parallel.axes[0] ? "left" : "center";
  const room = Math.floor((parallel.axes.length > 1 ? parallel.axes[1].x - parallel.axes[0].x : 400) / 7.4);
  // Where there is no room for a knob's whole name, its end tells it best.
  const title = axis.title.length > room && !isLast ? axis.title.split(".").at(-1) : axis.title;
  const edge = isLast ? parallel.canvas.clientWidth - 4 : axis === parallel.axes[0] ? 4 : axis.x;
  write(shorten(title, isLast ? 60 : Math.max(5, room)), edge, isLast ? 14 : 30, css("--text"));
  pen.font = `11px ${family}`;
  pen.textAlign = isLast ? "left" : "right";
  for (const [at, text] of axis.labels) write(text, axis.x + (isLast ? 8 : -8), parallel.y(at) + 4, css("--quiet"));
  for (const [low, high] of spansOf(axis)) {
    pen.fillStyle = css("--brush");
    pen.fillRect(axis.x - 7, parallel.y(high), 14, Math.max(4, parallel.y(low) - parallel.y(high)));
    pen.strokeStyle = css("--accent");
    pen.lineWidth = 1.5;
    pen.strokeRect(axis.x - 7, parallel.y(high), 14, Math.max(4, parallel.y(low) - parallel.y(high)));
  }
}

/** What the filter, or a drag in course, holds of an axis. */
function spansOf(axis) {
  if (parallel.drag?.axis === axis.name && parallel.drag.isMoved) return [[...[parallel.drag.from, parallel.drag.to]].sort((a, b) => a - b)];
  const terms = now.terms.filter((term) => term.name === axis.name);
  if (!terms.length) return [];
  const rows = ALL.filter((run) => terms.every((term) => term.holds(run)));
  const range = extent(rows.map((run) => axis.place(axis.own[run])));
  return range ? [[range[0] - 0.01, range[1] + 0.01]] : [];
}

function spot(event) {
  const frame = parallel.canvas.getBoundingClientRect();
  const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
  const at = Math.max(0, Math.min(1, (parallel.y(0) - y) / (parallel.y(0) - parallel.y(1))));
  const axis = parallel.axes.find((one) => Math.abs(one.x - x) < 18);
  return { x, y, at, axis };
}

function grab(event) {
  const { axis, at } = spot(event);
  if (!axis) return;
  parallel.drag = { axis: axis.name, from: at, to: at, isMoved: false };
  parallel.canvas.setPointerCapture(event.pointerId);
}

function drag(event) {
  const { x, y, at, axis } = spot(event);
  if (parallel.drag) {
    Object.assign(parallel.drag, { to: at, isMoved: parallel.drag.isMoved || Math.abs(at - parallel.drag.from) > 0.02 });
    drawParallel();
    return;
  }
  const near = axis ? null : nearest(x, y);
  parallel.canvas.style.cursor = axis ? "ns-resize" : near === null ? "default" : "pointer";
  tip(near === null ? null : [RUNS[near].name, `${keyName(state.key)} ${scoreWithHalf(state.key, near)}`], event);
  if (near === parallel.near) return;
  parallel.near = near;
  drawParallel();
}

function drop(event) {
  const done = parallel.drag;
  parallel.drag = null;
  if (!done) {
    const { x, y } = spot(event);
    const near = nearest(x, y);
    if (near !== null) openRun(near);
    return;
  }
  const axis = parallel.axes.find((one) => one.name === done.axis);
  if (!done.isMoved) return dropTerms([done.axis]);
  const [low, high] = [done.from, done.to].sort((a, b) => a - b);
  dropTerms([done.axis]);
  if (axis.back) setTerms([`${axis.name}>=${brief(axis.back(low))}`, `${axis.name}<=${brief(axis.back(high))}`]);
  else {
    const own = axis.found.filter((value) => axis.at.get(said(value)) >= low && axis.at.get(said(value)) <= high);
    setTerms([`${axis.name}=${quote(own.map((value) => (value === null ? "null" : said(value))).join("|"))}`]);
  }
}

function leave() {
  tip(null);
  if (parallel.near === null) return;
  parallel.near = null;
  drawParallel();
}

/** The run whose line passes within a few pixels. */
function nearest(x, y) {
  const at = parallel.axes.findIndex((axis) => axis.x > x);
  if (at < 1) return null;
  const [left, right] = [parallel.axes[at - 1], parallel.axes[at]];
  const share = (x - left.x) / (right.x - left.x);
  let [found, closest] = [null, 8];
  for (const run of now.rows) {
    const [one, other] = [left.place(left.own[run]), right.place(right.own[run])];
    if (one === null || other === null) continue;
    const away = Math.abs(parallel.y(one + share * (other - one)) - y);
    if (away < closest) [found, closest] = [run, away];
  }
  return found;
}

/** Lines beside the pointer; none of them takes it away. */
function tip(lines, event) {
  const box = byId("tip");
  box.hidden = !lines;
  if (!lines) return;
  box.replaceChildren(...lines.map((line) => el("div", {}, line)));
  box.style.left = `${Math.min(event.clientX + 14, innerWidth - 260)}px`;
  box.style.top = `${event.clientY + 16}px`;
}
