"""Networks for images: their sizes as published, the names of their parameters, tracing, and what options do."""

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from secateur import zoo
from secateur.errors import CompressionError, SettingsError, UnknownNameError
from secateur.zoo import densenet, mobilenet_v2, resnet, resnet_cifar

CIFAR, IMAGENET, MNIST = ({"data": name} for name in ("cifar", "imagenet", "mnist"))
SHORT_DENSE = {"depth": 7, "growth": 3}


def on_meta(name: str, options: Mapping[str, Any]) -> nn.Module:
    """The network without values, whose size costs nothing."""
    with torch.device("meta"):
        return zoo.build(name, **options).eval()


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-adds for one row, counted by hooks: a weight's row for every number that a layer puts out."""
    counted = []

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        counted.append(output[0].numel() * module.weight[0].numel())

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                hooks.callback(module.register_forward_hook(count).remove)
        model(torch.empty(1, *shape, device="meta"))
    return sum(counted)


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("vgg16", {}, 138_357_544),
        ("vgg16_bn", {}, 138_365_992),
        ("vgg16_bn", CIFAR, 14_728_266),
        ("resnet18", {}, 11_689_512),
        ("resnet18", CIFAR, 11_173_962),
        ("resnet50", {}, 25_557_032),
        ("mobilenet_v1", IMAGENET, 4_231_976),
        ("mobilenet_v1", {**IMAGENET, "width": 0.25}, 470_072),
        ("mobilenet_v2", {}, 3_504_872),
        ("resnet20", {}, 269_722),
        ("resnet32", {}, 464_154),
        ("resnet44", {}, 658_586),
        ("resnet56", {}, 853_018),
        ("resnet110", {}, 1_727_962),
        ("lenet", MNIST, 61_706),
        ("lenet", {"channels": 1}, 61_706),
    ],
)
def test_a_network_has_as_many_parameters_as_published(name: str, options: Mapping[str, Any], published: int) -> None:
    assert parameters(on_meta(name, options)) == published


@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("vgg16", {}, 15_470_264_320),
        ("vgg16_bn", CIFAR, 313_201_664),
        ("resnet18", {}, 1_814_073_344),
        ("resnet18", {**CIFAR, "stem": "3x3_pool"}, 140_186_624),
        ("resnet50", {}, 4_089_184_256),
        ("mobilenet_v1", IMAGENET, 568_740_352),
        ("mobilenet_v2", {}, 300_774_272),
        ("mobilenet_v1", CIFAR, 46_354_432),
        ("mobilenet_v2", CIFAR, 87_976_448),
        ("resnet18", CIFAR, 555_422_720),
        ("resnet56", {}, 125_485_696),
        ("lenet", MNIST, 416_520),
    ],
)
def test_a_network_costs_as_many_macs_as_published(name: str, options: Mapping[str, Any], published: int) -> None:
    assert macs(on_meta(name, options), tuple(zoo.example(name, **options).shape[1:])) == published


@pytest.mark.parametrize(
    ("name", "depth", "growth"), [("densenet40", 40, 12), ("densenet", 40, 24), ("densenet", 7, 1)]
)
def test_a_densenet_has_the_parameters_of_the_paper(name: str, depth: int, growth: int) -> None:
    layers = (depth - 4) // 3
    width, wanted = 16, 3 * 16 * 9
    for block in range(3):
        for _ in range(layers):
            wanted += 2 * width + 9 * width * growth
            width += growth
        wanted += 2 * width + (width * width if block < 2 else (width + 1) * 10)
    options = {"growth": growth} if name == "densenet40" else {"depth": depth, "growth": growth}
    assert parameters(on_meta(name, options)) == wanted
    assert name != "densenet40" or 1.0e6 < wanted < 1.05e6


