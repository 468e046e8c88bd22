"""Every operator between a layer that makes units and one that reads them, with how many can go: counted by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.families import gates, joins, norms, pooling, reshapes
from fuzz.families.activations import BothSigns, GatedHalves
from fuzz.shapes import Shape

CHANNELS = 8
SIDE = 6


@dataclass(frozen=True)
class Row:
    """One operator: what stands between, the places of the image, and how many rows of which weights can go.

    `first` is the layer before with its 8 units, `middle` the operator itself. `pinned_by` names the operator that
    must be blamed where something stays.
    """

    middle: Callable[[], nn.Module]
    first: int = CHANNELS
    others: dict[str, int] = field(default_factory=dict)
    places: tuple[int, ...] = (SIDE, SIDE)
    pinned_by: str = ""


class Does(nn.Module):
    """What a function does."""

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Acts(nn.Module):
    """What a function of the input and one parameter does."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *shape: int):
        super().__init__()
        self.table = nn.Parameter(torch.ones(shape))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.table)


class Sized(nn.Module):
    """A view that asks an attribute for the number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = CHANNELS

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], self.channels, -1).mean(2)[:, :, None, None]


class Halved(nn.Module):
    """A split whose first size is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.half = 3

    def forward(self, x: Tensor) -> Tensor:
        one, other = torch.split(x, [self.half, x.shape[1] - self.half], 1)
        return torch.cat([other, one], 1)


def does(function: Callable[[Tensor], Tensor], first: int = CHANNELS, pinned_by: str = "") -> Row:
    """A row for a function."""
    return Row(lambda: Does(function), first, pinned_by=pinned_by)


def acts(function: Callable[[Tensor, Tensor], Tensor], *shape: int, first: int = CHANNELS) -> Row:
    """A row for a function with a parameter."""
    return Row(lambda: Acts(function, *shape), first)


def conv(make: Callable[..., nn.Module], units: int, *args: object, places: int = 2, **settings: object) -> Row:
    """A row for a convolution: its own rows can go too; those of depthwise ones are counted with their inputs."""
    return Row(lambda: make(CHANNELS, units, *args, **settings), others={"middle": units}, places=(SIDE,) * places)


CONVOLUTIONS = {
    "conv1d": conv(nn.Conv1d, 6, 3, places=1),
    "conv2d": conv(nn.Conv2d, 6, 3, stride=2, padding=1),
    "conv2d without bias": conv(nn.Conv2d, 6, 1, bias=False),
    "conv2d same, reflected": conv(nn.Conv2d, 6, 3, padding="same", padding_mode="reflect"),
    "conv2d circular": conv(nn.Conv2d, 6, 3, padding=1, padding_mode="circular"),
    "conv2d dilated": conv(nn.Conv2d, 6, 3, padding=2, dilation=2),
    "conv2d oblong": conv(nn.Conv2d, 6, (1, 3), padding=(0, 1)),
    "conv3d": conv(nn.Conv3d, 6, 3, padding=1, places=3),
    "conv2d in two groups": conv(nn.Conv2d, 6, 3, groups=2),
    "conv2d in four groups": conv(nn.Conv2d, 8, 1, groups=4),
    "depthwise": conv(nn.Conv2d, 8, 3, padding=1, groups=8),
    "depthwise 1d": conv(nn.Conv1d, 8, 3, padding=1, groups=8, places=1),
    "depthwise, two each": conv(nn.Conv2d, 16, 3, padding=1, groups=8),
    "transposed": Row(lambda: nn.ConvTranspose2d(8, 6, 3, 2, 1, output_padding=1)),
    "transposed 1d": Row(lambda: nn.ConvTranspose1d(8, 6, 2, 2), places=(SIDE,)),
    "transposed 3d": Row(lambda: nn.ConvTranspose3d(8, 6, 2, bias=False), places=(3, 3, 3)),
    "transposed in groups": Row(lambda: nn.ConvTranspose2d(8, 6, 3, groups=2)),
    "transposed depthwise": Row(lambda: nn.ConvTranspose2d(8, 8, 2, 2, groups=8)),
}

NORMS = {
    "batch norm": Row(lambda: nn.BatchNorm2d(8)),
    "batch norm without scale": Row(lambda: nn.BatchNorm2d(8, affine=False)),
    "batch norm of the batch": Row(lambda: nn.BatchNorm2d(8, track_running_stats=False)),
    "batch norm 1d": Row(lambda: nn.BatchNorm1d(8), places=(SIDE,)),
    "batch norm 3d": Row(lambda: nn.BatchNorm3d(8), places=(3, 3, 3)),
    "instance norm": Row(lambda: nn.InstanceNorm2d(8)),
    "instance norm with scale": Row(lambda: nn.InstanceNorm2d(8, affine=True)),
    "instance norm with statistics": Row(lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True)),
    "group norm of one": Row(lambda: nn.GroupNorm(1, 8)),
    "group norm of two": Row(lambda: nn.GroupNorm(2, 8)),
    "layer norm over channels": Row(lambda: norms.ChannelsLast(8, nn.LayerNorm(8))),
    "layer norm with its own tensors": Row(lambda: norms.LayerNorm2d(8)),
    "rms norm over channels": Row(lambda: norms.ChannelsLast(8, nn.RMSNorm(8))),
    "layer scale": Row(lambda: norms.ScaleOfEach(8, 2)),
    "local response norm": Row(lambda: nn.LocalResponseNorm(3), 0),
}

