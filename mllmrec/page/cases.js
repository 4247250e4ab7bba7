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
  const gap = (sample) => gapOf(sample, caseChoice.first, caseChoice.second);

  function change(what) {
    Object.assign(caseChoice, what, { at: 0 });
    samples = all.samples.filter((sample) => gap(sample) !== 0
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

/** Where the target came; a list that does not name it (0) is behind every one that does. */
const rankOf = (sample, side) => sample.by[side].rank || Infinity;

const placeTold = (rank) => (rank === Infinity ? "not named" : `#${rank}`);

const place = (sample, side) => placeTold(rankOf(sample, side));

/** How many places the first puts the target above the second; 0 where neither names it. */
function gapOf(sample, first, second) {
  const [one, other] = [rankOf(sample, first), rankOf(sample, second)];
  return one === other ? 0 : other - one;
}

/** What a run's model was shown: its own where it has one, also where that is nothing. */
const shownTo = (sample, side, name) => (name in sample.by[side] ? sample.by[side][name] : sample[name]) ?? null;

function caseParts(all, sample) {
  const { first, second } = caseChoice;
  return [
    el("h3", {}, sample.target, el("span", { class: "quiet" }, `  sample ${sample.id}`)),
    el("p", { class: "quiet" }, "History: ", sample.history.join(" → ") || NONE),
    el("div", { class: "two rankings" }, ranking(all, sample, first, second), ranking(all, sample, second, first)),
    asked(all, sample, "rationale", "Rationale", { open: true }, (text) => el("p", { class: "rationale" }, text)),
    asked(all, sample, "prompt", "Prompt", {}, (text) => el("pre", { tabindex: "0" }, text)),
    all.shortened?.some((run) => run === all.runs[first] || run === all.runs[second])
      ? el("p", { class: "quiet" }, "Under prompt.too_long=drop_oldest the oldest items may have been left out of a prompt that the model could not hold; it is told whole here.") : "",
  ];
}

/** What both runs' models were shown, once, or what each of them was, by name. */
function asked(all, sample, name, title, attributes, make) {
  const { first, second } = caseChoice;
  const [one, other] = [shownTo(sample, first, name), shownTo(sample, second, name)];
  const told = (text, summary) => (text === null ? el("p", { class: "quiet" }, `${summary}: none.`)
    : el("details", attributes, el("summary", {}, summary), make(text)));
  if (one === other) return told(one, title);
  return el("div", { class: "two" }, told(one, `${title} of ${RUNS[all.runs[first]].name}`), told(other, `${title} of ${RUNS[all.runs[second]].name}`));
}

/** A run's list; beside each title how many places higher or lower the other run puts it. */
function ranking(all, sample, side, other) {
  const { ranked } = sample.by[side];
  const rank = rankOf(sample, side);
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
  const isBelow = rank > ranked.length && rank !== Infinity;
  return el("section", {}, el("h4", {}, RUNS[all.runs[side]].name, el("span", { class: "quiet" }, rank === Infinity ? "  target not named" : `  target at ${placeTold(rank)}`)), el("ol", {}, lines),
    isBelow ? el("p", { class: "quiet" }, `The target is below, at ${placeTold(rank)}.`) : null);
}
