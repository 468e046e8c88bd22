"""Random networks: drawn from a seed, written as one line, built again from it."""

from collections import OrderedDict
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

from fuzz.families import (
    activations,
    attention,
    convolutions,
    gates,
    joins,
    norms,
    pooling,
    reshapes,
    sharing,
    transformers,
)
from fuzz.families.ends import STARTS, VOCABULARY, head, stem
from fuzz.shapes import Block, Shape, shape_from

BLOCKS: dict[str, Block] = {
    **convolutions.BLOCKS,
    **norms.BLOCKS,
    **activations.BLOCKS,
    **joins.BLOCKS,
    **gates.BLOCKS,
    **pooling.BLOCKS,
    **reshapes.BLOCKS,
    **attention.BLOCKS,
    **transformers.BLOCKS,
    **sharing.BLOCKS,
}
MOST_BLOCKS = 5
WHOLE_HEADS = 0.3
SHARP = {"qkv", "query", "key", "in_proj_weight"}  # what decides on whom attention looks
SHARPNESS = (1.5, 4.0, 25.0)


@dataclass(frozen=True)
class Piece:
    """One block of a network, and the seed of its own choices."""

    block: str
    seed: int

    def __str__(self) -> str:
        return f"{self.block}.{self.seed}"


@dataclass(frozen=True)
class Recipe:
    """A random network and cut on one line: seed (of weights and both ends) / cut, the kind of input, the blocks."""

    seed: int
    start: str
    pieces: tuple[Piece, ...]
    cut: int = 0

    @property
    def whole_heads(self) -> bool:
        """Whether attention loses heads rather than dimensions of heads."""
        return Random(f"{self.seed} {self.cut} heads").random() < WHOLE_HEADS

    def __str__(self) -> str:
        return " ".join([f"{self.seed}/{self.cut}", self.start, *map(str, self.pieces)])


def recipe_from(line: str) -> Recipe:
    """The recipe that was written as a line."""
    seeds, start, *pieces = line.split()
    seed, _, cut = seeds.partition("/")
    named = [piece.rsplit(".", 1) for piece in pieces]
    return Recipe(int(seed), start, tuple(Piece(block, int(n)) for block, n in named), int(cut or 0))


class Network(nn.Module):
    """A stem, blocks, a head."""

    def __init__(self, first: nn.Module, blocks: nn.Module, last: nn.Module):
        super().__init__()
        self.stem = first
        self.blocks = blocks
        self.head = last

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        return self.head(self.blocks(self.stem(x)))


def drawn(seed: int) -> Recipe:
    """A random recipe."""
    rng = Random(seed)
    start = rng.choice(("line", "planes", "planes", "planes", "volume", "tokens", "tokens", "ids"))
    pieces: list[Piece] = []
    with torch.random.fork_rng():
        shape = _continued(stem(start, Random(f"{seed} stem")), inputs(start, 2), STARTS[start].layout)
        for _ in range(rng.randint(1, MOST_BLOCKS)):
            fitting = sorted(name for name, block in BLOCKS.items() if _fits(block, shape))
            if not fitting:
                break
            pieces.append(Piece(rng.choice(fitting), rng.randrange(1000)))
            _, shape = _built(pieces[-1], shape)
    return Recipe(seed, start, tuple(pieces))


def network_of(recipe: Recipe) -> Network:
    """The network of a recipe, in float64 and eval mode; blocks that do not fit where they stand are left out."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        first = stem(recipe.start, Random(f"{recipe.seed} stem"))
        shape = _continued(first, inputs(recipe.start, 2), STARTS[recipe.start].layout)
        for number, piece in enumerate(recipe.pieces):
            if _fits(BLOCKS[piece.block], shape):
                blocks[f"{piece.block}{number}"], shape = _built(piece, shape)
        last = head(shape, first, Random(f"{recipe.seed} head"))
        network = Network(first, nn.Sequential(blocks), last).double().eval()
        randomise_(network, Random(f"{recipe.seed} sharpness").choice(SHARPNESS))
    return network


def inputs(start: str, rows: int, seed: int = 0) -> Tensor:
    """Random inputs of a kind."""
    generator = torch.Generator().manual_seed(seed)
    shape = STARTS[start]
    if start == "ids":
        return torch.randint(VOCABULARY, (rows, *shape.places), generator=generator)
    return torch.randn((rows, *shape.sizes), generator=generator, dtype=torch.float64)


def _fits(block: Block, shape: Shape) -> bool:
    return block.takes == shape.layout and shape.is_modest and block.fits(shape)


def _built(piece: Piece, shape: Shape) -> tuple[nn.Module, Shape]:
    block = BLOCKS[piece.block]
    module = block.build(shape, Random(f"{piece.seed} {piece.block}"))
    return module, _continued(module, torch.zeros((2, *shape.sizes), dtype=torch.float64), block.gives)


@torch.no_grad()
def _continued(module: nn.Module, x: Tensor, layout: str) -> Shape:
    """The shape of what a module gives."""
    return shape_from(layout, tuple(module.double().eval()(x).shape[1:]))


@torch.no_grad()
def randomise_(network: nn.Module, sharpness: float) -> None:
    """Give every weight, bias and statistic a random value that can be told from any other, in place."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        *_, owner, kind = "", *name.split(".")
        if not tensor.is_floating_point() or kind == "mask":
            continue
        if kind == "running_var":
            tensor.uniform_(0.3, 2.0)
        elif kind in ("running_mean", "bias"):
            tensor.normal_(0.0, 0.5)
        elif tensor.dim() == 1:
            tensor.uniform_(0.5, 1.5)
        else:
            fan_in = tensor[0].numel() if tensor.shape[0] > 1 else 1
            tensor.normal_(0.0, fan_in**-0.5 * (sharpness if {owner, kind} & SHARP else 1.0))
