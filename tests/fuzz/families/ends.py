"""How a random network begins and ends."""

from math import prod
from random import Random

import torch
from torch import Tensor, nn

from fuzz.families.activations import activation
from fuzz.families.convolutions import CONVOLUTIONS
from fuzz.families.norms import image_norm, token_norm
from fuzz.shapes import Shape

VOCABULARY = 11
CLASSES = 3
STARTS = {
    "line": Shape("image", 2, (12,)),
    "planes": Shape("image", 3, (8, 8)),
    "volume": Shape("image", 2, (6, 6, 6)),
    "tokens": Shape("tokens", 5, (16,)),
    "ids": Shape("tokens", 0, (9,)),
}


class Embedded(nn.Module):
    """Words and their positions, as vectors."""

    def __init__(self, tokens: int, dim: int, norm: nn.Module, *, has_table: bool):
        super().__init__()
        self.word = nn.Embedding(VOCABULARY, dim)
        self.position = None if has_table else nn.Embedding(tokens, dim)
        self.table = nn.Parameter(torch.zeros(1, tokens, dim)) if has_table else None
        self.norm = norm

    def forward(self, ids: Tensor) -> Tensor:
        x = self.word(ids)
        if self.position is None:
            return self.norm(x + self.table)
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.norm(x + self.position(places))


class ImageHead(nn.Module):
    """Places pooled or flattened, then one or two linear layers."""

    def __init__(self, features: int, how: str, hidden: int, act: nn.Module):
        super().__init__()
        self.how = how
        self.hidden = nn.Linear(features, hidden) if hidden else None
        self.norm = nn.BatchNorm1d(hidden) if hidden else None
        self.act = act
        self.fc = nn.Linear(hidden or features, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        match self.how:
            case "flatten":
                x = torch.flatten(x, 1)
            case "view":
                x = x.reshape(x.size(0), -1)
            case "adaptive":
                x = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
            case _:
                x = x.mean(tuple(range(2, x.dim())))
        if self.hidden is not None:
            x = self.act(self.norm(self.hidden(x)))
        return self.fc(x)


class TokenHead(nn.Module):
    """One token, their mean, all side by side, or every one for itself; a dictionary comes out."""

    def __init__(self, features: int, how: str, norm: nn.Module):
        super().__init__()
        self.how = how
        self.norm = norm
        self.classifier = nn.Linear(features, CLASSES)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.norm(x)
        match self.how:
            case "first":
                x = x[:, 0]
            case "mean":
                x = x.mean(1)
            case "flatten":
                x = x.flatten(1)
        return {"logits": self.classifier(x)}


class TiedHead(nn.Module):
    """Words again, by the vectors that they began as."""

    def __init__(self, word: nn.Embedding):
        super().__init__()
        self.decoder = nn.Linear(word.embedding_dim, VOCABULARY)
        self.decoder.weight = word.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(x)


def stem(start: str, rng: Random) -> nn.Module:
    """The first module, from the network's input on."""
    shape = STARTS[start]
    width = rng.choice((6, 8, 12))
    if start == "ids":
        norm = token_norm(width, rng) if rng.random() < 0.5 else nn.Dropout(0.1)
        return Embedded(shape.places[0], width, norm, has_table=rng.random() < 0.5)
    if start == "tokens":
        return nn.Linear(shape.units, width)
    conv = CONVOLUTIONS[shape.dims](shape.units, width, 3, padding=1, bias=rng.random() < 0.5)
    return nn.Sequential(conv, image_norm(width, shape.dims, rng), activation(rng, on_fresh=True))


def head(shape: Shape, first: nn.Module, rng: Random) -> nn.Module:
    """The last module, for what the blocks give."""
    if shape.layout == "tokens":
        return _token_head(shape, first, rng)
    if rng.random() < 0.2:
        return CONVOLUTIONS[shape.dims](shape.units, CLASSES, 1)
    flat = shape.units * prod(shape.places)
    hows = ["mean", *(["flatten", "view"] if flat <= 500 else []), *(["adaptive"] if shape.dims == 2 else [])]
    how = rng.choice(hows)
    features = flat if how in ("flatten", "view") else shape.units
    return ImageHead(features, how, rng.choice((0, 7)), activation(rng))


def _token_head(shape: Shape, first: nn.Module, rng: Random) -> nn.Module:
    if isinstance(first, Embedded) and first.word.embedding_dim == shape.units and rng.random() < 0.7:
        return TiedHead(first.word)
    how = rng.choice(("first", "mean", "flatten", "each"))
    norm = token_norm(shape.units, rng)
    return TokenHead(shape.units * (shape.places[0] if how == "flatten" else 1), how, norm)
