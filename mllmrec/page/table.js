// The table of runs: a grid of which only the rows in view exist, moved through by the arrow keys.

const ROW = 34;
const SPARE = 8; // rows made above and below those in view
const TICK = 44; // the width of the column of ticks

const grid = {
  active: { row: 0, column: 1 }, // row -1 is the head; column 0 the ticks
  columns: [],
  scroller: null, head: null, body: null, table: null, made: "",
};

function makeTable(section) {
  grid.head = el("thead");
  grid.body = el("tbody");
  grid.table = el("table", {
    role: "grid", id: "grid", "aria-label": "Runs", "aria-describedby": "grid-help",
    "aria-multiselectable": "true",
    on: { keydown: onKey, click: onClick, dblclick: onOpen, focusin: onFocus },
  }, grid.head, grid.body);
  grid.scroller = el("div", { class: "scroller", id: "scroller", tabindex: "-1" }, grid.table);
  section.append(
    el("p", { class: "quiet hint", id: "grid-help" },
      "Ticked runs are the ones that the charts draw; with none ticked, the first six rows. ",
      "Arrow keys move, Enter opens a run or sorts, Space ticks."),
    grid.scroller);
  grid.scroller.addEventListener("scroll", () => requestAnimationFrame(() => drawRows()), { passive: true });
  new ResizeObserver(() => drawRows()).observe(grid.scroller);
  listen(drawTable);
  drawTable();
}

/** Everything anew: the head, the widths, the rows in view. */
function drawTable() {
  grid.columns = columns();
  const widths = [TICK, ...grid.columns.map(widthOf)];
  const total = widths.reduce((sum, width) => sum + width, 0);
  grid.table.style.width = `max(100%, ${total}px)`;
  grid.table.querySelector("colgroup")?.remove();
  // The last column takes what is left, so that names and numbers do not drift apart.
  grid.table.prepend(el("colgroup", {}, widths.map((width) => {
    const column = el("col");
    column.style.width = `${width}px`;
    return column;
  }), el("col")));
  grid.table.setAttribute("aria-rowcount", String(now.rows.length + 1));
  grid.table.setAttribute("aria-colcount", String(widths.length));
  const hadFocus = grid.table.contains(document.activeElement);
  grid.active.row = Math.min(grid.active.row, now.rows.length - 1);
  grid.active.column = Math.min(grid.active.column, grid.columns.length);
  grid.head.replaceChildren(headRow());
  grid.made = "";
  drawRows();
  if (hadFocus) focusActive();
}

function headRow() {
  const { by, isUp } = state.sort ?? { by: "metric", isUp: false };
  const cells = grid.columns.map((column, at) => {
    const isBy = column.id === by;
    const sign = el("span", { class: "sorted", "aria-hidden": "true" }, isBy ? (isUp ? "▲" : "▼") : "");
    return el("th", {
      role: "columnheader", scope: "col", "aria-colindex": at + 2, "data-column": at + 1,
      "aria-sort": isBy ? (isUp ? "ascending" : "descending") : "none", tabindex: tab(-1, at + 1),
      class: [column.isRight && "right", at === 0 && "name"].filter(Boolean).join(" "),
      title: `${column.about}; sort by it`,
    }, el("span", { class: "label" }, column.title), sign);
  });
  const first = el("th", { role: "columnheader", class: "tick", "aria-colindex": 1, "data-column": 0,
    tabindex: tab(-1, 0), title: "draw in charts; Enter unticks all" },
  el("span", { class: "unseen" }, "Ticked"), state.ticked.length ? String(state.ticked.length) : "");
  return el("tr", { role: "row", "aria-rowindex": 1, "data-row": -1 }, first, cells, el("th", { class: "rest", role: "presentation" }));
}

const tab = (row, column) => (grid.active.row === row && grid.active.column === column ? "0" : "-1");

