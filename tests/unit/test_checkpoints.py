"""Weights from other people's files are read, and nothing in them is run."""

import copy
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from saved_nets import PLAN, Net, same_bits, small, trained
from secateur import checkpoints, storage
from secateur.errors import FileError, ModelError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    storage.save(small(), path, plan=PLAN, builder="zoo:net")
    return path


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s, "args": None}])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".ckpt", ".tar", ".PTH"])
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


def test_what_a_training_left_beside_the_weights_is_passed_over(tmp_path: Path) -> None:
    wanted = trained(Net())
    optimizer = torch.optim.SGD(wanted.parameters(), lr=0.1, momentum=0.9)
    content = {"state_dict": wanted.state_dict(), "optimizer": optimizer.state_dict(), "best_acc1": torch.tensor(93.1)}
    torch.save({"epoch": 3, "arch": "net", **content}, tmp_path / "model_best.pth.tar")
    same_bits(storage.load_weights(Net(), tmp_path / "model_best.pth.tar"), wanted)


def test_an_archive_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "inside").write_bytes(b"x")
    with tarfile.open(tmp_path / "weights.tar", "w") as archive:
        archive.add(tmp_path / "inside", "inside")
    with pytest.raises(FileError, match=r"weights.tar: damaged, or not what torch.save writes"):
        storage.load_weights(Net(), tmp_path / "weights.tar")


def test_weights_in_the_old_pickle_format_and_in_safetensors_are_read(tmp_path: Path) -> None:
    wanted = trained(Net())
    torch.save(wanted.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(wanted.state_dict(), tmp_path / "plain.safetensors")
    storage.save(wanted, tmp_path / "ours.safetensors")

    for name in ("old.pth", "plain.safetensors", "ours.safetensors"):
        same_bits(storage.load_weights(Net(), tmp_path / name), wanted)


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

    with pytest.raises(FileError, match=r"saved_nets.Net.*torch.save\(model.state_dict\(\)"):
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


def test_a_zip_bomb_of_a_header_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bomb/data.pkl", b"\x80\x02cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR.")
    with pytest.raises(FileError):
        storage.load_weights(Net(), path)


def quantised(net: nn.Module) -> tuple[dict[str, Tensor], nn.Module]:
    """The weights of a network as int8 with a scale for each output, and the network that they stand for."""
    tensors, wanted = {}, copy.deepcopy(net)
    for name, tensor in wanted.state_dict().items():
        if tensor.dim() < 2:
            tensors[name] = tensor
            continue
        scale = tensor.flatten(1).abs().amax(1) / 127
        by_output = scale.reshape(-1, *[1] * (tensor.dim() - 1))
        whole = (tensor / by_output).round().to(torch.int8)
        tensors |= {f"{name}_q": whole, f"{name}_scale": scale}
        tensor.copy_(torch.stack([row * float(number) for row, number in zip(whole, scale, strict=True)]))
    return tensors, wanted


def test_weights_in_whole_numbers_are_multiplied_out(tmp_path: Path) -> None:
    tensors, wanted = quantised(trained(Net()))
    assert any(tensor.dtype == torch.int8 for tensor in tensors.values())
    save_file(tensors, tmp_path / "int8.safetensors")
    same_bits(storage.load_weights(Net(), tmp_path / "int8.safetensors"), wanted)


def test_whole_numbers_and_a_scale_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    tensors, _ = quantised(trained(Net()))
    (name, *_) = (name for name in tensors if name.endswith("_scale"))
    save_file(tensors | {name: tensors[name][:-1].clone()}, tmp_path / "int8.safetensors")
    with pytest.raises(FileError, match=rf"{name.removesuffix('_scale')}: whole numbers and scale have shapes \["):
        storage.load_weights(Net(), tmp_path / "int8.safetensors")


def test_a_parameter_that_only_sounds_like_whole_numbers_stays_as_it_is(tmp_path: Path) -> None:
    named = {"weight_q": torch.randn(3, 2), "weight_scale": torch.randn(3)}
    save_file(named, tmp_path / "named.safetensors")
    assert checkpoints.read(tmp_path / "named.safetensors").keys() == named.keys()
