"""Rationales by a server: what their identity hangs on, and that they may cost."""

from tests.reasoner.asked import writer


def test_only_what_can_change_a_text_is_its_identity():
    knobs = writer("reasoner", "endpoint").knobs()
    assert knobs["endpoint"]["temperature"] == 0.1
    assert not {"url", "key_env", "concurrency", "budget"} & set(knobs["endpoint"])
