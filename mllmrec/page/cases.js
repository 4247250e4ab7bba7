// Samples on which two runs disagree: what was asked, the rationale, and both rankings side by side.

const caseChoice = { first: 0, second: 1, kind: "all", at: 0 };

async function makeCases(section) {
  const all = await part("cases");
  const names = all.runs.map((run, place) => [String(place), RUNS[run].name]);
  const list = el("ul", { class: "case-list", role: "listbox", tabindex: "0", "aria-label": "Samples", on: { keydown: (event) => step(event) } });
  const shown = el("article", { class: "case", "aria-live": "polite" });
  const count = el("span", { class: "quiet" });
  const kinds = [["all", "all that differ"], ["first", "the first ranks higher"], ["second", "the second ranks higher"]];
  section.append(
    el("p", { class: "quiet hint" }, `${all.policy}, ${all.protocol}. The samples on which the runs differ most come first.`),
    el("div", { class: "row" },
      picker("First run", names, "0", (value) => change({ first: Number(value) })),
      picker("Second run", names, "1", (value) => change({ second: Number(value) })),
      picker("Show", kinds, "all", (value) => change({ kind: value })), count),
    el("div", { class: "case-frame" }, list, shown));
  let samples = [];
  const gap = (sample) => sample.by[caseChoice.second].rank - sample.by[caseChoice.first].rank;

  function change(what) {
    Object.assign(caseChoice, what, { at: 0 });
    samples = all.samples.filter((sample) => isNumber(gap(sample)) && gap(sample) !== 0
      && (caseChoice.kind === "all" || (caseChoice.kind === "first") === gap(sample) > 0))
      .sort((a, b) => Math.abs(gap(b)) - Math.abs(gap(a)));
    count.textContent = counted(samples.length, "sample");
    list.replaceChildren(...samples.map((sample, at) => el("li", { role: "option", id: `case-${at}`, on: { click: () => choose(at) } },
      el("span", { class: "words" }, sample.target),
      el("span", { class: "ranks" }, `${place(sample, caseChoice.first)} · ${place(sample, caseChoice.second)}`))));
    choose(0);
  }

  function choose(at) {
    caseChoice.at = Math.max(0, Math.min(samples.length - 1, at));
    for (const [index, item] of [...list.children].entries()) item.setAttribute("aria-selected", String(index === caseChoice.at));
    list.setAttribute("aria-activedescendant", samples.length ? `case-${caseChoice.at}` : "");
    const item = list.children[caseChoice.at];
    // The list alone is scrolled, not the page.
    if (item && (item.offsetTop < list.scrollTop || item.offsetTop + item.offsetHeight > list.scrollTop + list.clientHeight))
      list.scrollTop = item.offsetTop - list.clientHeight / 2;
    shown.replaceChildren(...(samples.length ? caseParts(all, samples[caseChoice.at])
      : [el("p", { class: "quiet" }, "These two runs do not differ on any sample that was kept.")]));
  }

  function step(event) {
    const moves = { ArrowDown: caseChoice.at + 1, ArrowUp: caseChoice.at - 1, Home: 0, End: samples.length - 1 };
    if (moves[event.key] === undefined) return;
    choose(moves[event.key]);
    event.preventDefault();
  }

  change({});
}

const place = (sample, side) => `#${sample.by[side].rank}`;

function caseParts(all, sample) {
  const { first, second } = caseChoice;
  return [
    el("h3", {}, sample.target, el("span", { class: "quiet" }, `  sample ${sample.id}`)),
    el("p", { class: "quiet" }, "History: ", sample.history.join(" → ") || NONE),
    el("div", { class: "two rankings" }, ranking(all, sample, first, second), ranking(all, sample, second, first)),
    sample.rationale ? el("details", { open: true }, el("summary", {}, "Rationale"), el("p", { class: "rationale" }, sample.rationale)) : el("p", { class: "quiet" }, "No rationale."),
    el("details", {}, el("summary", {}, "Prompt"), el("pre", { tabindex: "0" }, sample.prompt)),
  ];
}

/** A run's list; beside each title how many places higher or lower the other run puts it. */
function ranking(all, sample, side, other) {
  const { ranked, rank } = sample.by[side];
  const theirs = sample.by[other].ranked;
  const isThere = ranked[rank - 1] === sample.target;
  const lines = ranked.map((title, at) => {
    const isTarget = isThere ? at === rank - 1 : title === sample.target;
    const found = theirs.indexOf(title);
    const moved = found < 0 ? null : found - at;
    const sign = moved === null ? "not listed by the other" : moved > 0 ? `▲ ${moved}` : moved < 0 ? `▼ ${-moved}` : "=";
    return el("li", { class: isTarget ? "target" : "" }, el("span", { class: "words" }, title),
      isTarget ? el("span", { class: "badge" }, "target") : null, el("span", { class: "moved", title: "places higher or lower than in the other list" }, sign));
  });
  const isBelow = rank > ranked.length;
  return el("section", {}, el("h4", {}, RUNS[all.runs[side]].name, el("span", { class: "quiet" }, `  target at #${rank}`)), el("ol", {}, lines),
    isBelow ? el("p", { class: "quiet" }, `The target is below, at #${rank}.`) : null);
}