/** The rows in view, with room above and below for those that are not. */
function drawRows() {
  const { scroller, body } = grid;
  const count = now.rows.length;
  const from = Math.max(0, Math.floor(scroller.scrollTop / ROW) - SPARE);
  const to = Math.min(count, Math.ceil((scroller.scrollTop + (scroller.clientHeight || 600)) / ROW) + SPARE);
  const made = `${from} ${to}`;
  if (made === grid.made) return;
  const hadFocus = body.contains(document.activeElement);
  grid.made = made;
  const rows = [];
  for (let at = from; at < to; at++) rows.push(row(now.rows[at], at));
  if (!count)
    rows.push(el("tr", { role: "row" }, el("td", { class: "nothing", colspan: grid.columns.length + 2 }, "No run passes the filter.")));
  body.replaceChildren(room(from * ROW), ...rows, room((count - to) * ROW));
  if (hadFocus) focusActive();
}

function room(height) {
  const made = el("tr", { class: "room", "aria-hidden": "true" }, el("td", { colspan: grid.columns.length + 2 }));
  made.style.height = `${height}px`;
  return made;
}

function row(run, at) {
  const isTicked = state.ticked.includes(run);
  const cells = grid.columns.map((column, place) => {
    const isName = column.id === "name";
    return el(isName ? "th" : "td", {
      role: isName ? "rowheader" : "gridcell", "aria-colindex": place + 2, "data-column": place + 1,
      tabindex: tab(at, place + 1), class: [column.isRight && "right", isName && "name"].filter(Boolean).join(" "),
      title: column.cell ? null : column.text(run),
    }, column.cell ? column.cell(run) : isName ? nameParts(run) : column.text(run));
  });
  return el("tr", {
    role: "row", "aria-rowindex": at + 2, "aria-selected": String(isTicked), "data-row": at, "data-run": run,
    class: [isTicked && "ticked", run === state.reference && "reference"].filter(Boolean).join(" "),
  }, tickCell(run, at, isTicked), cells, el("td", { class: "rest", role: "presentation" }));
}

function nameParts(run) {
  const parts = [el("span", { class: "words" }, RUNS[run].name)];
  if (run === state.reference) parts.push(el("span", { class: "badge" }, "ref"));
  if (RUNS[run].state !== "finished") parts.push(el("span", { class: "badge bad" }, RUNS[run].state ?? "unknown"));
  return el("span", { class: "named" }, parts);
}

function tickCell(run, at, isTicked) {
  const slot = now.shown.indexOf(run);
  const mark = el("span", { class: "swatch", "aria-hidden": "true" }, isTicked ? "✓" : "");
  if (slot >= 0) {
    mark.classList.add("drawn");
    mark.style.setProperty("--colour", colourOf(slot));
  }
  return el("td", { role: "gridcell", class: "tick", "aria-colindex": 1, "data-column": 0, tabindex: tab(at, 0) },
    mark, el("span", { class: "unseen" }, isTicked ? "ticked" : "not ticked"));
}

const pen = document.createElement("canvas").getContext("2d");
const measured = new Map();

/** As wide as its longest text, within the column's bounds. */
function widthOf(column) {
  const id = `${isNarrow()} ${column.id} ${column.key ?? ""} ${column.id === "diff" ? state.key + state.reference : ""}`;
  if (!measured.has(id)) {
    pen.font = `13px ${getComputedStyle(document.body).fontFamily}`;
    let widest = pen.measureText(column.title).width + 22;
    // The widest is among those of the most letters; to measure all of a thousand rows takes long.
    const texts = [...new Set(ALL.map((run) => column.text(run)))].sort((one, other) => other.length - one.length);
    for (const text of texts.slice(0, 20)) widest = Math.max(widest, pen.measureText(text).width + (column.id === "name" ? 60 : 0));
    const most = column.id === "name" && isNarrow() ? 150 : column.most;
    measured.set(id, Math.ceil(Math.min(most, Math.max(column.least, widest + 22))));
  }
  return measured.get(id);
}

