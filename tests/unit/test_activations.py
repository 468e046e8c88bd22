"""Rectifiers between linear operations: each call on its own, against what hooks see when the network runs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from hub_models import IMAGES, SIZES
from secateur import zoo
from secateur.activations import activations_in, find_activations, layers_in
from secateur.depth import Affine
from secateur.errors import ModelError, SettingsError, UnknownNameError
from secateur.huggingface import example_of
from secateur.sites import Sites
from secateur.tracing import trace

Net = tuple[nn.Module, Any]
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, type(transformers.activations.ACT2FN["gelu"]))


def of_zoo(name: str, **options: Any) -> Net:
    return zoo.build(name, outputs=3, **options).eval(), zoo.example(name, outputs=3, **options)


def of_hub(kind: type[nn.Module], config: Any) -> Net:
    model = kind(config).eval()
    return model, example_of(model)


def swin() -> Net:
    config = transformers.SwinConfig(
        image_size=8, patch_size=1, embed_dim=8, depths=[1, 2], num_heads=[1, 2], window_size=2
    )
    return of_hub(transformers.SwinForImageClassification, config)


def names_of(sites: Sites) -> list[str]:
    return [activation.name for activation in sites.activations]


# --- networks that people use -----------------------------------------------------------------------------------------

# At full size (15 of VGG-16 with its two hidden layers, 12 of Swin-T, BERT and RoBERTa) in tests/compat.
COUNTS: dict[str, tuple[int, Callable[[], Net]]] = {
    "resnet18": (17, lambda: of_zoo("resnet18", data="cifar")),
    "vgg16_bn": (13, lambda: of_zoo("vgg16_bn", data="cifar")),
    "mobilenet_v2": (35, lambda: of_zoo("mobilenet_v2", data="cifar")),
    "swin": (3, swin),
    "bert": (2, lambda: of_hub(transformers.BertForSequenceClassification, transformers.BertConfig(**SIZES))),
    "roberta": (2, lambda: of_hub(transformers.RobertaModel, transformers.RobertaConfig(**SIZES, pad_token_id=0))),
    "pre-activation": (6, lambda: of_zoo("densenet", depth=7, growth=4)),
    "vit": (2, lambda: of_hub(transformers.ViTForImageClassification, transformers.ViTConfig(**SIZES, **IMAGES))),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_published_counts_come_out_in_the_order_in_which_modules_run(name: str) -> None:
    """The order, the shapes and the batch-norms are those that forward hooks see."""
    count, make = COUNTS[name]
    model, example = make()
    sites = find_activations(model, example)
    ran = watched(model, example)
    assert len(sites.activations) == count
    assert [(a.name, a.units, a.axis) for a in sites.activations] == [(n, c, x) for n, c, x, _ in ran]
    assert [a.norm for a in sites.activations] == [norm for *_, norm in ran]
    assert all(a.is_alone and a.module == a.name and a.before and a.after for a in sites.activations)
    assert [p.name for p in sites.pinned] == []


def watched(model: nn.Module, example: Any) -> list[tuple[str, int, int, str]]:
    """Rectifying modules as they run: name, channels and their axis, and the batch-norm whose output each reads."""
    ran: list[tuple[str, int, int, str]] = []
    made: dict[int, str] = {}
    kept: list[Tensor] = []  # so that no address is used twice

    def saw(name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            made[id(y)] = name
            kept.append(y)
        elif isinstance(module, RECTIFIERS):
            axis = -3 if x.dim() == 4 and not name.startswith("swin") else -1
            ran.append((name, x.shape[axis], axis, made.pop(id(x), "")))

    hooks = [
        module.register_forward_hook(lambda m, x, y, name=name: saw(name, m, x[0], y) if x else None)
        for name, module in model.named_modules()
    ]
    with torch.no_grad():
        model(**example) if isinstance(example, dict) else model(example)
    for hook in hooks:
        hook.remove()
    return ran


# --- forwards that people write ---------------------------------------------------------------------------------------


class Block(nn.Module):
    """Torchvision's way: one module called twice."""

    def __init__(self, act: nn.Module):
        super().__init__()
        self.first, self.last, self.act = nn.Linear(4, 4), nn.Linear(4, 4), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.last(self.act(self.first(x))) + x)


def stacked(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), *layers, nn.Linear(4, 2)).eval()


def found_in(model: nn.Module) -> Sites:
    return layers_in(trace(model.eval(), torch.randn(2, 3)))


def test_a_module_called_twice_is_two_activations() -> None:
    sites = found_in(stacked(Block(nn.ReLU())))
    assert names_of(sites) == ["1.act#1", "1.act#2"]
    assert [(a.owner, a.module, a.call, a.calls, a.is_alone) for a in sites.activations] == [
        ("1", "1.act", 0, 2, False),
        ("1", "1.act", 1, 2, False),
    ]
    first, second = sites.activations
    assert (first.before, first.after) == (("1.first.weight",), ("1.last.weight",))
    assert (second.before, second.after) == (("1.last.weight", "0.weight"), ("2.weight",))


def test_a_module_called_from_several_owners_counts_all_its_calls() -> None:
    shared = nn.ReLU()
    sites = found_in(stacked(Block(shared), Block(shared)))
    assert names_of(sites) == ["1.act#1", "1.act#2", "2.act#1", "2.act#2"]
    assert [(a.call, a.calls) for a in sites.activations] == [(0, 4), (1, 4), (0, 4), (1, 4)]
    sites = found_in(stacked(shared, nn.Linear(4, 4), shared))
    assert [(a.name, a.call, a.calls, a.is_alone) for a in sites.activations] == [
        ("1", 0, 2, False),
        ("3", 1, 2, False),
    ]


