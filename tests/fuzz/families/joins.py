"""Branches: residual sums, concatenations, splits, slices."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.families.activations import activation
from fuzz.families.convolutions import CONVOLUTIONS, keeping, width
from fuzz.families.norms import image_norm
from fuzz.shapes import Block, Shape, divisors, in_planes, on_images, with_room


class Residual(nn.Module):
    """A bottleneck beside a shortcut, which is a projection where the width changes."""

    def __init__(self, shape: Shape, rng: Random):
        super().__init__()
        inner = width(rng)
        groups = rng.choice((1, 1, *divisors(inner)))
        units = shape.units if rng.random() < 0.6 else width(rng)
        conv = CONVOLUTIONS[shape.dims]
        stride = 2 if with_room(shape) and rng.random() < 0.3 else 1
        self.conv1 = conv(shape.units, inner, 1, bias=False)
        self.bn1 = image_norm(inner, shape.dims, rng)
        self.act = activation(rng, on_fresh=True)
        self.conv2 = conv(inner, inner, 3, stride, 1, groups=groups, bias=rng.random() < 0.5)
        self.bn2 = image_norm(inner, shape.dims, rng)
        self.conv3 = conv(inner, units, 1, bias=rng.random() < 0.5)
        is_plain = units == shape.units and stride == 1
        self.shortcut = nn.Identity() if is_plain else conv(shape.units, units, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.act(self.bn1(self.conv1(x)))
        out = self.conv3(self.act(self.bn2(self.conv2(out))))
        out += self.shortcut(x)
        return F.relu(out)


class Branches(nn.Module):
    """Two or three branches side by side, one of them perhaps the input itself."""

    def __init__(self, shape: Shape, rng: Random, *, has_input: bool):
        super().__init__()
        self.has_input = has_input
        self.branch1 = keeping(shape, width(rng), rng)
        self.branch2 = nn.Sequential(
            CONVOLUTIONS[shape.dims](shape.units, width(rng), 1), activation(rng, on_fresh=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        outs = [self.branch1(x), self.branch2(x)]
        return torch.cat([x, *outs] if self.has_input else outs, dim=1)


class Dense(nn.Module):
    """Every layer reads all before it, as in DenseNet."""

    def __init__(self, shape: Shape, growth: int, layers: int, rng: Random):
        super().__init__()
        widths = [shape.units + growth * number for number in range(layers)]
        self.norms = nn.ModuleList(image_norm(units, shape.dims, rng) for units in widths)
        self.convs = nn.ModuleList(keeping(Shape("image", units, shape.places), growth, rng) for units in widths)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(F.relu(norm(torch.cat(features, 1)))))
        return torch.cat(features, 1)


class SplitAndJoin(nn.Module):
    """Channels split in two, one part changed, both joined again (ShuffleNetV2, CSP)."""

    def __init__(self, shape: Shape, how: str, rng: Random):
        super().__init__()
        self.how = how
        self.half = shape.units // 2
        part = Shape("image", shape.units - self.half if how != "chunk" else (shape.units + 1) // 2, shape.places)
        self.conv = keeping(part, part.units, rng, rng.choice((1, part.units)))

    def forward(self, x: Tensor) -> Tensor:
        match self.how:
            case "chunk":
                changed, kept = x.chunk(2, dim=1)
            case "slice":
                kept, changed = x[:, : self.half], x[:, self.half :]
            case _:
                kept, changed = torch.split(x, [self.half, x.shape[1] - self.half], dim=1)
        return torch.cat([kept, self.conv(changed)], 1)


class Scales(nn.Module):
    """Chunks that pass their result on to the next one (Res2Net)."""

    def __init__(self, shape: Shape, scales: int, rng: Random):
        super().__init__()
        self.width = shape.units // scales
        part = Shape("image", self.width, shape.places)
        self.convs = nn.ModuleList(keeping(part, part.units, rng) for _ in range(scales - 1))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = torch.split(x, self.width, 1)
        outs = [first]
        for conv, part in zip(self.convs, others, strict=True):
            outs.append(F.relu(conv(part + outs[-1])))
        return torch.cat(outs, 1)


class Ghost(nn.Module):
    """Some channels, and cheap copies of them beside (GhostNet)."""

    def __init__(self, shape: Shape, units: int):
        super().__init__()
        conv = CONVOLUTIONS[shape.dims]
        self.out_channels = 2 * units - 1
        self.primary_conv = conv(shape.units, units, 1)
        self.cheap_operation = conv(units, units, 3, padding=1, groups=units)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.primary_conv(x)
        x2 = self.cheap_operation(x1)
        return torch.cat([x1, x2], dim=1)[:, : self.out_channels]


class Hourglass(nn.Module):
    """Down, and up again onto what was there (U-Net with a sum or a concatenation)."""

    def __init__(self, shape: Shape, rng: Random, *, is_sum: bool):
        super().__init__()
        self.is_sum = is_sum
        units = shape.units if is_sum else width(rng)
        self.down = nn.Conv2d(shape.units, units, 3, 2, 1)
        self.act = activation(rng, on_fresh=True)

    def forward(self, x: Tensor) -> Tensor:
        low = F.interpolate(self.act(self.down(x)), size=x.shape[-2:], mode="nearest")
        return x + low if self.is_sum else torch.cat((x, low), 1)


def _residual(shape: Shape, rng: Random) -> nn.Module:
    return Residual(shape, rng)


def _branches(shape: Shape, rng: Random) -> nn.Module:
    return Branches(shape, rng, has_input=rng.random() < 0.4)


def _dense(shape: Shape, rng: Random) -> nn.Module:
    return Dense(shape, rng.choice((3, 4)), rng.choice((2, 3)), rng)


def _split(shape: Shape, rng: Random) -> nn.Module:
    return SplitAndJoin(shape, rng.choice(("chunk", "slice", "split")), rng)


def _scales(shape: Shape, rng: Random) -> nn.Module:
    return Scales(shape, rng.choice([d for d in divisors(shape.units) if 1 < d <= 4]), rng)


def _ghost(shape: Shape, rng: Random) -> nn.Module:
    return Ghost(shape, width(rng))


def _hourglass(shape: Shape, rng: Random) -> nn.Module:
    return Hourglass(shape, rng, is_sum=rng.random() < 0.6)


def _is_narrow(shape: Shape) -> bool:
    return shape.units <= 20


BLOCKS: dict[str, Block] = {
    "residual": on_images(_residual),
    "branches": on_images(_branches, fits=_is_narrow),
    "dense": on_images(_dense, fits=_is_narrow),
    "split_and_join": on_images(_split, fits=lambda shape: shape.units >= 4),
    "scales": on_images(_scales, fits=lambda shape: any(1 < d <= 4 for d in divisors(shape.units))),
    "ghost": on_images(_ghost),
    "hourglass": on_images(_hourglass, fits=lambda shape: in_planes(shape) and with_room(shape)),
}
