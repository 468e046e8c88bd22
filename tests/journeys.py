"""What a cut network goes through: a file and back, and ONNX."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

import secateur as sc
from fuzz.cuts import drawn_units
from fuzz.networks import randomise_
from saved_nets import same_bits
from secateur import storage, zoo
from secateur.plan import Plan


def cut(model: nn.Module, example: Any, **how: bool) -> tuple[nn.Module, Plan]:
    """The model with weights that can be told apart, without random units of its sites, in eval mode; and the plan."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        randomise_(model.eval(), 2.0)
    sites = sc.find_sites(model, example, **how)
    plan = sc.plan_of(sites, drawn_units(sites, Random(3)))
    return sc.apply(model, plan), plan


@torch.no_grad()
def answer(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)


def through_onnx(path: Path, x: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


def assert_comes_back(name: str, options: Mapping[str, Any], folder: Path) -> None:
    """Fail unless a cut network of the zoo is loaded to the bit, and its ONNX file puts out the same for any batch."""
    x = zoo.example(name, **options)
    small, plan = cut(zoo.build(name, **options), x)
    assert plan.cuts
    storage.save(small, folder / "small.safetensors", plan=plan)
    loaded = storage.load(folder / "small.safetensors", build=lambda: zoo.build(name, **options))
    same_bits(loaded, small)
    assert repr(loaded) == repr(small)
    assert torch.equal(answer(loaded.eval(), x), answer(small, x))

    sc.export_onnx(loaded, folder / "small.onnx", x)
    for rows in (1, 3):
        more = torch.randn((rows, *x.shape[1:]), generator=torch.Generator().manual_seed(rows))
        wanted = answer(small, more)
        assert np.abs(through_onnx(folder / "small.onnx", more) - wanted.numpy()).max() <= 1e-4 * wanted.abs().max()
