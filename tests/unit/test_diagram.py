"""The blocks that a network is drawn with."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import secateur as sc
from secateur import zoo
from secateur.diagram import blocks_of
from secateur.recipe import Recipe, Stage
from secateur.result import Block
from secateur.task import Task
from secateur.tracing import Example, trace


def drawn(model: nn.Module, example: Example) -> tuple[Block, ...]:
    traced = trace(model.eval(), example)
    return blocks_of(traced, traced, ())


def images() -> Task:
    batch = (torch.randn(40, 3, 32, 32), torch.randint(0, 10, (40,)))
    return Task.classification(calibration=[batch], validation=[batch])


def test_every_layer_of_a_residual_network_is_a_block_and_every_sum_joins_its_branches() -> None:
    model = zoo.build("resnet20")
    blocks = drawn(model, torch.randn(2, 3, 32, 32))
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert [block.name for block in blocks if block.tensor] == layers
    assert [block.before for block in blocks if block.tensor] == [
        len(model.get_submodule(name).weight) for name in layers
    ]
    sums = [block for block in blocks if block.operator == "add"]
    assert len(sums) == 9
    for block in sums:
        skip, branch = block.inputs
        inner = blocks[blocks[branch].inputs[0]]  # the activation between the branch's two convolutions
        assert blocks[branch].name == f"{block.name}.conv2"
        assert blocks[inner.inputs[0]].inputs == (skip,)
    assert blocks[-1].name == "linear"


class Attending(nn.Module):
    """Attention whose three readers see the same, and a mask that no line is drawn from."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.out = nn.utils.parametrizations.weight_norm(nn.Linear(8, 6))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = F.layer_norm(x, (8,))
        attended = F.scaled_dot_product_attention(self.query(y), self.key(y), self.value(y), attn_mask=mask[:, None])
        found: Tensor = self.out(attended)
        return found


def test_attention_reads_its_three_layers_and_a_computed_weight_is_a_layers() -> None:
    blocks = drawn(Attending(), (torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)))
    numbers = {block.name: number for number, block in enumerate(blocks)}
    layers = tuple(numbers[name] for name in ("query", "key", "value"))
    assert [blocks[number].inputs for number in layers] == [(numbers["x"],)] * 3
    *_, attention, out = blocks
    assert attention.inputs == layers
    assert not attention.tensor
    assert out.name.startswith("out")
    assert (out.before, out.inputs) == (6, (len(blocks) - 2,))


def test_what_is_left_is_what_the_small_network_has_and_what_was_collapsed_is_gone() -> None:
    torch.manual_seed(0)
    model = zoo.build("resnet20").eval()
    stages = (
        Stage(method=sc.methods.get("linear_fit"), budget=sc.Count(1), recovery=None),
        Stage(method=sc.methods.get("magnitude"), budget=sc.Share(0.5), recovery=None, compensate="none"),
    )
    found = sc.compress(model, images(), Recipe(stages))
    small = dict(found.model.named_parameters())
    layers = [block for block in found.blocks if block.tensor]
    assert [block.after for block in layers] == [
        len(small[block.tensor]) if block.tensor in small else 0 for block in layers
    ]
    assert sum(not block.after for block in layers) == 2  # the two convolutions of a block
    inner = [block for block in found.blocks if block.operator == "relu" and not block.after]
    assert inner


def test_an_activation_that_was_made_linear_is_gone_and_its_layers_stay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(64, 6)
    task = Task.classification(calibration=[(x, model(x).argmax(1))])
    stage = Stage(method=sc.methods.get("chance", granularity="layer"), budget=sc.Count(1), recovery=None, fold=False)
    found = sc.compress(model, task, Recipe((stage,)))
    (edit,) = found.plan.layers
    assert [block.name for block in found.blocks if block.before and not block.after] == [edit.name]