def test_a_call_that_is_not_eligible_counts_all_the_same() -> None:
    class Ends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head, self.act = nn.Linear(3, 4), nn.Linear(4, 2), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.head(self.act(self.body(self.act(x)))))

    sites = found_in(Ends())
    assert [(a.name, a.call, a.calls, a.is_alone) for a in sites.activations] == [("act#2", 1, 3, False)]
    assert [(p.name, p.reason.split()[-3:]) for p in sites.pinned] == [
        ("act#1", ["comes", "before", "it"]),
        ("act#3", ["comes", "after", "it"]),
    ]


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.four, self.five = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x))
        x = self.two(x).relu_()
        return self.five(F.gelu(self.four(torch.relu(self.three(x)))))


def test_functions_and_methods_are_calls_of_their_owner() -> None:
    sites = found_in(Functional())
    assert names_of(sites) == ["relu()#1", "relu()#2", "relu()#3", "gelu()"]
    assert [(a.owner, a.module, a.call, a.calls) for a in sites.activations[1:]] == [
        ("", "", 1, 3),
        ("", "", 2, 3),
        ("", "", 0, 1),
    ]
    inner = found_in(nn.Sequential(nn.Linear(3, 3), Functional()))
    assert names_of(inner)[0] == "1.relu()#1"
    assert inner.activations[0].owner == "1"


class Wrapped(nn.Module):
    """A class of the user's own around one function."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Swish(nn.Module):
    """Written out, and called so."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.7 * x)


class Scaled(nn.Module):
    """More than a rectifier."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(2 * x)


def test_a_module_is_one_that_computes_nothing_else_whatever_its_class() -> None:
    sites = found_in(
        stacked(Wrapped(), nn.Linear(4, 4), Swish(), nn.Linear(4, 4), Scaled(), nn.Linear(4, 4), nn.PReLU())
    )
    assert [(a.name, a.operator, a.module) for a in sites.activations] == [
        ("1", "relu", "1"),
        ("3", "swish", "3"),
        ("5.relu()", "relu", ""),
        ("7", "prelu", "7"),
    ]


def test_a_gate_counts_by_its_rectifiers_alone() -> None:
    """Squeeze and excitation: the rectifier between its two layers is one; the sigmoid is none."""

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up, self.act = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1), nn.SiLU()

        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(self.up(self.act(self.down(x.mean((2, 3), keepdim=True)))))

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), Gate(), nn.Conv2d(4, 2, 1)).eval()
    sites = layers_in(trace(model, torch.randn(2, 3, 6, 6)))
    assert [(a.name, a.norm) for a in sites.activations] == [("2", "1"), ("3.act", "")]
    assert sites.activations[0].after == ("3.down.weight",)


def test_a_product_of_two_activations_is_no_linear_operation() -> None:
    config = transformers.LlamaConfig(**{**SIZES, "num_hidden_layers": 1})
    model, example = of_hub(transformers.LlamaForCausalLM, config)
    with pytest.raises(ModelError, match=r"act_fn is one, but through norms and sums alone, no linear operation comes"):
        find_activations(model, example)


def test_a_line_in_the_place_of_an_activation_changes_nothing_for_the_others() -> None:
    model = stacked(Affine(4), nn.Linear(4, 4), nn.ReLU(), Affine(4))
    (activation,) = found_in(model).activations
    assert (activation.name, activation.before, activation.after) == ("3", ("2.weight",), ("5.weight",))


class Twice(nn.Module):
    """ALBERT's way: one block, run several times under one name, or under two."""

    def __init__(self, *, two_names: bool):
        super().__init__()
        block = Block(nn.ReLU())
        self.first, self.blocks, self.head = nn.Linear(3, 4), nn.ModuleList([block] * (1 + two_names)), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for block in (*self.blocks, self.blocks[0])[:2]:
            x = block(x)
        return self.head(x)


@pytest.mark.parametrize("two_names", [False, True])
def test_what_runs_again_and_again_cannot_go_alone(two_names: bool) -> None:
    sites = find_activations(Twice(two_names=two_names).eval(), torch.randn(2, 3))
    assert names_of(sites) == ["relu()"]
    name = sites.pinned[-1].name
    with pytest.raises(SettingsError, match=r"blocks.* runs several times for one output; choose another"):
        sites.activation(name)


def test_albert_has_no_activation_of_its_own() -> None:
    config = transformers.AlbertConfig(**{**SIZES, "embedding_size": 8, "num_hidden_layers": 2})
    model, example = of_hub(transformers.AlbertForSequenceClassification, config)
    with pytest.raises(ModelError, match=r"albert_layers.0.activation#1 is one, but .* runs several times"):
        find_activations(model, example)


def test_a_model_without_rectifiers_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"Sequential: no rectifier .* stands between two linear operations, so no layer"
    ):
        find_activations(stacked(nn.Tanh()), torch.randn(2, 3))


def test_an_activation_that_does_not_exist_is_refused() -> None:
    sites = found_in(stacked(Block(nn.ReLU())))
    assert sites.activation("1.act#2").call == 1
    with pytest.raises(UnknownNameError, match=r"'1.act' is not a known activation; did you mean 1.act#"):
        sites.activation("1.act")


def test_a_graph_gives_what_a_model_gives() -> None:
    model, x = stacked(nn.ReLU()), torch.randn(2, 3)
    assert activations_in(trace(model, x)) == find_activations(model, x).activations