@pytest.mark.parametrize(("name", "blocks"), [("resnet20", 3), ("resnet110", 18)])
def test_shortcuts_b_add_two_convolutions_with_norms(name: str, blocks: int) -> None:
    a, b = (on_meta(name, {"shortcut": shortcut}) for shortcut in "AB")
    assert parameters(b) - parameters(a) == 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert [len(stage) for stage in (a.layer1, a.layer2, a.layer3)] == [blocks] * 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet", MNIST),
        ("resnet18", {**CIFAR, "stem": "3x3_pool"}),
        ("resnet20", {}),
        ("densenet", SHORT_DENSE),
        ("mobilenet_v1", {}),
    ],
)
def test_a_network_can_be_traced_with_any_number_of_rows(name: str, options: Mapping[str, Any]) -> None:
    model, x = on_meta(name, options), zoo.example(name, **options).to("meta")
    program = torch.export.export(model, (x,), strict=False, dynamic_shapes=({0: Dim.AUTO},)).module()
    assert program(torch.cat([x, x, x])).shape == (6, *model(x).shape[1:])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet20", {}),
        ("resnet18", CIFAR),
        ("densenet", SHORT_DENSE),
        ("mobilenet_v1", {"width": 0.25}),
        ("mobilenet_v2", {**CIFAR, "width": 0.25}),
        ("vgg16", CIFAR),
        ("vgg16_bn", CIFAR),
        ("lenet", {}),
    ],
)
def test_outputs_channels_and_the_form_follow_the_options(name: str, options: Mapping[str, Any]) -> None:
    model = zoo.build(name, **options, outputs="7", channels="2").eval()
    x = zoo.example(name, **options, channels=2)
    assert x.shape == (2, 2, 32, 32)
    with torch.no_grad():
        output = model(x)
    assert output.shape == (2, 7)
    assert 0.03 < output.std() < 30, "the signal has died or grown on its way through fresh weights"


@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in ("mlp", "resnet110")])
def test_every_network_for_cifar_tells_ten_classes_apart_and_calls_no_activation_twice(name: str) -> None:
    model = zoo.build(name, **CIFAR).eval()
    called: list[nn.Module] = []
    with ExitStack() as hooks, torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.ReLU, nn.ReLU6)):
                hooks.callback(module.register_forward_hook(lambda module, *_: called.append(module)).remove)
        assert model(zoo.example(name, **CIFAR)).shape == (2, 10)
    assert called and len(called) == len(set(called))


def test_a_vgg_is_its_definition() -> None:
    model = zoo.build("vgg16", **CIFAR)
    x = inner = zoo.example("vgg16", **CIFAR)
    convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    for stage in (2, 2, 3, 3, 3):
        for _ in range(stage):
            inner = next(convolutions)(inner).relu()
        inner = F.max_pool2d(inner, 2)
    torch.testing.assert_close(model(x), model.classifier(inner[:, :, 0, 0]))


def test_a_lenet_pads_small_digits_and_is_its_definition() -> None:
    model, x = zoo.build("lenet", **MNIST), zoo.example("lenet", **MNIST)
    inner = F.conv2d(F.pad(x, (2, 2, 2, 2)), model.conv1.weight, model.conv1.bias)
    inner = F.max_pool2d(model.conv2(F.max_pool2d(inner.relu(), 2)).relu(), 2)
    inner = model.fc2(model.fc1(inner.reshape(2, 400)).relu()).relu()
    torch.testing.assert_close(model(x), model.fc3(inner))


def test_shortcut_a_is_a_convolution_that_picks_every_other_pixel() -> None:
    x = torch.randn(2, 6, 5, 7)
    picks = torch.eye(6).view(6, 6, 1, 1)
    wanted = F.conv2d(x, torch.cat([torch.zeros(3, 6, 1, 1), picks, torch.zeros(3, 6, 1, 1)]), stride=2)
    assert torch.equal(resnet_cifar.Padding(6, 12)(x), wanted)


@pytest.mark.parametrize(
    ("block", "last"),
    [
        (resnet_cifar.Block(4, 4, nn.Identity()), "bn2"),
        (resnet_cifar.Block(4, 8, resnet_cifar.Padding(4, 8)), "bn2"),
        (resnet.Basic(4, 4, 1), "bn2"),
        (resnet.Basic(4, 8, 2), "bn2"),
        (resnet.Bottleneck(4, 4, 2), "bn3"),
        (resnet.Bottleneck(16, 4, 1), "bn3"),
        (mobilenet_v2.InvertedResidual(4, 4, 1, 6), "conv.3"),
    ],
)
def test_a_block_that_adds_nothing_is_its_shortcut(block: nn.Module, last: str) -> None:
    x = torch.randn(2, next(block.parameters()).shape[1], 6, 6)
    nn.init.zeros_(block.eval().get_submodule(last).weight)
    past = getattr(block, "shortcut", getattr(block, "downsample", nn.Identity()))(x)
    assert torch.equal(block(x), past if isinstance(block, mobilenet_v2.InvertedResidual) else past.relu())


def test_norms_folded_into_convolutions_leave_names_and_outputs_as_they_were() -> None:
    options = {"width": 0.25, **CIFAR}
    normed, bare = zoo.build("mobilenet_v2", **options).eval(), zoo.build("mobilenet_v2", **options, norm="0").eval()
    for module in normed.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    modules = list(normed.named_modules())
    for (name, module), (_, after) in pairwise(modules):
        if isinstance(after, nn.BatchNorm2d):
            bare.get_submodule(name).load_state_dict(fuse_conv_bn_eval(module, after).state_dict())
    bare.classifier.load_state_dict(normed.classifier.state_dict())
    x = zoo.example("mobilenet_v2", **options)
    torch.testing.assert_close(bare(x), normed(x), rtol=1e-4, atol=1e-4)