ACTIVATIONS = {
    "relu": does(F.relu),
    "relu in place": Row(lambda: nn.ReLU(inplace=True)),
    "prelu": Row(nn.PReLU),
    "prelu of each": Row(lambda: nn.PReLU(8)),
    "sigmoid, which is not zero at zero": does(torch.sigmoid),
    "glu": Row(lambda: GatedHalves(1, "glu")),
    "halves that gate each other": Row(lambda: GatedHalves(1, "simple")),
    "halves by a split": Row(lambda: GatedHalves(1, "geglu")),
    "both signs": Row(lambda: BothSigns(1)),
    "softmax over channels": does(lambda x: x.softmax(1), 0, "softmax"),
    "log softmax over channels": does(lambda x: F.log_softmax(x, 1), 0, "log_softmax"),
    "softmax over places": does(lambda x: x.flatten(2).softmax(-1).view_as(x)),
    "dropout of channels": Row(lambda: nn.Dropout2d(0.3)),
}

POOLING = {
    "max pool": does(lambda x: F.max_pool2d(x, 3, 2, 1)),
    "max pool 1d": Row(lambda: nn.MaxPool1d(2), places=(SIDE,)),
    "max pool 3d": Row(lambda: nn.MaxPool3d(2), places=(4, 4, 4)),
    "average pool": does(lambda x: F.avg_pool2d(x, 2, ceil_mode=True)),
    "average pool 1d": Row(lambda: nn.AvgPool1d(3, 1, 1), places=(SIDE,)),
    "average pool 3d": Row(lambda: nn.AvgPool3d(2), places=(4, 4, 4)),
    "adaptive average pool": Row(lambda: nn.AdaptiveAvgPool2d((2, 3))),
    "global average pool": Row(lambda: nn.AdaptiveAvgPool2d(1)),
    "adaptive average pool 1d": Row(lambda: nn.AdaptiveAvgPool1d(2), places=(SIDE,)),
    "adaptive max pool": Row(lambda: nn.AdaptiveMaxPool2d(2)),
    "power pool": does(lambda x: F.lp_pool2d(x, 2.0, 2)),
    "largest and average": Row(pooling.MixedPool),
    "mean over places": does(lambda x: x.mean((2, 3), keepdim=True)),
    "largest over places": does(lambda x: x.amax((-2, -1), keepdim=True)),
    "max over one axis": does(lambda x: x.max(dim=3, keepdim=True).values),
    "sum over places": does(lambda x: x.sum((2, 3), keepdim=True)),
    "variance over places": does(lambda x: x.var((2, 3), keepdim=True)),
    "running sum over places": does(lambda x: x.cumsum(2)),
    "sum over channels": does(lambda x: x.sum(1, keepdim=True)),
    "mean over channels": does(lambda x: x.mean(1, keepdim=True)),
    "largest over channels": does(lambda x: x.amax(1, keepdim=True), 0, "amax"),
    "running sum over channels": does(lambda x: x.cumsum(1), 0, "cumsum"),
}

