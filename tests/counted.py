"""Small networks with every kind of product in them, as tests of counting use them, each with an example."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Arguments = tuple[Tensor, ...]
ROWS = 3


class Applied(nn.Module):
    """A function as a network, with the weights that it takes after the data."""

    def __init__(self, function: Callable[..., Tensor], *weights: tuple[int, ...]):
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(torch.randn(shape) for shape in weights)

    def forward(self, *data: Tensor) -> Tensor:
        return self.function(*data, *self.weights)


class Residual(nn.Module):
    """A block as in ResNet, with a convolution in its shortcut, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.first = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1, bias=False))
        self.second = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, bias=False))
        self.shortcut = nn.Conv2d(6, 8, 1, 2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.second(self.first(x)) + self.shortcut(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Attention(nn.Module):
    """Self-attention with two heads, by torch's own function or written out."""

    def __init__(self, *, fused: bool):
        super().__init__()
        self.into, self.out, self.fused = nn.Linear(8, 24), nn.Linear(8, 8), fused

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.into(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            mixed = (query @ key.transpose(-1, -2) / math.sqrt(4)).softmax(-1) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))


class Text(nn.Module):
    """An encoder with embeddings, a mask and a projection of relative positions that all rows share."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.position = nn.Linear(8, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        places = self.position(self.places(torch.arange(input_ids.shape[1])))
        x = self.layer(self.words(input_ids) + places, src_key_padding_mask=attention_mask == 0)
        return self.head(x[:, 0])


def rows(*shape: int) -> Tensor:
    return torch.randn(ROWS, *shape)


def text() -> Arguments:
    return torch.randint(0, 11, (ROWS, 6)), torch.ones(ROWS, 6, dtype=torch.long)


def convolutions() -> dict[str, tuple[nn.Module, Arguments]]:
    image, line, cube = (rows(4, 9, 10),), (rows(4, 12),), (rows(4, 5, 6, 7),)
    return {
        "conv1d": (nn.Conv1d(4, 6, 3, stride=2, padding=1), line),
        "conv2d": (nn.Conv2d(4, 6, (3, 5)), image),
        "conv3d": (nn.Conv3d(4, 6, 3, padding=1), cube),
        "grouped": (nn.Conv2d(4, 6, 3, groups=2), image),
        "depthwise": (nn.Conv2d(4, 8, 3, groups=4, bias=False), image),
        "dilated": (nn.Conv2d(4, 6, 3, dilation=2), image),
        "same": (nn.Conv2d(4, 6, 4, padding="same", dilation=2), image),
        "valid": (nn.Conv1d(4, 6, 4, padding="valid"), line),
        "reflected": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), image),
        "transposed1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), line),
        "transposed2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), image),
        "transposed3d": (nn.ConvTranspose3d(4, 6, 2, groups=2), cube),
        "functional": (
            Applied(lambda x, w: torch.convolution(x, w, None, [1], [0], [1], False, [0], 1), (6, 4, 3)),
            line,
        ),
        "functional transposed": (
            Applied(lambda x, w: torch.convolution(x, w, None, [2], [0], [1], True, [0], 2), (4, 3, 3)),
            line,
        ),
        "residual": (Residual(), (rows(3, 8, 8),)),
    }


def products() -> dict[str, tuple[nn.Module, Arguments]]:
    batch, tokens = (rows(8),), (rows(5, 8),)
    return {
        "mlp": (nn.Sequential(nn.Linear(8, 7), nn.GELU(), nn.LayerNorm(7), nn.Linear(7, 3)), batch),
        "tokens": (nn.Sequential(nn.Linear(8, 7), nn.ReLU(True), nn.Linear(7, 3)), tokens),
        "matmul": (Applied(lambda x, w: x @ w, (8, 3)), tokens),
        "matmul of stacks": (Applied(lambda x, w: x[:, None] @ w, (4, 8, 3)), tokens),
        "mm": (Applied(torch.mm, (8, 3)), batch),
        "addmm": (Applied(lambda x, b, w: torch.addmm(b, x, w), (3,), (8, 3)), batch),
        "bmm": (Applied(lambda x: torch.bmm(x, x.mT)), tokens),
        "baddbmm": (Applied(lambda x, b: torch.baddbmm(b, x, x.mT), (5, 5)), tokens),
        "tensordot": (Applied(lambda x, w: torch.tensordot(x, w, dims=([2, 1], [0, 1])), (8, 5, 3)), tokens),
        "attention": (Attention(fused=True), tokens),
        "attention written out": (Attention(fused=False), tokens),
        "MultiheadAttention": (nn.MultiheadAttention(8, 2, batch_first=True), tokens * 3),
        "TransformerEncoderLayer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), tokens),
        "TransformerDecoderLayer": (nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), (rows(5, 8), rows(4, 8))),
        "grouped queries": (
            Applied(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True)),
            (rows(4, 5, 8), rows(2, 7, 8), rows(2, 7, 6)),
        ),
    }


EQUATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "bij,jk->bik": ((8, 3),),
    "bij,jk": ((8, 3),),
    "b i j, k j -> b k i": ((3, 8),),
    "...j,jk->...k": ((8, 3),),
    "...j,...j->...": ((5, 8),),
    "bij,hij->bh": ((4, 5, 8),),
    "bij,jk,kl->bil": ((8, 3), (3, 4)),
    "bij,ik->bj": ((5, 3),),
    "bij,ij->bij": ((5, 8),),
    "bij->bji": (),
    "bij->b": (),
}
