"""The two files of results keep what other scripts claimed."""

import importlib
import json

import pytest


@pytest.fixture
def claims(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "bench")
    return importlib.import_module("_claims")


def made(claims, script, **fields):
    one = claims.Claim(**{"claim": f"of {script}", "ratio": 2.0} | fields)
    where = {"script": script, "command": f"python bench/{script}", "machine": "one", "date": "day"}
    return {**claims.asdict(one), "met": one.met, **where, "versions": {"torch": "2"}}


def test_a_script_replaces_its_own_claims_alone(claims, tmp_path):
    claims.write("memory.py", [made(claims, "memory.py")], tmp_path)
    claims.write("draws.py", [made(claims, "draws.py", claim="old")], tmp_path)
    claims.write("draws.py", [made(claims, "draws.py", claim="new", ratio=3.0)], tmp_path)
    found = json.loads((tmp_path / "results.json").read_text())
    assert [(one["script"], one["claim"]) for one in found] == [
        ("draws.py", "new"),
        ("memory.py", "of memory.py"),
    ]
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| new | 3 |" in page and "old" not in page and "## memory.py" in page


def test_a_shape_that_did_not_run_keeps_its_claims(claims, tmp_path):
    both = [made(claims, "draws.py", claim=f"{shape}: a") for shape in ("tiny", "mid")]
    claims.write("draws.py", both, tmp_path)
    claims.write("draws.py", [made(claims, "draws.py", claim="tiny: b")], tmp_path, ["tiny"])
    found = json.loads((tmp_path / "results.json").read_text())
    assert [one["claim"] for one in found] == ["tiny: b", "mid: a"]


@pytest.mark.parametrize(
    ("goal", "equal", "met"),
    [(None, None, None), (2.0, None, True), (2.1, None, False), (2.0, False, False)],
)
def test_a_goal_is_met_by_the_ratio_unless_something_differs(claims, goal, equal, met):
    assert claims.Claim(claim="x", ratio=2.0, goal=goal, equal=equal).met is met
