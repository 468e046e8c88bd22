"""Residual blocks around activations: which they are, what goes in and out, and what block influence makes of it."""

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from secateur import methods
from secateur.activations import find_activations
from secateur.calibration.blocks import blocks_of
from secateur.errors import ModelError
from secateur.methods.block_influence import BlockInfluence, Turn
from secateur.task import Task
from secateur.tracing import trace


def rows(*shape: int, seed: int = 6) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def task_of(x: Tensor, batch: int = 4) -> Task:
    return Task.classification(calibration=[(part, torch.zeros(len(part))) for part in x.split(batch)])


def influence(before: Tensor, after: Tensor) -> float:
    """Of rows, by PyTorch's own cosine; nothing is like nothing."""
    cosines = nn.functional.cosine_similarity(before, after, dim=-1)
    is_nothing = (before == 0).all(-1) & (after == 0).all(-1)
    return 1 - float(cosines.masked_fill(is_nothing, 1.0).mean())


def through(model: nn.Module, name: str, *args: Tensor, **kwargs: Tensor) -> tuple[Tensor, Tensor]:
    """What goes into a module and what comes out."""
    seen: list[Tensor] = []
    module = model.get_submodule(name)
    before = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    after = module.register_forward_hook(
        lambda _, __, out: seen.append((out if isinstance(out, Tensor) else out[0]).detach().clone())
    )
    model.eval()(*args, **kwargs)
    before.remove()
    after.remove()
    return seen[0], seen[1]


class Basic(nn.Module):
    """A block with one rectifier for two calls, and a convolution in its path around where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs)
        self.last, self.relu = nn.Conv2d(outputs, outputs, 3, 1, 1), nn.ReLU(inplace=True)
        self.around = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last(self.relu(self.norm(self.first(x))))
        y += self.around(x)
        return self.relu(y)


def test_both_activations_of_a_residual_block_have_its_influence_position_by_position() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Basic(4, 4, 1), Basic(4, 6, 2), nn.Conv2d(6, 2, 1)).double()
    x = rows(6, 3, 8, 8)
    values = methods.score(model, find_activations(model, x), task_of(x), "block_influence").values
    wanted = influence(*(maps.movedim(1, -1) for maps in through(model, "2", x)))
    assert [float(value) for value in values.values()] == pytest.approx([2.0, wanted, wanted, 2.0, 2.0], rel=1e-9)
    assert 0 < wanted < 1


def test_a_transformers_block_is_its_whole_layer_and_padding_does_not_count() -> None:
    config = BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=2, intermediate_size=12, vocab_size=20)
    model = BertModel(config, add_pooling_layer=False).double().eval()
    tokens = torch.randint(20, (6, 5), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(5) < torch.tensor([5, 3, 1, 4, 2, 5])[:, None]).long()
    batches = [{"input_ids": tokens[i : i + 2], "attention_mask": mask[i : i + 2]} for i in (0, 2, 4)]
    task = Task.classification(calibration=batches)
    sites = find_activations(model, task)
    values = methods.score(model, sites, task, "block_influence").values
    assert len(values) == 2
    for number, value in enumerate(values.values()):
        before, after = through(model, f"encoder.layer.{number}", input_ids=tokens, attention_mask=mask)
        assert float(value) == pytest.approx(influence(before[mask == 1], after[mask == 1]), rel=1e-9)


class InPlace(nn.Module):
    """A pre-activation block whose first rectifier changes what goes in."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.layer = nn.ReLU(inplace=True), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(self.act(x))


def test_what_goes_in_is_kept_where_the_block_changes_it_in_place() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), InPlace(), nn.Linear(4, 2)).double(), rows(12, 3)
    (value,) = methods.score(model, find_activations(model, x), task_of(x), "block_influence").values.values()
    assert float(value) == pytest.approx(influence(*through(model, "1", x)), rel=1e-9)


class Mlp(nn.Module):
    """Two layers, of one width outside, without a path around them."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))


class Outer(nn.Module):
    """The path around is further out."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(4), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


def test_a_block_is_the_innermost_module_with_a_path_around() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), Outer(), nn.Linear(4, 2)).double(), rows(12, 3)
    sites = find_activations(model, x)
    (value,) = methods.score(model, sites, task_of(x), "block_influence").values.values()
    assert float(value) == pytest.approx(influence(*through(model, "1", x)), rel=1e-9)
    assert blocks_of(trace(model, x), sites)["1.mlp.act"].axis == -1


def test_without_residual_blocks_the_method_says_what_to_do() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), Mlp(), nn.Linear(4, 2)).double(), rows(12, 3)
    sites = find_activations(model, x)
    with pytest.raises(ModelError, match="none of its 1 activations is in a residual block"):
        methods.score(model, sites, task_of(x), "block_influence")
    alone = methods.score(model, sites, task_of(x), BlockInfluence(around="activation")).values
    inner = model[1].up(model[0](x)).detach()
    assert float(alone["1.act"]) == pytest.approx(influence(inner, nn.functional.gelu(inner)), rel=1e-9)


def test_rows_of_zeros_are_alike_among_themselves_and_unlike_all_others() -> None:
    zeros, some = torch.zeros(2, 3), torch.ones(2, 3)
    assert Turn.empty().observe(zeros, zeros).mean == 0.0
    assert Turn.empty().observe(zeros, some).mean == pytest.approx(1.0)
    assert Turn.empty().observe(some, -some).mean == pytest.approx(2.0)
    assert Turn.empty().observe(torch.cat([some, zeros]), torch.cat([2 * some, some])).mean == pytest.approx(0.5)


def test_nearly_equal_directions_lose_nothing_in_float32() -> None:
    before, step = rows(50, 20), 1e-4 * rows(50, 20, seed=7)
    found = Turn.empty().observe(before.float(), (before + step).float()).mean
    assert float(found) == pytest.approx(influence(before, before + step), rel=1e-2)
