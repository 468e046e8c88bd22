"""Gates from what the whole image says: squeeze-and-excite and its relatives."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.families.convolutions import width
from fuzz.shapes import Block, Shape, in_planes, on_images


class SqueezeExcite(nn.Module):
    """Global pool, two 1x1 convolutions, a gate per channel."""

    def __init__(self, channels: int, reduced: int, gate: nn.Module):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc2(F.relu(self.fc1(self.avg_pool(x)), inplace=True)))


class LinearExcite(nn.Module):
    """The same with linear layers, and views to and fro."""

    def __init__(self, channels: int, reduced: int):
        super().__init__()
        self.channels = channels
        self.fc = nn.Sequential(nn.Linear(channels, reduced), nn.ReLU(), nn.Linear(reduced, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        b, c = x.shape[:2]
        y = self.fc(x.flatten(2).mean(2))
        return x * y.view(b, c, *(1,) * (x.dim() - 2)).expand_as(x)


class ChannelThenPlace(nn.Module):
    """A gate per channel, then one per place from statistics over channels (CBAM)."""

    def __init__(self, channels: int, reduced: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, reduced, 1, bias=False), nn.ReLU(), nn.Conv2d(reduced, channels, 1)
        )
        self.conv = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        peak = torch.amax(x, (2, 3), keepdim=True)
        x = x * torch.sigmoid(self.mlp(F.adaptive_avg_pool2d(x, 1)) + self.mlp(peak))
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * self.conv(both).sigmoid()


class AlongChannels(nn.Module):
    """A gate per channel from its neighbours (ECA): channels lie along a convolved axis, so they must stay."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3)).unsqueeze(1)
        y = self.conv(y).squeeze(1).sigmoid()
        return x * y[:, :, None, None]


class PlaceGate(nn.Module):
    """One gate for all channels of a place."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(x)) * x


class SelectiveKernel(nn.Module):
    """Two branches mixed by a softmax over the branches, per channel (SKNet)."""

    def __init__(self, channels: int, reduced: int):
        super().__init__()
        self.channels = channels
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv5 = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.fc1 = nn.Conv2d(channels, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        feats = torch.stack([self.conv3(x), self.conv5(x)], dim=1)
        attn = self.fc2(F.relu(self.fc1(feats.sum(1).mean((2, 3), keepdim=True))))
        attn = attn.view(x.shape[0], 2, self.channels, 1, 1).softmax(1)
        return (feats * attn).sum(1)


class OverChannels(nn.Module):
    """What makes shares or sums over channels: they must stay."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how
        self.norm = nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        match self.how:
            case "softmax":
                return x.softmax(1)
            case "cumsum":
                return x.cumsum(1)
            case "subtract mean":
                return x - x.mean(1, keepdim=True)
            case "divide":
                return x / (1 + x.std(1, keepdim=True))
        return self.norm(x)


def _excite(shape: Shape, rng: Random) -> nn.Module:
    reduced = rng.choice((1, 3, 4))
    if shape.dims != 2 or rng.random() < 0.3:
        return LinearExcite(shape.units, reduced)
    return SqueezeExcite(shape.units, reduced, rng.choice((nn.Sigmoid, nn.Hardsigmoid))())


def _planes(shape: Shape, rng: Random) -> nn.Module:
    match rng.choice(("both", "along", "place", "selective")):
        case "both":
            return ChannelThenPlace(shape.units, 3)
        case "along":
            return AlongChannels()
        case "place":
            return PlaceGate(shape.units)
    return SelectiveKernel(shape.units, width(rng) // 2)


def _over(_: Shape, rng: Random) -> nn.Module:
    return OverChannels(rng.choice(("softmax", "cumsum", "subtract mean", "divide", "local norm")))


BLOCKS: dict[str, Block] = {
    "excite": on_images(_excite),
    "gate": on_images(_planes, fits=in_planes),
    "over_channels": on_images(_over),
}
