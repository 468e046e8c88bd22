"""Processes that try cells: any of them may die."""

import os
import signal
import sys
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from secateur.cli.cells.pool import Start, Worker, tried
from secateur.comparing import Tried
from secateur.comparing.folder import CellFolder, fingerprint, key_of
from secateur.comparison import Cell, Trial
from secateur.errors import CompressionError
from secateur.plan import Plan

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are ended otherwise there")


def cell(name: str) -> Cell:
    return Cell(name, "half", "none", 0, None, {"stage": [{"method": name}]})


def serve(folder: Path, pipe: Connection) -> None:
    """Answers cells; one whose name says so ends the process: always, or the first time."""
    pipe.send("ready")
    while (one := pipe.recv()) is not None:
        mark = folder / one.method
        if one.method.startswith("deadly") or (one.method.startswith("once") and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if one.method.startswith("exit"):
            os._exit(3)
        time.sleep(0.01)
        pipe.send(Tried(Trial(one)))


def starter(folder: Path, target: object = serve) -> Start:
    context = get_context("fork")  # nothing of torch is used in them, and a fork is quick

    def start() -> Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(folder, theirs), daemon=True)  # type: ignore[arg-type]
        process.start()
        theirs.close()
        return Worker(process, ours)

    return start


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_every_cell_is_answered_once_whoever_dies(tmp_path: Path, jobs: int) -> None:
    names = ["a", "once-1", "deadly", "b", "once-2", "c", "exit", "d"]

    found = dict(tried([cell(name) for name in names], jobs, starter(tmp_path)))

    assert sorted(found) == list(range(len(names)))
    failures = {names[number]: one.trial.failure for number, one in found.items() if one.trial.failure}
    assert failures.keys() == {"deadly", "exit"}
    assert "was killed (signal 9), 2 times" in failures["deadly"]
    assert "ended (exit code 3), 2 times" in failures["exit"]
    assert not found[2].is_final


def test_processes_end_with_whoever_asked_for_them(tmp_path: Path) -> None:
    workers: list[Worker] = []
    begin = starter(tmp_path)

    def start() -> Worker:
        workers.append(begin())
        return workers[-1]

    answers = tried([cell(str(number)) for number in range(20)], 2, start)
    next(answers)
    answers.close()  # type: ignore[attr-defined]

    assert [worker.process.is_alive() for worker in workers] == [False, False]


def broken(*_: object) -> None:
    os._exit(1)


def test_processes_that_cannot_start_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CompressionError, match=r"exit code 1.* before it could try anything; .*--jobs 1"):
        list(tried([cell("a")], 2, starter(tmp_path, broken)))


def test_a_damaged_cell_is_as_if_it_had_not_been_tried(tmp_path: Path) -> None:
    folder = CellFolder(tmp_path / "out", {"model": "mine"})
    folder.begin(0)
    one = Trial(cell("a"), key="k")
    folder.write(one, Plan("a"))
    path = tmp_path / "out" / "cells" / "k.json"
    text = path.read_text()

    found = folder.read("k", cell("b"))
    assert found is not None and found[0].cell.method == "b"  # the names of today
    for spoilt in ("", text[:40], text.replace('"steps"', '"stops"'), text.replace('"cuts"', '"cats"'), "{}"):
        path.write_text(spoilt)
        assert folder.read("k", cell("a")) is None
    path.write_text(text)
    path.rename(path.with_name("other.json"))
    assert folder.read("other", cell("a")) is None


def test_a_key_is_that_of_the_content_and_not_of_the_name() -> None:
    one = cell("a")
    content = {"weights": "1", "seed": 0}

    assert key_of(one, content) == key_of(Cell("named otherwise", "h", "none", 0, None, one.recipe), content)
    others = (key_of(cell("b"), content), key_of(one, {**content, "weights": "2"}), key_of(one, {**content, "seed": 1}))
    assert len({key_of(one, content), *others}) == 4


def test_the_files_of_an_address_are_part_of_its_content(tmp_path: Path) -> None:
    table, folder = tmp_path / "table.csv", tmp_path / "folder"
    table.write_text("a,b\n1,2\n")
    folder.mkdir()
    (folder / "x").write_text("1")
    addresses = (f"{table}:task".replace(".csv", ".py"), f"csv:{table}?target=b", f"images:{folder}", f"{folder}/x:f")
    before = [fingerprint(address) for address in addresses]
    table.write_text("a,b\n1,3\n")
    (folder / "x").write_text("12")

    assert before[0] == "" and before[1] and before[2]
    assert [fingerprint(address) for address in addresses[1:3]] != before[1:3]
    assert fingerprint("sklearn:digits") == ""
