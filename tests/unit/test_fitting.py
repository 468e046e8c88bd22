"""Tensors that do not fit are named; tied weights stay tied, and no others."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from saved_nets import PLAN, Net, header_of, same_bits, small, trained
from secateur import storage
from secateur.errors import FileError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    storage.save(small(), path, plan=PLAN, builder="zoo:net")
    return path


class Tied(nn.Module):
    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        if tied:
            self.b.weight = self.a.weight


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
    loaded = storage.load(tmp_path / "untied.safetensors", build=lambda: Tied().requires_grad_(False))

    assert loaded.a.weight is not loaded.b.weight
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    same_bits(loaded, model)


def test_weights_that_share_memory_are_written_once(tmp_path: Path) -> None:
    model = Tied(tied=False)
    model.b.weight = nn.Parameter(model.a.weight.data)
    storage.save(model, tmp_path / "shared.safetensors")

    loaded = storage.load(tmp_path / "shared.safetensors", build=lambda: Tied(tied=False))
    same_bits(loaded, model)
    assert loaded.b.weight.data_ptr() == loaded.a.weight.data_ptr()


def test_a_tied_weight_may_be_missing_under_its_second_name(tmp_path: Path) -> None:
    wanted = Tied()
    state = wanted.state_dict()
    del state["b.weight"]
    torch.save(state, tmp_path / "tied.pth")

    same_bits(storage.load_weights(Tied(), tmp_path / "tied.pth"), wanted)
    with pytest.raises(FileError, match=r"1 missing \('b.weight'\)"):
        storage.load_weights(Tied(tied=False), tmp_path / "tied.pth")


class Versioned(nn.Linear):
    """As torchvision's MNASNet: it refuses weights that do not say which version of it wrote them."""

    _version = 2

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], *rest: Any) -> None:
        if local_metadata.get("version") != 2:
            raise ValueError("version must be 2")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def test_modules_that_ask_for_their_version_load(tmp_path: Path) -> None:
    model = Versioned(2, 2)
    storage.save(model, tmp_path / "net.safetensors")
    torch.save(nn.DataParallel(model).state_dict(), tmp_path / "net.pth")
    save_file(model.state_dict(), tmp_path / "plain.safetensors")

    same_bits(storage.load(tmp_path / "net.safetensors", build=lambda: Versioned(2, 2)), model)
    same_bits(storage.load_weights(Versioned(2, 2), tmp_path / "net.pth"), model)
    with pytest.raises(FileError, match="does not fit the model: version must be 2"):
        storage.load_weights(Versioned(2, 2), tmp_path / "plain.safetensors")


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
