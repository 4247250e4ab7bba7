"""Captions by a server: real calls with pictures in them, paid for once."""

from mllmrec.captioner.base import Pictured
from tests.bad_server import BadServer, Said, completion
from tests.captioner.asked import captioner, configured
from tests.endpoint.knobs import KNOBS


def test_only_what_can_change_a_caption_is_its_identity():
    knobs = captioner("endpoint").knobs()
    assert (knobs["words"], knobs["endpoint"]["temperature"]) == (50, 0.0)
    assert not {"url", "key_env", "concurrency", "budget"} & set(knobs["endpoint"])


def test_each_picture_is_sent_once_and_never_again(pictures, tmp_path):
    seen = []

    def looking(call):
        seen.append(call.body["messages"][-1]["content"])
        return Said(body=completion("A  plain\narea."))

    items = [Pictured(item_id=path.stem, title="A", picture=path) for path in pictures]
    items.append(Pictured(item_id="gone", title="A", picture=tmp_path / "gone.png"))
    with BadServer(looking).running() as server:
        made = configured("captioner", "endpoint", endpoint={**KNOBS, "url": server.url})
        first = made.write(items, tmp_path / "j.jsonl")
        assert made.write(items, tmp_path / "j.jsonl") == first
    assert [reply.text for reply in first] == ["A plain area."] * 3 + [None]
    assert first[3].why == "gone.png: no such file"
    assert len(seen) == 3
    assert all(part["type"] == "image_url" for part, _ in seen)
    assert len({part["image_url"]["url"] for part, _ in seen}) == 3