/** Moves to a cell, and scrolls so far that it can be seen. */
function moveTo(rowAt, column) {
  grid.active = {
    row: Math.max(-1, Math.min(now.rows.length - 1, rowAt)),
    column: Math.max(0, Math.min(grid.columns.length, column)),
  };
  const { scroller } = grid;
  const head = grid.head.offsetHeight;
  const top = grid.active.row * ROW;
  if (grid.active.row >= 0) {
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    const most = top + ROW + head - scroller.clientHeight;
    if (most > scroller.scrollTop) scroller.scrollTop = most;
  }
  grid.head.replaceChildren(headRow());
  grid.made = "";
  drawRows();
  focusActive();
}

function focusActive() {
  const { row: rowAt, column } = grid.active;
  const cell = grid.table.querySelector(`[data-row="${rowAt}"] [data-column="${column}"]`);
  cell?.focus({ preventScroll: true });
  if (!cell || column < 2) return;
  // Sideways by hand: the browser does not know of the columns that stay in place.
  const left = grid.table.querySelector("thead .name").offsetWidth + TICK;
  const { scroller } = grid;
  if (cell.offsetLeft - left < scroller.scrollLeft) scroller.scrollLeft = cell.offsetLeft - left;
  const right = cell.offsetLeft + cell.offsetWidth - scroller.clientWidth;
  if (right > scroller.scrollLeft) scroller.scrollLeft = right;
}

function onKey(event) {
  const { row: rowAt, column } = grid.active;
  const page = Math.max(1, Math.floor(grid.scroller.clientHeight / ROW) - 2);
  const isWhole = event.ctrlKey || event.metaKey;
  const moves = {
    ArrowUp: [rowAt - 1, column], ArrowDown: [rowAt + 1, column],
    ArrowLeft: [rowAt, column - 1], ArrowRight: [rowAt, column + 1],
    PageUp: [Math.max(0, rowAt - page), column], PageDown: [rowAt + page, column],
    Home: [isWhole ? 0 : rowAt, 0], End: [isWhole ? now.rows.length - 1 : rowAt, Infinity],
  };
  if (moves[event.key]) moveTo(...moves[event.key]);
  else if (event.key === "Enter") act(rowAt, column);
  else if (event.key === " " && rowAt >= 0) toggle(now.rows[rowAt]);
  else return;
  event.preventDefault();
}

function act(rowAt, column) {
  if (rowAt < 0) return column === 0 ? update({ ticked: [] }) : sortBy(grid.columns[column - 1]);
  return column === 0 ? toggle(now.rows[rowAt]) : openRun(now.rows[rowAt]);
}

function placeOf(event) {
  const cell = event.target.closest("[data-column]");
  if (!cell) return null;
  return { row: Number(cell.parentElement.dataset.row), column: Number(cell.dataset.column) };
}

function onFocus(event) {
  const place = placeOf(event);
  if (place) grid.active = place;
}

function onClick(event) {
  const place = placeOf(event);
  if (!place) return;
  grid.active = place;
  if (place.row < 0 || place.column === 0) act(place.row, place.column);
  else if (place.column === 1) openRun(now.rows[place.row]);
  else moveTo(place.row, place.column);
}

function onOpen(event) {
  const place = placeOf(event);
  if (place && place.row >= 0 && place.column > 1) openRun(now.rows[place.row]);
}

function toggle(run) {
  const others = state.ticked.filter((one) => one !== run);
  update({ ticked: others.length === state.ticked.length ? [...others, run] : others });
}

/** First the way that is wanted most, best or least first; then the other. */
function sortBy(column) {
  const old = state.sort ?? { by: "metric", isUp: false };
  const isUp = old.by === column.id ? !old.isUp : !column.bestIsHigh;
  grid.scroller.scrollTop = 0;
  update({ sort: { by: column.id, isUp } });
}
