"""Drafts rewritten by a server: what their identity hangs on."""

from tests.reasoner.asked import writer


def test_only_what_can_change_a_text_is_its_identity():
    knobs = writer("refiner", "endpoint").knobs()
    assert knobs["endpoint"]["temperature"] == 0.1 and "url" not in knobs["endpoint"]
