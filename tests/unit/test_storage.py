"""Saved, loaded: the same model. Damaged or hostile files: one clear line, and nothing run."""

import errno
import hashlib
import importlib.util
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import secateur
from secateur import storage
from secateur.errors import FileError, ModelError, SettingsError
from secateur.plan import Certificate, Cut, Edit, Plan, Removal
from secateur.surgery import apply

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))
"""
GONE = (1, 4)
ALONG = (("first.weight", 0), ("first.bias", 0), ("last.weight", 1))
NORM = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
PLAN = Plan(
    method="dense",
    edits=(
        Edit("first", 6, (Removal(1, 0.1 + 0.2, 0), Removal(4, -1e-300, 1)), 0.30000000000000004, ("norm",), "mean"),
    ),
    cuts=tuple(Cut(name, axis, 6, GONE) for name, axis in (*ALONG, *((name, 0) for name in NORM))),
    certificate=Certificate(1e-8, 2e-8, 1e-5, "2 rows", "float32"),
)


class Net(nn.Module):
    """The net of `SOURCE`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


class Odd(nn.Module):
    """Tensors of every kind that can be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = nn.Parameter(torch.randn(3, 5).t())
        self.part = nn.Parameter(torch.randn(4, 4)[1:3, ::2])
        self.brain = nn.Parameter(torch.randn(3).bfloat16())
        self.short = nn.Parameter(torch.randn(3).half(), requires_grad=False)
        self.long = nn.Parameter(torch.randn(3).double())
        self.empty = nn.Parameter(torch.randn(0, 3))
        for name, tensor in {
            "whole": torch.tensor([-(2**62), 7]),
            "small": torch.tensor([255], dtype=torch.uint8),
            "yes": torch.tensor([True, False]),
            "scalar": torch.tensor(2.5),
            "spread": torch.ones(1).expand(3),
            "odd": torch.tensor([-0.0, torch.inf, torch.nan]),
        }.items():
            self.register_buffer(name, tensor)
        self.register_buffer("forgotten", torch.randn(2), persistent=False)


class Tied(nn.Module):
    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        if tied:
            self.b.weight = self.a.weight


def same_bits(found: nn.Module, wanted: nn.Module) -> None:
    states = found.state_dict(), wanted.state_dict()
    assert list(states[0]) == list(states[1])
    for (name, f), w in zip(states[0].items(), states[1].values(), strict=True):
        assert (f.dtype, f.shape) == (w.dtype, w.shape), name
        assert f.contiguous().view(-1).view(torch.uint8).equal(w.contiguous().view(-1).view(torch.uint8)), name


def trained(model: nn.Module) -> nn.Module:
    """The model with nothing left at its default."""
    with torch.no_grad():
        for tensor in model.state_dict(keep_vars=True).values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return model


def small() -> nn.Module:
    return apply(trained(Net()), PLAN)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    storage.save(small(), path, plan=PLAN, builder="zoo:net")
    return path


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


def with_header(path: Path, header: dict[str, Any], body: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def test_a_fresh_process_loads_a_cut_model_with_the_same_output_bit_for_bit(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("net", tmp_path / "net.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = apply(trained(module.Net()), PLAN).eval()
    x = torch.randn(5, 4)
    storage.save(model, tmp_path / "small.safetensors", plan=PLAN)
    torch.save((x, model(x).detach()), tmp_path / "wanted.pt")

    script = (
        "import torch; torch.set_num_threads(1); from net import Net; from secateur.storage import load\n"
        "x, wanted = torch.load('wanted.pt')\n"
        "model = load('small.safetensors', build=Net).eval()\n"
        "assert type(model) is Net and model.first.out_features == 4 and model.norm.num_features == 4\n"
        "assert torch.equal(model(x), wanted), (model(x) - wanted).abs().max()\n"
    )
    paths = os.pathsep.join([str(Path(secateur.__file__).parents[1]), str(tmp_path)])
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr.decode()


def test_plan_and_builder_come_back_to_the_bit_without_reading_the_tensors(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)

    assert storage.read_plan(saved) == PLAN
    assert storage.read_builder(saved) == "zoo:net"
    with pytest.raises(FileError, match="checksum"):
        storage.load(saved, build=Net)


def test_without_plan_and_builder_both_are_none(tmp_path: Path) -> None:
    storage.save(Net(), tmp_path / "net.safetensors")
    save_file(Net().state_dict(), tmp_path / "plain.safetensors")

    for name in ("net.safetensors", "plain.safetensors"):
        assert storage.read_plan(tmp_path / name) is None
        assert storage.read_builder(tmp_path / name) is None


def test_the_file_is_safetensors_as_others_read_it_with_the_promised_header(saved: Path) -> None:
    header, body = header_of(saved)
    with safetensors.safe_open(saved, framework="pt") as file:
        names, note = set(file.keys()), json.loads(file.metadata()["secateur"])

    assert names == set(Net().state_dict())
    assert set(note) == {"format", "plan", "builder", "tensors", "sha256"}
    assert (note["format"], note["builder"], note["tensors"]) == (1, "zoo:net", {})
    assert note["plan"]["method"] == "dense"
    assert note["sha256"] == hashlib.sha256(body).hexdigest()
    assert set(header["__metadata__"]) == {"secateur", "secateur_header"}


def test_every_kind_of_tensor_comes_back_to_the_bit(tmp_path: Path) -> None:
    model = Odd()
    storage.save(model, tmp_path / "odd.safetensors")
    loaded = storage.load(tmp_path / "odd.safetensors", build=Odd)

    same_bits(loaded, model)
    assert not loaded.short.requires_grad
    assert loaded.brain.requires_grad
    assert "forgotten" not in header_of(tmp_path / "odd.safetensors")[0]


def test_dtypes_are_as_saved_while_modes_and_frozen_weights_are_as_built(tmp_path: Path) -> None:
    def build() -> nn.Module:
        model = Net()
        model.first.weight.requires_grad_(False)
        model.norm.eval()
        return model

    model = apply(trained(Net()), PLAN).bfloat16()
    storage.save(model, tmp_path / "half.safetensors", plan=PLAN)
    loaded = storage.load(tmp_path / "half.safetensors", build=build)

    same_bits(loaded, model)
    assert [p.requires_grad for p in loaded.parameters()] == [False, True, True, True, True, True]
    assert (loaded.training, loaded.norm.training, loaded.last.training) == (True, False, True)


def test_without_a_plan_shapes_are_taken_from_the_file(tmp_path: Path) -> None:
    model = small()
    storage.save(model, tmp_path / "net.safetensors")
    loaded = storage.load(tmp_path / "net.safetensors", build=Net)

    same_bits(loaded, model)
    assert (loaded.first.out_features, loaded.norm.num_features, loaded.last.in_features) == (4, 4, 4)


def test_saving_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = Odd()
    before = {name: (id(t), t.data_ptr(), t.stride()) for name, t in model.state_dict(keep_vars=True).items()}
    storage.save(model, tmp_path / "odd.safetensors")

    assert before == {name: (id(t), t.data_ptr(), t.stride()) for name, t in model.state_dict(keep_vars=True).items()}


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_are_written_once_and_come_back_tied_whatever_the_builder_does(tmp_path: Path, tied: bool) -> None:
    model = Tied()
    storage.save(model, tmp_path / "tied.safetensors")
    loaded = storage.load(tmp_path / "tied.safetensors", build=lambda: Tied(tied))

    assert set(header_of(tmp_path / "tied.safetensors")[0]) == {"__metadata__", "a.weight", "a.bias"}
    assert loaded.a.weight is loaded.b.weight
    same_bits(loaded, model)


def test_untied_weights_stay_untied_though_the_builder_ties_them(tmp_path: Path) -> None:
    model = Tied(tied=False)
    storage.save(model, tmp_path / "untied.safetensors")
    loaded = storage.load(tmp_path / "untied.safetensors", build=Tied)

    assert loaded.a.weight is not loaded.b.weight
    same_bits(loaded, model)


def test_weights_that_share_memory_are_written_once(tmp_path: Path) -> None:
    model = Tied(tied=False)
    model.b.weight = nn.Parameter(model.a.weight.data)
    storage.save(model, tmp_path / "shared.safetensors")

    loaded = storage.load(tmp_path / "shared.safetensors", build=lambda: Tied(tied=False))
    same_bits(loaded, model)
    assert loaded.b.weight.data_ptr() == loaded.a.weight.data_ptr()


def sparse() -> Tensor:
    return torch.eye(3).to_sparse()


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (lambda: torch.ones(2, dtype=torch.complex64), "complex"),
        (sparse, "sparse"),
        (lambda: torch.ones(2, device="meta"), "no values"),
        (nn.parameter.UninitializedParameter, "no values"),
    ],
)
def test_tensors_that_cannot_be_stored_are_refused_by_name(
    tmp_path: Path, tensor: Callable[[], Tensor], what: str
) -> None:
    model = nn.Linear(2, 2)
    model.register_parameter("strange", None)
    value = tensor()
    model.strange = value if isinstance(value, nn.Parameter) else nn.Parameter(value, requires_grad=False)

    with pytest.raises(ModelError, match=rf"strange: .*{what}"):
        storage.save(model, tmp_path / "strange.safetensors")
    assert list(tmp_path.iterdir()) == []


class Extra(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}


def test_extra_state_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"_extra_state: a dict cannot be stored"):
        storage.save(Extra(2, 2), tmp_path / "extra.safetensors")


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


def test_the_wrong_builder_is_refused_with_names_and_numbers(tmp_path: Path) -> None:
    storage.save(Net(), tmp_path / "net.safetensors", builder="zoo:net")

    def build() -> nn.Module:
        return nn.Sequential(
            OrderedDict(first=nn.Linear(4, 6, bias=False), hidden=nn.Linear(6, 6), last=nn.Linear(6, 3))
        )

    with pytest.raises(FileError) as caught:
        storage.load(tmp_path / "net.safetensors", build=build)
    message = str(caught.value)
    assert (
        "of 9 tensors for a model of 5, 2 missing ('hidden.weight', 'hidden.bias'); 6 unexpected ('first.bias', "
        in message
    )
    assert message.count("norm.") == 2
    assert message.endswith("is this the right builder (saved with 'zoo:net')?")


def test_a_plan_that_does_not_fit_the_builder_is_refused(saved: Path) -> None:
    with pytest.raises(FileError, match=r"its plan does not fit the model: first.bias: .*is this the right builder"):
        storage.load(saved, build=lambda: nn.Sequential(OrderedDict(first=nn.Linear(4, 6, bias=False))))
    with pytest.raises(FileError, match=r"the plan expects 6 entries on axis 0, the model has 4"):
        storage.load(saved, build=small)


def test_misshapen_tensors_are_named_with_both_shapes(tmp_path: Path) -> None:
    save_file(Net().state_dict() | {"last.weight": torch.zeros(5, 6)}, tmp_path / "net.safetensors")

    with pytest.raises(
        FileError, match=r"1 misshapen \('last.weight': \[5, 6\], not \[3, 6\]\); is this the right model"
    ):
        storage.load_weights(Net(), tmp_path / "net.safetensors")


def test_numbers_are_never_cut_to_fit(tmp_path: Path) -> None:
    state = Net().state_dict() | {"norm.num_batches_tracked": torch.tensor(1.5)}
    save_file(state, tmp_path / "fraction.safetensors")
    save_file(
        Net().state_dict() | {"last.bias": torch.ones(3, dtype=torch.complex64)}, tmp_path / "complex.safetensors"
    )

    for name in ("fraction", "complex"):
        with pytest.raises(FileError, match="1 misshapen"):
            storage.load_weights(Net(), tmp_path / f"{name}.safetensors")


@pytest.mark.usefixtures("unchecked")
def test_load_refuses_plain_weights_and_odd_builders(saved: Path, tmp_path: Path) -> None:
    save_file(Net().state_dict(), tmp_path / "plain.safetensors")
    with pytest.raises(FileError, match=r"holds plain weights.*load_weights"):
        storage.load(tmp_path / "plain.safetensors", build=Net)
    with pytest.raises(SettingsError, match="build: gave a type; give a callable"):
        storage.load(saved, build=lambda: Net)  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match="device other than meta"):
        storage.load(saved, build=lambda: Net().to("meta"))


def test_a_later_format_is_refused(saved: Path) -> None:
    header, body = header_of(saved)
    note = json.loads(header["__metadata__"]["secateur"])
    header["__metadata__"]["secateur"] = json.dumps(note | {"format": 2})

    with pytest.raises(FileError, match="format 2, but this version reads format 1; update secateur"):
        storage.load(with_header(saved, header, body), build=Net)


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s, "args": None}])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".ckpt", ".PTH"])
def test_weights_of_others_are_read_into_a_new_model(
    tmp_path: Path, wrap: Callable[[Any], Any], prefix: str, suffix: str
) -> None:
    given, wanted = Net(), trained(Net())
    before = {name: tensor.clone() for name, tensor in given.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    torch.save(wrap({prefix + name: tensor for name, tensor in wanted.state_dict().items()}), path)

    loaded = storage.load_weights(given, path)

    same_bits(loaded, wanted)
    assert loaded is not given
    assert all(torch.equal(before[name], tensor) for name, tensor in given.state_dict().items())


def test_weights_in_the_old_pickle_format_and_in_safetensors_are_read(tmp_path: Path) -> None:
    wanted = trained(Net())
    torch.save(wanted.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(wanted.state_dict(), tmp_path / "plain.safetensors")
    storage.save(wanted, tmp_path / "ours.safetensors")

    for name in ("old.pth", "plain.safetensors", "ours.safetensors"):
        same_bits(storage.load_weights(Net(), tmp_path / name), wanted)


def test_data_parallel_weights_keep_their_module_versions(tmp_path: Path) -> None:
    wanted = trained(Net())
    state = nn.DataParallel(wanted).state_dict()
    del state["module.norm.num_batches_tracked"]  # the version says that this norm must have it
    torch.save(state, tmp_path / "parallel.pth")

    with pytest.raises(FileError, match=r"1 missing \('norm.num_batches_tracked'\)"):
        storage.load_weights(Net(), tmp_path / "parallel.pth")


def test_weights_from_before_batch_counts_are_read(tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in trained(Net()).state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth")

    assert storage.load_weights(Net(), tmp_path / "old.pth").norm.num_batches_tracked == 0


def test_a_model_that_really_has_a_part_called_module_keeps_its_prefix(tmp_path: Path) -> None:
    wanted = nn.Sequential(OrderedDict(module=nn.Linear(2, 2)))
    torch.save(wanted.state_dict(), tmp_path / "weights.pth")

    same_bits(
        storage.load_weights(nn.Sequential(OrderedDict(module=nn.Linear(2, 2))), tmp_path / "weights.pth"), wanted
    )


def test_a_tied_weight_may_be_missing_under_its_second_name(tmp_path: Path) -> None:
    wanted = Tied()
    state = wanted.state_dict()
    del state["b.weight"]
    torch.save(state, tmp_path / "tied.pth")

    same_bits(storage.load_weights(Tied(), tmp_path / "tied.pth"), wanted)
    with pytest.raises(FileError, match=r"1 missing \('b.weight'\)"):
        storage.load_weights(Tied(tied=False), tmp_path / "tied.pth")


def test_weights_of_a_cut_model_are_refused_with_the_way_to_read_them(saved: Path) -> None:
    with pytest.raises(FileError, match=r"7 misshapen .*They are of a cut model: read them with secateur.load"):
        storage.load_weights(Net(), saved)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_no_numbers_are_refused_by_name_and_count(tmp_path: Path, value: float, suffix: str) -> None:
    state = Net().state_dict()
    state["last.weight"][1, 2:4] = value
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)

    with pytest.raises(ModelError, match=rf"weights{suffix}: last.weight: 2 of 18 weights are NaN or infinite"):
        storage.load_weights(Net(), path)


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_with_code_in_it_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    state = {**Net().state_dict(), "first.bias": Trap(sprung)}
    torch.save(state, tmp_path / "zip.pth")
    torch.save({"state_dict": state}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Trap(sprung)))
    pickle.loads((tmp_path / "raw.pt").read_bytes())  # noqa: S301  # the trap works
    assert sprung.exists()
    sprung.unlink()

    for name in ("zip.pth", "old.ckpt", "raw.pt"):
        with pytest.raises(FileError, match="nothing in it was run") as caught:
            storage.load_weights(Net(), tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name == "raw.pt" or "holds more than weights ('posix.system')" in str(caught.value)
    assert not sprung.exists()


def test_a_whole_pickled_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    torch.save(Net(), tmp_path / "model.pth")

    with pytest.raises(FileError, match=r"test_storage.Net.*torch.save\(model.state_dict\(\)"):
        storage.load_weights(Net(), tmp_path / "model.pth")


def loop() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["model"] = circle
    return circle


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (3, "holds a int, no weights"),
        ({}, "holds an empty dict, no weights"),
        ({"epoch": 3, "best": 0.5}, "2 of 2 entries are no named tensors ('epoch', 'best')"),
        ({"state_dict": {"a": 1}}, "1 of 1 entries are no named tensors ('a')"),
        ({1: torch.zeros(2)}, "1 of 1 entries are no named tensors (1)"),
        ([torch.zeros(2)], "holds a list, no weights"),
        (loop(), "1 of 1 entries are no named tensors ('model')"),
    ],
)
def test_pickles_without_named_weights_are_refused(tmp_path: Path, content: Any, complaint: str) -> None:
    torch.save(content, tmp_path / "content.pth")
    with pytest.raises(FileError) as caught:
        storage.load_weights(Net(), tmp_path / "content.pth")
    assert complaint in str(caught.value)


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


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "weights.npz").write_bytes(b"x")
    complaints = {
        "none.pth": "there is no such file; check the path",
        "none.safetensors": "there is no such file; check the path",
        "folder.pth": "this is a folder",
        "weights.npz": r"\.npz is not a known kind of weights; known: \.safetensors, \.pt,",
        "none": "no ending is not a known kind",
    }
    for name, complaint in complaints.items():
        with pytest.raises(FileError, match=complaint):
            storage.load_weights(Net(), tmp_path / name)


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


def test_a_zip_bomb_of_a_header_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bomb/data.pkl", b"\x80\x02cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.")
    with pytest.raises(FileError):
        storage.load_weights(Net(), path)
