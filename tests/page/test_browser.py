"""A page as its readers use it, in a real browser: what it shows, and what keys and clicks do."""

import re

import numpy as np
import pytest

from bench._pages import BETAS, KEYS, SHARES, comparison
from mllmrec.page.build import write_page
from tests.page.browsing import names, needs_chromium, opened, section, started
from tests.page.test_build import hostile

pytestmark = needs_chromium
COUNT, KEY = 24, KEYS[0]


@pytest.fixture(scope="module")
def browser():
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def data():
    made = comparison(COUNT)
    made["values"][KEY]["mean"][5] = None  # a run that evaluated less than the others
    return made


@pytest.fixture(scope="module")
def file(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_page(data, path)
    return path


@pytest.fixture(scope="module")
def shared(browser, file):
    with opened(browser, file) as found:
        yield found


@pytest.fixture
def page(shared):
    """One page for all that leave it open, as it was at first: to open one takes a second."""
    shared.evaluate("document.getElementById('dialog').close()")
    shared.evaluate("scrollTo(0, 0), document.getElementById('scroller').scrollTo(0, 0)")
    shared.evaluate(
        "new Promise(done => { addEventListener('hashchange', () => setTimeout(done),"
        " { once: true }); location.hash = '#first'; })"
    )
    return shared


def knob(data, name):
    return next(one["values"] for one in data["knobs"] if one["name"] == name)


def by_metric(data):
    """Names by the metric, the best first, what is missing last."""
    mean = data["values"][KEY]["mean"]
    order = sorted(range(COUNT), key=lambda run: (mean[run] is None, -(mean[run] or 0)))
    return [data["runs"][run]["name"] for run in order]


def test_the_table_begins_with_the_best_and_sorts_by_any_column(page, data):
    assert names(page) == by_metric(data)
    head = page.locator("#grid thead th", has_text="grpo · uni9 · NDCG@5")
    assert head.get_attribute("aria-sort") == "descending"
    head.click()
    assert head.get_attribute("aria-sort") == "ascending"
    *rising, last = names(page)
    assert rising == by_metric(data)[-2::-1] and last == data["runs"][5]["name"]  # missing: last
    page.locator("#grid thead th", has_text="grpo.learning_rate").click()
    rates = knob(data, "grpo.learning_rate")
    order = sorted(range(COUNT), key=lambda run: rates[run])
    assert names(page) == [data["runs"][run]["name"] for run in order]


def test_a_cell_tells_mean_interval_and_verdict(page, data):
    cells = page.locator("#grid tbody tr[data-row='0'] td")
    told, tests, run = data["values"][KEY], data["tests"][KEY], names(page)[0]
    at = next(at for at, one in enumerate(data["runs"]) if one["name"] == run)
    half = (told["high"][at] - told["low"][at]) / 2
    assert cells.nth(1).inner_text() == f"{told['mean'][at]:.4f} ±{half:.4f}"
    assert tests["holm"][at] < 0.05
    diff = cells.nth(2)
    assert re.match(rf"\+{tests['diff'][at]:.4f}\s*▲", diff.inner_text())
    assert "above the reference" in diff.inner_text()  # said to those who do not see the sign
    assert "Holm-corrected" in diff.locator(".diff").get_attribute("title")


FILTERS = {
    "cot_prob=0.1": lambda share, beta, run: share == 0.1,
    "cot_prob=0.1|0.2 beta<=0.01": lambda share, beta, run: share in (0.1, 0.2) and beta <= 0.01,
    "grpo.beta!=0 cot_prob<0.1": lambda share, beta, run: beta != 0 and share < 0.1,
    "algorithm=null": lambda share, beta, run: run["algorithm"] is None,
    "algorithm!=null reward~CAND": lambda share, beta, run: (
        run["algorithm"] is not None and "candidates" in run["reward"]
    ),
    '"rationales of a teacher" seed=0': lambda share, beta, run: (
        "teacher" in run["name"] and run["seed"] == 0
    ),
    "state=killed": lambda share, beta, run: False,
}


@pytest.mark.parametrize("query", FILTERS)
def test_a_filter_holds_all_of_its_words(page, data, query):
    columns = {one["name"]: one["values"] for one in data["knobs"]}
    expected = {
        told["name"]
        for at, told in enumerate(data["runs"])
        if FILTERS[query](
            columns["cot_prob"][at],
            columns["grpo.beta"][at],
            {**{name: own[at] for name, own in columns.items()}, "name": told["name"]},
        )
    }
    page.fill("#query", query)
    page.wait_for_selector(f"#count:text('{len(expected)} of {COUNT} runs')")
    assert set(names(page)) == expected


def test_a_misspelt_knob_is_told_and_a_term_can_be_taken_away(page):
    page.fill("#query", "cot_prob=0.1 bta=0.01")
    page.wait_for_selector("#query-fault:text('bta is no knob')")
    assert page.locator("#query").get_attribute("aria-invalid") == "true"
    page.locator(".term", has_text="cot_prob=0.1").click()
    assert page.locator("#count").inner_text() == f"{COUNT} runs"


def test_knobs_are_ticked_in_a_dialog(page, data):
    page.get_by_role("button", name="By knob…").click()
    page.locator("fieldset", has_text="cot_prob").get_by_label("0.05", exact=True).uncheck()
    page.keyboard.press("Escape")
    assert page.input_value("#query") == 'cot_prob="0|0.1|0.2"'
    assert len(names(page)) == sum(share != 0.05 for share in knob(data, "cot_prob"))


def test_columns_are_picked(page):
    page.get_by_role("button", name="Columns…").click()
    page.get_by_label("sft · uni99 · HR@3").check()
    page.get_by_role("checkbox", name="seed").uncheck()
    page.keyboard.press("Escape")
    heads = page.locator("#grid thead .label").all_inner_texts()
    assert heads[:3] == ["Run", "grpo · uni9 · NDCG@5", "Difference"]
    assert "sft · uni99 · HR@3" in heads and "seed" not in heads


def test_the_metric_is_chosen_by_policy_protocol_and_name(page, data):
    page.select_option("#policy", "sft")
    page.select_option("#protocol", "uni99")
    page.select_option("#metric", "hr@3")
    assert page.locator("#grid thead .label").all_inner_texts()[1] == "sft · uni99 · HR@3"
    best = int(np.argmax(data["values"]["sft/uni99/hr@3"]["mean"]))
    assert names(page)[0] == data["runs"][best]["name"]


def test_another_reference_has_differences_and_no_tests(page, data):
    mean = data["values"][KEY]["mean"]
    page.select_option("#reference", "3")
    told = page.locator("#overview .banner").inner_text()
    assert "without tests" in told and "compare.reference=run-003" in told
    row = page.locator("#grid tbody tr[data-run='1'] td").nth(2)
    diff = mean[1] - mean[3]
    assert row.inner_text().startswith(f"{'+' if diff >= 0 else '−'}{abs(diff):.4f}")
    assert "not tested" in row.inner_text()
    page.select_option("#reference", "")
    assert "Difference" not in page.locator("#grid thead .label").all_inner_texts()


def test_the_keyboard_does_all_that_the_mouse_does(page, data):
    best, second = by_metric(data)[:2]
    page.get_by_role("button", name="Columns…").focus()
    page.keyboard.press("Tab")  # into the table, which is one stop
    for key in ("Control+Home", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Space")
    ticked = page.locator("#grid tr[aria-selected='true'] .words")
    assert ticked.all_inner_texts() == [second]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert page.locator("#dialog-title").inner_text() == best
    page.keyboard.press("Escape")
    at = page.evaluate("document.activeElement.closest('tr').dataset.row")
    assert at == "0"  # back where it was
    for key in ("ArrowUp", *["ArrowRight"] * 3, "Enter"):
        page.keyboard.press(key)
    head = page.locator("#grid thead th[aria-sort='ascending'] .label")
    assert head.all_inner_texts() == ["cot_prob"]
    page.keyboard.press("Control+End")
    assert page.evaluate("document.activeElement.closest('tr').dataset.row") == str(COUNT - 1)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "query"


def test_a_run_is_told_whole_with_the_command_that_repeats_it(page, data):
    page.locator("#grid tbody th", has_text="run-003").click()
    dialog = page.locator("dialog")
    assert dialog.locator("code").inner_text() == data["runs"][3]["command"]
    assert dialog.locator("a").get_attribute("href") == "https://wandb.example/run/3"
    assert dialog.locator("tbody tr").count() == len(KEYS)
    page.get_by_role("button", name="Make it the reference").click()
    assert page.input_value("#reference") == "3"


@pytest.mark.slow
def test_the_address_keeps_what_was_chosen(browser, file, page):
    page.fill("#query", "cot_prob=0.1")
    page.select_option("#metric", "hr@3")
    page.locator("#grid tbody td.tick").nth(1).click()
    page.locator("#grid thead th", has_text="grpo.beta").click()
    first = names(page)
    with opened(browser, file, end="#" + page.url.partition("#")[2]) as again:
        assert again.input_value("#metric") == "hr@3"
        assert again.input_value("#query") == "cot_prob=0.1"
        assert names(again) == first and len(first) == COUNT // 4
        assert again.locator("#grid tr[aria-selected='true']").count() == 1
    wrong = "#metric=gone&sort=knob:gone&runs=gone&reference=gone&columns=gone"
    with opened(browser, file, end=wrong) as other:
        assert len(names(other)) == COUNT


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.slow
def test_links_lead_to_sections_and_keep_what_was_chosen(browser, file):
    with opened(browser, file) as page:
        page.fill("#query", "seed!=1")
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "runs"
        page.locator("#sections a[href='#costs']").click()  # over sections not made yet
        page.wait_for_selector("#costs figure[data-drawn]")
        top = "document.getElementById('costs').getBoundingClientRect().top"
        assert 0 <= page.evaluate(top) < 300
        assert page.input_value("#query") == "seed!=1"


@pytest.mark.slow
def test_light_and_dark_by_the_system_and_by_choice(browser, file):
    with opened(browser, file, color_scheme="dark") as page:
        dark = ground(page)
        page.click("#theme-button")
        light = ground(page)
        page.reload()
        assert ground(page) == light != dark  # the choice is kept
    with opened(browser, file, color_scheme="light") as page:
        assert ground(page) == light


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 800, 1920])
def test_nothing_sticks_out_at_any_width(browser, file, width):
    with opened(browser, file, viewport={"width": width, "height": 800}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_every_control_has_a_name_and_every_id_is_one_elements(page):
    unnamed = """[...document.querySelectorAll('button, select, input, a, canvas, [role=img]')]
        .filter(one => !(one.textContent.trim() || one.ariaLabel || one.labels?.length
            || one.getAttribute('aria-label'))).map(one => one.outerHTML)"""
    for name in ("parallel", "inflation", "segments", "cases", "costs"):
        section(page, name)
    assert page.evaluate(unnamed) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("#grid").get_attribute("aria-rowcount") == str(COUNT + 1)


def test_two_runs_side_by_side_where_they_disagree(page, data):
    cases = section(page, "cases")
    cases.get_by_label("Second run").select_option("4")
    cases.get_by_label("Show").select_option("second")

    def gain(sample):
        return sample["by"][0]["rank"] - sample["by"][4]["rank"]

    expected = sorted(gain(one) for one in data["cases"]["samples"] if gain(one) > 0)[::-1]
    told = [re.findall(r"#(\d+)", one) for one in cases.locator("li .ranks").all_inner_texts()]
    assert [int(one) - int(other) for one, other in told] == expected
    cases.get_by_role("listbox").focus()
    page.keyboard.press("ArrowDown")
    title = cases.locator("h3").inner_text()
    sample = next(one for one in data["cases"]["samples"] if title.endswith(f"sample {one['id']}"))
    first, second = (cases.locator("ol").nth(side).locator("li .words") for side in (0, 1))
    assert first.all_inner_texts() == sample["by"][0]["ranked"]
    assert second.all_inner_texts() == sample["by"][4]["ranked"]
    assert cases.locator("ol").nth(1).locator(".target .words").inner_text() == sample["target"]
    cases.get_by_text("Prompt").click()
    assert cases.locator("pre").inner_text() == sample["prompt"]


@pytest.mark.slow
def test_what_is_dragged_along_an_axis_is_a_filter(page, data):
    section(page, "parallel")
    canvas = page.locator("canvas.parallel[data-drawn]")
    box = canvas.bounding_box()
    x = box["x"] + 70  # the first axis, of cot_prob: its values lie evenly from bottom to top
    page.mouse.move(x, box["y"] + 46)
    page.mouse.down()
    page.mouse.move(x, box["y"] + 200, steps=3)
    page.mouse.up()
    assert page.input_value("#query") == 'cot_prob="0.1|0.2"'
    kept = sum(share in SHARES[2:] for share in knob(data, "cot_prob"))
    assert canvas.get_attribute("data-drawn") == str(kept)
    page.mouse.click(x, box["y"] + 300)
    assert page.input_value("#query") == ""


@pytest.mark.slow
def test_what_each_run_was_shown_and_a_target_that_a_list_does_not_name(browser, tmp_path):
    made, file = comparison(COUNT), tmp_path / "own.html"
    missed, alike = made["cases"]["samples"][:2]
    made["cases"] |= {"samples": [missed, alike], "shortened": [1]}
    missed["rationale"] = "Common."
    missed["by"][0] |= {"rank": 0, "ranked": list("abc")}
    missed["by"][1] |= {"rank": 3, "prompt": "Another prompt.", "rationale": None}
    for own in alike["by"][:2]:
        own["rank"] = 0  # neither names it: they do not differ
    write_page(made, file)
    with opened(browser, file) as page:
        cases = section(page, "cases")
        assert cases.locator("li .ranks").all_inner_texts() == ["not named · #3"]
        assert "target not named" in cases.locator("h4").first.inner_text()
        assert "The target is below" not in cases.inner_text()
        assert cases.locator("pre").all_text_contents() == [missed["prompt"], "Another prompt."]
        assert cases.locator(".rationale").all_text_contents() == ["Common."]
        first, second = (one["name"] for one in made["runs"][:2])
        told = cases.locator(".case").inner_text()
        assert f"Rationale of {first}" in told and f"Rationale of {second}: none." in told
        assert "the oldest items may have been left out" in told
        cases.get_by_label("Show").select_option("first")
        assert cases.locator("li .ranks").count() == 0
        cases.get_by_label("Show").select_option("second")
        assert cases.locator("li .ranks").count() == 1
        cases.get_by_label("Second run").select_option("2")
        cases.get_by_label("Show").select_option("all")
        assert cases.locator("pre").all_text_contents() == [missed["prompt"]]  # both, once
        assert "left out" not in cases.locator(".case").inner_text()


@pytest.mark.slow
def test_what_several_runs_stand_on_counts_once_and_names_are_quoted(browser, tmp_path):
    made, file = comparison(3), tmp_path / "shared.html"
    made["costs"]["built_seconds"] = [30.0, 30.0, 21.0]
    parts = {"of": [20.0, 10.0, 1.0], "runs": [[0, 1], [0, 1], [0, 2]]}
    made["costs"]["parts"] = {"built_seconds": parts}
    made["runs"][1]["name"] = "beta=0.1 it's"
    write_page(made, file)
    with opened(browser, file) as page:
        totals = section(page, "costs").locator(".totals div", has_text="Built, in all")
        assert totals.locator("dd").inner_text() == "31 s"
        page.select_option("#reference", "1")
        told = page.locator("#overview .banner").inner_text()
        assert """'compare.reference="beta=0.1 it'"'"'s"'.""" in told


@pytest.mark.slow
def test_hostile_data_is_text_everywhere(browser, tmp_path):
    made, file = hostile(), tmp_path / "hostile.html"
    write_page(made, file)
    with opened(browser, file) as page:
        bad = made["title"]
        assert page.evaluate("document.getElementById('title').textContent") == bad
        for name in ("cases", "notes", "curves"):
            section(page, name)
        assert page.locator("#notes li").first.evaluate("one => one.textContent") == bad
        page.locator("#grid tbody th").first.click()
        assert page.locator("dialog code").evaluate("one => one.textContent") == bad
        assert page.locator("dialog a").count() == 0  # javascript: leads nowhere
        assert page.evaluate("window.taken") is None
        assert page.locator("img").count() == 0


@pytest.mark.slow
def test_all_charts_are_drawn_and_say_what_they_show(page, data):
    for name in ("intervals", "knobs", "curves", "inflation", "segments", "costs"):
        found = section(page, name)
        page.wait_for_selector(f"#{name} figure[data-drawn] .js-plotly-plot .main-svg")
        labels = found.locator("[role=img]").first.get_attribute("aria-label")
        assert len(labels) > 30, name
    heat = "document.querySelector('#knobs .plot').data[0]"
    z = page.evaluate(f"{heat}.z")
    share, beta = np.array(knob(data, "cot_prob")), np.array(knob(data, "grpo.beta"))
    mean = np.array(data["values"][KEY]["mean"], float)
    for row, up in enumerate(BETAS):
        for column, across in enumerate(SHARES):
            cell = mean[(share == across) & (beta == up)]
            assert z[row][column] == pytest.approx(cell[~np.isnan(cell)].mean())
    points = page.evaluate(
        "document.querySelector('#intervals .plot').data.flatMap(one => [...one.customdata])"
    )
    assert sorted(points) == [run for run in range(COUNT) if run != 5]


@pytest.mark.slow
def test_a_cell_of_the_heat_map_filters_and_charts_follow(page, data):
    section(page, "knobs")
    page.wait_for_selector("#knobs figure[data-drawn] .main-svg")
    box = page.locator("#knobs .plot .nsewdrag").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.125, box["y"] + box["height"] * 0.875)
    page.wait_for_selector("#count:text(' of ')")
    assert page.input_value("#query") == "cot_prob=0 grpo.beta=0"
    section(page, "intervals")
    page.wait_for_selector("#intervals figure[data-drawn] .main-svg")
    kept = len(names(page))
    assert f"of {kept} runs" in page.locator("#intervals .plot").get_attribute("aria-label")
    page.get_by_label("Upwards").select_option("")  # one knob: a dot a run
    page.wait_for_selector("#knobs .plot[aria-label*='over cot_prob']")


