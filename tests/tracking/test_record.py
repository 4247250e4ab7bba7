"""Records that are written are those that were read, whatever their size; parts become one run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wandb.proto import wandb_internal_pb2 as pb

from mllmrec.tracking import record
from tests.tracking.begun import parts
from tests.wandb_reader import read, records

SIZES = st.integers(0, 40) | st.integers(record.BLOCK - 60, record.BLOCK + 60) | st.just(70_000)


def made(number: int, size: int) -> pb.Record:
    return pb.Record(num=number, output_raw=pb.OutputRawRecord(line="x" * size))


@given(sizes=st.lists(SIZES, max_size=6))
def test_what_is_written_is_read_by_both_readers(sizes: list[int], tmp_path_factory: Any) -> None:
    file = tmp_path_factory.mktemp("record") / "run-a.wandb"
    wanted = [made(number, size) for number, size in enumerate(sizes)]
    record.write(file, wanted)
    assert [*record.read(file)] == [*records(file)] == wanted


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_or_broken_tail_ends_the_reading(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "run-a.wandb"
    record.write(file, [made(number, 50) for number in range(4)])
    data = file.read_bytes()
    file.write_bytes(data[:-cut])
    assert len([*record.read(file)]) == 3
    file.write_bytes(data[:-cut] + bytes(cut))  # a checksum that is not right
    assert len([*record.read(file)]) == 3


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run-a.wandb").write_text("not a run")
    with pytest.raises(ValueError, match="not a run that W&B recorded"):
        [*record.read(tmp_path / "run-a.wandb")]
    with pytest.raises(FileNotFoundError, match="no run-"):
        record.file_of(tmp_path / "elsewhere")


@pytest.fixture
def two_parts(once: Callable[..., Any], launch: Callable[..., Any], tmp_path: Path) -> list[Path]:
    """A launch of three rows that failed, and went on with two."""

    def record_them() -> None:
        with pytest.raises(OSError), launch(run_id="abc", config={"a": 1}) as first:
            for step in range(3):
                first.log({"loss": step}, step, "sft")
            raise OSError
        with launch(run_id="abc", config={"a": 2}) as again:
            again.log({"loss": 10}, 3, "sft")
            again.log({"loss": 11}, 4, "sft")

    once("two parts", record_them)
    return parts(tmp_path)


def test_parts_become_one_run(two_parts: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "run-all.wandb"
    record.write(file, record.joined(two_parts, ()))
    run = read(file)
    assert [row["sft/loss"] for row in run.history] == [0, 1, 2, 10, 11]
    assert [row["_step"] for row in run.history] == [0, 1, 2, 3, 4]
    runtimes = [row["_runtime"] for row in run.history]
    assert runtimes == sorted(runtimes)
    assert (run.exit_code, run.resume, run.config["a"]) == (0, False, 2)
    assert (run.summary["_step"], run.summary["sft/loss"]) == (4, 11)
    numbers = [one.num for one in records(file)]
    assert numbers == list(range(1, len(numbers) + 1))
    kinds = [one.WhichOneof("record_type") for one in records(file)]
    assert [kinds.count(kind) for kind in ("header", "run", "exit")] == [1, 1, 1]


# rows that the server has of [0, 1, 2] and [10, 11]: from the first on, as a sending that was cut
# off leaves it, of the second part alone, and of both that the process has sent while it ran
THERE = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [3, 4], [3], [0, 1, 3, 4]]


def without(there: list[int], parts: list[Path], file: Path) -> Any:
    """What goes to a server that has these rows; checked for all but its history."""
    rows = [row for part in parts for row in read(part).history]
    moments = {round(rows[one]["_timestamp"], 6) for one in there}
    record.write(file, record.joined(parts, moments))
    run = read(file)
    assert run.resume and run.exit_code == 0
    left = [row["sft/loss"] for number, row in enumerate(rows) if number not in there]
    assert [row["sft/loss"] for row in run.history] == left
    assert [row["_step"] for row in run.history] == list(range(len(left)))  # W&B adds the others
    runtimes = [row["_runtime"] for row in run.history]
    assert runtimes == sorted(runtimes)
    assert run.summary["sft/loss"] == 11
    return run


def test_what_the_server_has_is_left_out_and_no_more(two_parts: list[Path], tmp_path: Path) -> None:
    for there in THERE:
        without(there, two_parts, tmp_path / "run-rest.wandb")


def test_a_part_of_a_machine_whose_clock_is_behind_is_sent(
    two_parts: list[Path], tmp_path: Path
) -> None:
    file = record.file_of(two_parts[1])
    found = [*record.read(file)]
    for item in (item for one in found for item in one.history.item):
        if record.name_of(item) == "_timestamp":
            item.value_json = json.dumps(json.loads(item.value_json) - 3600)
    record.write(file, found)
    for there in ([0, 1, 2], [0, 1]):
        without(there, two_parts, tmp_path / "run-rest.wandb")


def test_rows_are_counted(two_parts: list[Path], tmp_path: Path) -> None:
    assert [record.rows(part) for part in parts(tmp_path)] == [3, 2]
    assert record.run_of(two_parts[0]).project == "mllmrec"
