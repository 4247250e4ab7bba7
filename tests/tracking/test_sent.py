"""What is marked as sent is, until it grows."""

from pathlib import Path

from mllmrec.tracking import sent


def test_a_part_that_grew_has_to_go_again(tmp_path: Path) -> None:
    file = tmp_path / "run-a.wandb"
    file.write_bytes(b"1234")
    assert not sent.is_sent(tmp_path)
    sent.mark(tmp_path)
    assert sent.is_sent(tmp_path)
    file.write_bytes(b"12345")
    assert not sent.is_sent(tmp_path)
    sent.mark(tmp_path, 4)
    assert not sent.is_sent(tmp_path)
    sent.marker(tmp_path).write_text("")  # as wandb sync leaves it
    assert sent.is_sent(tmp_path)


def test_the_command_names_another_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sent.command(tmp_path / "wandb") == "python launch.py stage=sync"
    (tmp_path / "a b").mkdir()
    wanted = f"python launch.py stage=sync 'tracking.dir={tmp_path / 'a b'}'"
    assert sent.command(tmp_path / "a b" / "wandb") == wanted
