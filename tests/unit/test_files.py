"""Files are written wholly or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import secateur
from saved_nets import PLAN, Net, small
from secateur import storage
from secateur.errors import FileError
from secateur.files import clear_drafts


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    storage.save(small(), path, plan=PLAN, builder="zoo:net")
    return path


def test_a_full_disk_leaves_the_old_file_and_nothing_else(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=r"small\.safetensors: cannot be written: the disk is full; free some space"):
        storage.save(Net(), saved)
    assert list(saved.parent.iterdir()) == [saved]
    assert saved.read_bytes() == before


def test_a_write_that_stops_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    script = (
        "import resource; from pathlib import Path; from torch import nn; from secateur import storage, errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: storage.save(nn.Linear(100, 100), 'big.safetensors')\n"
        "except errors.FileError as error: print(error, list(Path().iterdir()))\n"
    )
    paths = str(Path(secateur.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=True,
    )

    assert "big.safetensors: cannot be written: File too large" in run.stdout.decode(), run.stderr.decode()
    assert run.stdout.decode().strip().endswith("[]")


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        storage.save(Net(), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_are_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    places = {
        tmp_path / "none" / "net.safetensors": "its folder does not exist; create it first",
        tmp_path / "file" / "net.safetensors": "its folder is a file; choose another place",
        tmp_path / "folder": "this is a folder; give the name of a file",
        tmp_path / ("n" * 300): "the name is too long; choose a shorter one",
    }
    for place, remedy in places.items():
        with pytest.raises(FileError, match=remedy):
            storage.save(Net(), place)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    user, nobody = os.geteuid(), 65534
    tmp_path.chmod(0o500)
    if user == 0:  # the superuser may write anywhere
        os.seteuid(nobody)
    try:
        with pytest.raises(FileError, match="no permission; choose a place that you may use"):
            storage.save(Net(), tmp_path / "net.safetensors")
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_behind_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    (tmp_path / ".writing-abc").mkdir()
    (tmp_path / ".writing-abc" / "half.txt").write_text("ha")
    clear_drafts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