@pytest.mark.slow
def test_charts_of_hostile_data_make_no_elements_of_it(browser, tmp_path):
    file = tmp_path / "hostile.html"
    write_page(hostile(), file)
    with opened(browser, file) as page:
        for name in ("intervals", "knobs", "curves", "inflation", "segments", "costs"):
            section(page, name)
            page.wait_for_selector(f"#{name} figure[data-drawn] .main-svg")
        assert page.locator("img, main b").count() == 0
        assert page.evaluate("window.taken") is None


@pytest.mark.slow
def test_of_a_thousand_runs_only_the_rows_in_view_are_made(browser, tmp_path):
    made, file = comparison(1000), tmp_path / "many.html"
    write_page(made, file)
    with opened(browser, file) as page:
        assert page.locator("#grid").get_attribute("aria-rowcount") == "1001"
        assert page.locator("#grid tbody tr[data-run]").count() < 60
        order = np.argsort(-np.array(made["values"][KEY]["mean"]), kind="stable")
        page.locator("#grid tbody tr[data-row='0'] td.tick").click()
        page.keyboard.press("Control+End")
        last = page.locator("#grid tbody tr[data-row='999'] .words")
        assert last.inner_text() == made["runs"][order[-1]]["name"]
        assert page.locator("#grid tbody tr[data-run]").count() < 60
        page.keyboard.press("PageUp")
        assert int(page.evaluate("document.activeElement.closest('tr').dataset.row")) < 999


def test_algorithms_are_told_with_seeds_together(page, data):
    """A table, the best first, and charts whose lines have bands; another axis is a choice away."""
    lines = sorted(data["study"]["lines"], key=lambda one: -one["gain"]["ndcg@5"]["diff"])
    study = section(page, "study")
    study.locator("figure.chart").first.scroll_into_view_if_needed()
    page.wait_for_selector("#study figure.chart:first-of-type[data-drawn]")
    rows = study.locator(".plain-table tbody th").all_inner_texts()
    assert rows == [one["name"] for one in lines]
    cells = study.locator(".plain-table tbody tr").first.locator("td").all_inner_texts()
    assert cells[0] == "3" and cells[2].startswith("+") and " to " in cells[3]
    first = study.locator("figure.chart").first
    assert first.locator(".scatterlayer .trace").count() == 2 * len(lines)  # a band and a line each
    assert "rollouts" in first.locator(".xtitle").text_content()
    study.locator("select").select_option("cpu_seconds")
    page.wait_for_function(
        "document.querySelector('#study .xtitle').textContent.startsWith('CPU seconds')"
    )
