// The sections of the page, in order; what there is no data for is not made.

const SECTIONS = [
  { id: "overview", title: "Overview", make: makeOverview, has: () => true },
  { id: "runs", title: "Runs", make: makeRuns, has: () => true },
  { id: "intervals", title: "Intervals", make: makeIntervals, has: () => KEYS.length },
  { id: "knobs", title: "By knob", make: makeKnobs, has: () => KEYS.length && KNOBS.size },
  { id: "parallel", title: "All knobs", make: makeParallel, has: () => KEYS.length && KNOBS.size },
  { id: "curves", title: "Curves", make: makeCurves, has: () => isPacked("curves") },
  { id: "study", title: "Algorithms", make: makeStudy, has: () => isPacked("study") },
  { id: "inflation", title: "Reward inflation", make: makeInflation, has: () => isPacked("inflation") },
  { id: "segments", title: "Segments", make: makeSegments, has: () => isPacked("segments") },
  { id: "cases", title: "Cases", make: makeCases, has: () => isPacked("cases") },
  { id: "costs", title: "Costs", make: makeCosts, has: () => KEYS.length && Object.values(DATA.costs ?? {}).some((own) => own.some(isNumber)) },
  { id: "notes", title: "Notes", make: makeNotes, has: () => true },
];
const AT_ONCE = new Set(["overview", "runs", "notes"]);

function makeRuns(section) {
  section.querySelector("h2").after(el("button", { type: "button", class: "beside", "aria-haspopup": "dialog", on: { click: openColumns } }, "Columns…"));
  makeTable(section);
}

function makeOverview(section) {
  const cards = el("div", { class: "cards" });
  const untested = el("p", { class: "banner", hidden: true });
  section.append(cards, untested);
  const draw = () => {
    cards.replaceChildren(...[bestCard(), referenceCard(), verdictCard(), costCard()].filter(Boolean));
    untested.textContent = whyUntested();
    untested.hidden = !untested.textContent;
  };
  listen(draw);
  draw();
}

/** Tests need every sample's ranks, which a page does not hold: it has those it was written with. */
function whyUntested() {
  if (state.reference === null) return "";
  const name = RUNS[state.reference].name;
  if (state.reference !== DATA.reference)
    return `Differences are from ${name}, without tests: this page was written with tests `
      + `${DATA.reference === null ? "against no run" : `against ${RUNS[DATA.reference].name}`}. `
      + `For tests against ${name}, write it again with ${inShell("compare.reference", name)}.`;
  const tested = Object.keys(DATA.tests ?? {});
  if (!state.key || tested.includes(state.key)) return "";
  const metrics = [...new Set(tested.map((key) => metricName(split(key).metric)))].join(", ");
  return `${keyName(state.key)} was not tested, ${metrics || "nothing"} was: compare.metrics says what is.`;
}

const card = (title, ...body) => el("div", { class: "card" }, el("h3", {}, title), body);

function runButton(run) {
  return el("button", { type: "button", class: "text", on: { click: () => openRun(run) } }, RUNS[run].name);
}

function bestCard() {
  const rows = now.rows.filter((run) => isNumber(meanOf(state.key, run)));
  if (!rows.length) return card("Best", el("p", { class: "quiet" }, KEYS.length ? "No run here has this metric." : "No run evaluated anything."));
  const run = rows.reduce((one, other) => (meanOf(state.key, other) > meanOf(state.key, one) ? other : one));
  const knobs = [...KNOBS].slice(0, 3).map(([name, own]) => `${name}=${said(own[run])}`).join("  ");
  return card(`Best ${keyName(state.key)}`, el("p", { class: "big" }, scoreWithHalf(state.key, run)), el("p", {}, runButton(run)), el("p", { class: "quiet" }, knobs));
}

function referenceCard() {
  if (state.reference === null) return null;
  return card("Reference", el("p", { class: "big" }, scoreWithHalf(state.key, state.reference)), el("p", {}, runButton(state.reference)));
}

