"""The layout of the file; damaged files are refused in one clear line."""

import hashlib
import json
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import save_file

from saved_nets import PLAN, Net, header_of, same_bits, small, with_header
from secateur import storage
from secateur.errors import FileError, ModelError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    storage.save(small(), path, plan=PLAN, builder="zoo:net")
    return path


def test_plan_and_builder_come_back_to_the_bit_without_reading_the_tensors(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)

    assert storage.read_plan(saved) == PLAN
    assert storage.read_builder(saved) == "zoo:net"
    with pytest.raises(FileError, match="checksum"):
        storage.load(saved, build=Net)


def test_the_file_is_safetensors_as_others_read_it_with_the_promised_header(saved: Path) -> None:
    header, body = header_of(saved)
    with safetensors.safe_open(saved, framework="pt") as file:
        names, note = set(file.keys()), json.loads(file.metadata()["secateur"])

    assert names == set(Net().state_dict())
    assert set(note) == {"format", "plan", "builder", "tensors", "sha256"}
    assert (note["format"], note["builder"], note["tensors"]) == (1, "zoo:net", {})
    assert note["plan"]["method"] == "dense"
    assert note["sha256"] == hashlib.sha256(body).hexdigest()
    assert set(header["__metadata__"]) == {"secateur", "secateur_header", "format"}


def test_a_later_format_is_refused(saved: Path) -> None:
    header, body = header_of(saved)
    note = json.loads(header["__metadata__"]["secateur"])
    header["__metadata__"]["secateur"] = json.dumps(note | {"format": 2})

    with pytest.raises(FileError, match="format 2, but this version reads format 1; update secateur"):
        storage.load(with_header(saved, header, body), build=Net)


def lying(path: Path) -> bytes:
    """A header that claims a longer tensor than there is."""
    header, body = header_of(path)
    del header["__metadata__"]
    header["last.bias"]["shape"] = [10**12]
    return with_header(path, header, body).read_bytes()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda _: b"", "the file is empty"),
        (lambda _: b"a,b\n1,2\n" * 9, "not a s|not what torch.save writes"),
        (lambda _: b"{}", "not a safetensors file|not what torch.save writes"),
        (lambda content: content[:-7], "damaged|checksum"),
        (lambda content: content[: len(content) // 2], "damaged|cut short|checksum"),
        (lambda content: content[:5], "damaged|cut short"),
        (lambda content: struct.pack("<Q", 2**63) + content[8:], "claims 9,223,372,036,854,775,808 bytes|damaged"),
        (lambda content: struct.pack("<Q", 0) + content[8:], "claims 0 bytes|damaged"),
        (
            lambda content: struct.pack("<Q", 40) + b"[" * 40 + content[48:],
            "header is not what safetensors writes|damaged",
        ),
    ],
)
def test_damaged_files_are_refused_in_one_line(
    saved: Path, tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    torch.save(Net().state_dict(), tmp_path / "weights.pth")
    content = (saved if suffix == ".safetensors" else tmp_path / "weights.pth").read_bytes()
    damaged = tmp_path / f"damaged{suffix}"
    damaged.write_bytes(damage(content))
    with pytest.raises(FileError, match=complaint) as caught:
        storage.load_weights(Net(), damaged)
    assert str(caught.value).startswith(str(damaged))
    assert "\n" not in str(caught.value)


def test_a_tail_behind_the_tensors_is_refused(saved: Path, tmp_path: Path) -> None:
    save_file(Net().state_dict(), tmp_path / "plain.safetensors")
    for path in (saved, tmp_path / "plain.safetensors"):
        path.write_bytes(path.read_bytes() + b"\0" * 8)
        with pytest.raises(FileError, match=r"checksum|not a sound safetensors file"):
            storage.load_weights(Net(), path)


def test_headers_that_lie_or_go_too_deep_are_refused(saved: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep.safetensors"
    deep.write_bytes(struct.pack("<Q", 200_000) + b"[" * 200_000)
    with pytest.raises(FileError, match="header is not what safetensors writes"):
        storage.read_plan(deep)
    saved.write_bytes(lying(saved))
    with pytest.raises(FileError, match="not a sound safetensors file"):
        storage.load_weights(Net(), saved)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A truncation, or a few flipped bits and bytes, more often near the start than not."""
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 16))):
        place = chance.randrange(len(content) if chance.random() < 0.6 else min(len(content), 800))
        damaged[place] = chance.randrange(256) if chance.random() < 0.5 else damaged[place] ^ (1 << chance.randrange(8))
    return bytes(damaged)


def test_our_files_with_random_damage_are_refused_or_load_unharmed(saved: Path) -> None:
    chance = random.Random(0)
    content, wanted = saved.read_bytes(), storage.load(saved, build=Net)
    for _ in range(300):
        saved.write_bytes(mutated(content, chance))
        with suppress(FileError):
            same_bits(storage.load(saved, build=Net), wanted)
        with suppress(FileError):
            assert storage.read_plan(saved) in (PLAN, None)


@pytest.mark.parametrize("name", ["plain.safetensors", "zip.pth", "old.pth"])
def test_other_files_with_random_damage_are_refused_or_load(tmp_path: Path, name: str) -> None:
    path, model = tmp_path / name, Net()
    if name == "plain.safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=name == "zip.pth")
    chance, content = random.Random(1), path.read_bytes()
    loaded = 0
    for _ in range(300):
        path.write_bytes(mutated(content, chance))
        with suppress(FileError, ModelError):
            storage.load_weights(model, path)
            loaded += 1
    assert 0 < loaded < 200