PLACES = {
    "padded": does(lambda x: F.pad(x, (1, 2, 0, 1), value=0.5)),
    "padded by reflection": does(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")),
    "padded by copies": does(lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate")),
    "padded in circles": does(lambda x: F.pad(x, (1, 1, 1, 1), mode="circular")),
    "padded with channels of zeros": Row(reshapes.ZeroPaddedChannels),
    "rolled": does(lambda x: torch.roll(x, (1, -1), (2, 3))),
    "turned over": does(lambda x: x.flip(2)),
    "cropped": does(lambda x: x[:, :, 1:-1, ::2]),
    "narrowed": does(lambda x: x.narrow(2, 1, 3)),
    "interpolated, nearest": does(lambda x: F.interpolate(x, scale_factor=2, mode="nearest")),
    "interpolated, bilinear": does(lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=True)),
    "interpolated, bicubic": does(lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic")),
    "interpolated, area": does(lambda x: F.interpolate(x, size=(3, 3), mode="area")),
    "interpolated 1d": Row(lambda: Does(lambda x: F.interpolate(x, scale_factor=2, mode="linear")), places=(SIDE,)),
    "interpolated 3d": Row(lambda: nn.Upsample(scale_factor=2, mode="trilinear"), places=(2, 2, 2)),
    "pixel shuffle": does(lambda x: F.pixel_shuffle(x, 2)),
    "pixel unshuffle": does(lambda x: F.pixel_unshuffle(x, 2)),
    "space to depth": Row(reshapes.SpaceToDepth),
}

SHAPES = {
    "view and back": does(lambda x: x.view(x.shape[0], x.shape[1], -1).view(x.shape)),
    "view by an attribute": Row(Sized),
    "view by a number in the code": does(lambda x: x.view(x.shape[0], 8, -1).mean(2)[:, :, None, None], 0, "forward"),
    "flattened": does(lambda x: x.flatten(1)[:, :, None, None]),
    "reshaped to rows": does(lambda x: x.reshape(x.size(0), -1)[:, :, None, None]),
    "unflattened": does(lambda x: x.unflatten(1, (-1, 2)).flatten(1, 2)),
    "permuted": does(lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)),
    "transposed axes": does(lambda x: x.transpose(1, 2).transpose(2, 1)),
    "moved axes": does(lambda x: x.movedim(1, -1).movedim(-1, 1)),
    "squeezed": does(lambda x: x.unsqueeze(1).squeeze(1)),
    "channel shuffle": Row(lambda: reshapes.ChannelShuffle(2)),
    "channel shuffle by the module": Row(lambda: nn.ChannelShuffle(4)),
    "maxout": Row(lambda: reshapes.Maxout(2)),
    "channels turned over": does(lambda x: x.flip(1)),
    "channels rolled": does(lambda x: torch.roll(x, 2, 1), 0, "roll"),
    "channels picked": Row(lambda: reshapes.Reordered("index", [3, 1, 0, 2, 7, 6, 4, 5]), 0, pinned_by="index"),
    "repeated": Row(lambda: reshapes.Tiled("repeat")),
    "each repeated": Row(lambda: reshapes.Tiled("interleave")),
    "stacked": Row(lambda: reshapes.Tiled("stack")),
    "concatenated": does(lambda x: torch.cat([x, x.sigmoid()], 1)),
    "chunks changed round": does(lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)),
    "split by an attribute": Row(Halved),
    "split by numbers in the code": does(lambda x: torch.cat(torch.split(x, [3, 5], 1)[::-1], 1), 0),
    "every second channel": does(lambda x: x[:, ::2] + x[:, 1::2]),
    "unbound": does(lambda x: torch.stack(x.unflatten(1, (2, -1)).unbind(1), 1).sum(1)),
}

SUMS = {
    "sum with itself": does(lambda x: x + x.tanh()),
    "product": does(lambda x: x * x.sigmoid()),
    "difference": does(lambda x: x - 0.5 * x.abs()),
    "quotient": does(lambda x: x / (1 + x.square())),
    "scale of each channel": acts(lambda x, t: x * t.view(1, -1, 1, 1), 8),
    "table of places": acts(lambda x, t: x + t, 1, 1, SIDE, SIDE),
    "table of channels and places": acts(lambda x, t: x + t, 1, 8, SIDE, SIDE),
    "one number": acts(lambda x, t: x * t, 1),
    "where": does(lambda x: torch.where(x > 0, x, 0.1 * x)),
    "masked": does(lambda x: x.masked_fill(x > 1, 0.5)),
    "sum with a mean over channels": does(lambda x: x + x.mean(1, keepdim=True)),
    "einsum": acts(lambda x, t: torch.einsum("bchw,oc->bohw", x, t), 6, 8),
}

PARTS = {
    "squeeze and excite": Row(lambda: gates.SqueezeExcite(8, 3, nn.Sigmoid()), others={"middle.fc1": 3}),
    "squeeze and excite, linear": Row(lambda: gates.LinearExcite(8, 3), others={"middle.fc.0": 3}),
    "gate of places": Row(lambda: gates.PlaceGate(8)),
    "gate of channels and places": Row(lambda: gates.ChannelThenPlace(8, 3), 0, {"middle.mlp.0": 3}, pinned_by="amax"),
    "gate along channels": Row(gates.AlongChannels, 0),
    "selective kernel": Row(lambda: gates.SelectiveKernel(8, 3), others={"middle.conv3": 8, "middle.fc1": 3}),
    "ghost": Row(lambda: _on(joins.Ghost, 4), others={}),
}


def _on(make: Callable[..., nn.Module], *settings: object) -> nn.Module:
    return make(Shape("image", CHANNELS, (SIDE, SIDE)), *settings)


IMAGES = CONVOLUTIONS | NORMS | ACTIVATIONS | POOLING | PLACES | SHAPES | SUMS | PARTS