function verdictCard() {
  if (state.reference === null) return null;
  const all = now.rows.map((run) => differenceOf(state.key, run)?.verdict).filter(Boolean);
  const lines = ["above", "even", "below", "untested"].map((verdict) => {
    const number = all.filter((one) => one === verdict).length;
    if (!number) return null;
    return el("li", {}, el("button", { type: "button", class: "text", on: { click: () => setTerms([`verdict=${verdict}`]) } },
      el("span", { class: `diff ${verdict}` }, `${SIGNS[verdict].sign} ${number.toLocaleString("en")}`), ` ${verdict === "even" ? "not distinguishable" : verdict === "untested" ? "not tested" : verdict}`));
  });
  return card("Against the reference", el("ul", { class: "verdicts" }, lines),
    all.every((one) => one === "untested") ? null : el("p", { class: "quiet" }, "paired bootstrap, Holm-corrected at 5 %"));
}

function costCard() {
  const own = now.rows.map((run) => DATA.costs?.seconds?.[run]).filter(isNumber);
  if (!own.length) return null;
  return card("Time of these runs", el("p", { class: "big" }, seconds(own.reduce((sum, one) => sum + one, 0))), el("p", { class: "quiet" }, `${counted(own.length, "run")}, the longest ${seconds(Math.max(...own))}`));
}

function makeNotes(section) {
  const notes = DATA.notes ?? [];
  section.append(el("ul", { class: "notes" }, (notes.length ? notes : ["Nothing to beware of was found."]).map((note) => el("li", {}, note))));
  const same = Object.entries(DATA.same ?? {});
  if (same.length) section.append(el("details", {}, el("summary", {}, `The same in all runs (${same.length})`), knobList(same)));
}

/** A section's frame now, and its contents when it comes near; those that are seen first at once. */
function makeSections() {
  document.querySelector(".skip").addEventListener("click", jump);
  const soon = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      soon.unobserve(entry.target);
      if (entry.target.classList.contains("waiting")) start(SECTIONS.find((one) => one.id === entry.target.id), entry.target);
    }
  }, { rootMargin: "700px" });
  for (const one of SECTIONS.filter((each) => each.has())) {
    const section = el("section", { id: one.id, "aria-labelledby": `${one.id}-title`, tabindex: "-1" }, el("h2", { id: `${one.id}-title` }, one.title));
    byId("main").append(section);
    byId("sections").append(el("li", {}, el("a", { href: `#${one.id}`, on: { click: jump } }, one.title)));
    if (AT_ONCE.has(one.id)) start(one, section);
    else {
      section.classList.add("waiting");
      soon.observe(section);
    }
  }
}

async function start(one, section) {
  section.classList.remove("waiting");
  try {
    await one.make(section);
    section.dataset.made = "true";
  } catch (error) {
    section.append(el("p", { class: "banner" }, `This part could not be shown: ${error.message}`));
    console.error(error);
  }
}

/** To a section without touching the address, which keeps what is chosen. */
async function jump(event) {
  event.preventDefault();
  const section = byId(event.currentTarget.getAttribute("href").slice(1));
  // Sections above it that are made later would push it away.
  for (const other of [...byId("main").children]) {
    if (other.classList.contains("waiting")) await start(SECTIONS.find((one) => one.id === other.id), other);
    if (other === section) break;
  }
  section.scrollIntoView();
  section.focus({ preventScroll: true });
}

/** The section that is read, marked in the list of them. */
function followSections() {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting))
      for (const anchor of byId("sections").querySelectorAll("a"))
        if (anchor.getAttribute("href") === `#${entry.target.id}`) anchor.setAttribute("aria-current", "true");
        else anchor.removeAttribute("aria-current");
  }, { rootMargin: "-25% 0px -70% 0px" });
  for (const section of byId("main").children) seen.observe(section);
}

recall();
derive();
byId("title").textContent = DATA.title;
byId("made").textContent = `${counted(RUNS.length, "run")} · written ${String(DATA.made).replace("T", " ").slice(0, 16)}`;
makeControls();
makeSections();
followSections();
// Told to who measures: from here on the page answers.
requestAnimationFrame(() => { document.documentElement.dataset.ready = String(Math.round(performance.now())); });
startWhenQuiet();