def test_padding_at_the_end_is_that_of_tensorflow_and_keeps_the_names() -> None:
    both, end = (zoo.build("mobilenet_v2", width=0.25, padding=padding).eval() for padding in ("both", "end"))
    end.load_state_dict(both.state_dict())
    x = torch.randn(1, 3, 32, 32)
    stem = both.features[0][0]
    wanted = F.conv2d(x, stem.weight, padding=1)[:, :, 1::2, 1::2]  # windows that begin at the first pixel
    torch.testing.assert_close(end.features[0][:2](x), wanted)
    assert [name for name, module in end.named_modules() if isinstance(module, nn.ZeroPad2d)] == [
        "features.0.pad",
        *(f"features.{block}.conv.1.pad" for block in (2, 4, 7, 14)),
    ]


@pytest.mark.parametrize(
    ("name", "side", "wanted"),
    [
        ("mobilenet_v1", 224, "imagenet"),
        ("mobilenet_v1", 32, "cifar"),
        ("mobilenet_v2", 256, "imagenet"),
        ("lenet", 28, "mnist"),
        ("resnet20", 224, None),
        ("mlp", 28, None),
    ],
)
def test_the_form_follows_the_size_of_the_images(name: str, side: int, wanted: str | None) -> None:
    assert zoo.form_for(name, side) == wanted


@pytest.mark.parametrize("ends", [(4, 8, 1), (4, 4, 2)])
def test_an_inverted_residual_that_changes_its_shape_has_no_shortcut(ends: tuple[int, int, int]) -> None:
    block = mobilenet_v2.InvertedResidual(*ends, 6).eval()
    nn.init.zeros_(block.conv[3].weight)
    assert not block(torch.randn(2, 4, 6, 6)).any()


def test_a_dense_layer_keeps_its_input_before_what_it_adds() -> None:
    x, layer = torch.randn(2, 4, 6, 6), densenet.Layer(4, 3).eval()
    nn.init.uniform_(layer.bn.bias)
    assert torch.equal(layer(x)[:, :4], x)
    assert torch.equal(layer(x)[:, 4:], layer.conv(layer.bn(x).relu()))


@pytest.mark.parametrize(
    ("name", "options", "kind", "words"),
    [
        ("vgg16", MNIST, UnknownNameError, "'mnist' is not a known data set for vgg; known: cifar, imagenet"),
        ("resnet56", IMAGENET, UnknownNameError, "'imagenet' is not a known data set for resnet56; known: cifar"),
        ("resnet50", {"data": "cifar10"}, UnknownNameError, "did you mean cifar"),
        ("resnet18", {"stem": "3x3pool"}, UnknownNameError, "did you mean 3x3_pool or"),
        ("resnet18", {"outputs": "0"}, SettingsError, "resnet: outputs=0; it must be at least 1"),
        ("lenet", {"channels": -1}, SettingsError, "lenet: channels=-1; it must be at least 1"),
        ("lenet", {"channels": "rgb"}, SettingsError, "lenet: channels='rgb'; it must be a whole number"),
        ("resnet20", {"shortcut": "C"}, UnknownNameError, "'C' is not a known shortcut; known: A, B"),
        ("densenet", {"depth": 41}, SettingsError, "depth=41; three equal blocks need 7, 10, 13 and so on, such as 40"),
        ("densenet", {"depth": 4}, SettingsError, "depth=4; .* such as 7"),
        ("densenet40", {"depth": 43}, UnknownNameError, "'depth' is not a known option of densenet40"),
        ("densenet40", {"growth": 0}, SettingsError, "growth=0; it must be at least 1"),
        ("mobilenet_v1", {"width": "0"}, SettingsError, "mobilenet_v1: width=0.0; it must be above 0"),
        ("mobilenet_v1", {"activation": "leaky"}, UnknownNameError, "did you mean leaky_relu"),
        ("mobilenet_v2", {"width": "nan"}, SettingsError, "mobilenet_v2: width=nan; it must be above 0"),
        ("mobilenet_v2", {"padding": "ends"}, UnknownNameError, "did you mean end"),
        ("mobilenet_v2", {"width": "inf"}, SettingsError, "width=inf"),
    ],
)
def test_an_option_outside_its_range_is_refused(
    name: str, options: Mapping[str, Any], kind: type[CompressionError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        on_meta(name, options)
    with pytest.raises(kind, match=words):
        zoo.example(name, **options)
