"""Methods under contract, of units and of layers: networks that they score, the data, and what they say of both."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from secateur import methods
from secateur.activations import find_activations
from secateur.finding import find_sites
from secateur.scores import Method, Scores
from secateur.sites import Sites
from secateur.task import Task

ROWS = 60
OF_BOTH = ("chance", "magnitude")  # score units, or layers if asked
WITHOUT_DATA = {"bn_scale", "chance", "fpgm", "group_norm", "magnitude"}


class Net(nn.Module):
    """Two hidden layers with norms, a skip around the second, a dead unit in each: 1 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(5, 7), nn.BatchNorm1d(7)
        self.inner, self.scale = nn.Linear(7, 6), nn.LayerNorm(6)
        self.outer, self.last = nn.Linear(6, 7), nn.Linear(7, 3)
        with torch.random.fork_rng():
            torch.manual_seed(11)
            for parameter in self.parameters():
                parameter.data.normal_(0.0, 0.6)
        with torch.no_grad():
            self.first.weight[1] = 0.0
            self.norm.running_var[1] = 1.0
            self.norm.weight[1] = self.norm.bias[1] = self.first.bias[1] = 0.0
            self.outer.weight[1] = 0.0
            self.outer.bias[1] = 0.0
            self.inner.weight[:, 1] = 0.0
            self.last.weight[:, 1] = 0.0
            self.inner.weight[4] = 0.0
            self.outer.weight[:, 4] = 0.0
            self.scale.weight[4] = self.scale.bias[4] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x)).relu()
        return self.last(x + self.outer(self.scale(self.inner(x)).tanh()))


class Residual(nn.Module):
    """A layer, its activation and another layer, beside a path around them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.act, self.outer = nn.Linear(7, 8), nn.GELU(), nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(self.act(self.inner(x)))


def layered(prefix: str = "") -> nn.Sequential:
    """Activations behind a batch-norm, in a residual block, behind a sum, and one that is always on."""
    layers = OrderedDict(
        first=nn.Linear(5, 7),
        norm=nn.BatchNorm1d(7),
        relu=nn.ReLU(inplace=True),
        block=Residual(),
        after=nn.ReLU(),
        second=nn.Linear(7, 6),
        linear=nn.ReLU(),
        last=nn.Linear(6, 3),
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        for layer in layers.values():
            for parameter in layer.parameters():
                parameter.data.normal_(0.0, 0.6)
        layers["norm"].running_mean.normal_()
    nn.init.constant_(layers["second"].bias, 100.0)
    return nn.Sequential(OrderedDict((f"{prefix}{name}", layer) for name, layer in layers.items()))


@dataclass(frozen=True, eq=False)
class Kind:
    """Methods of one granularity by their names, a network for them, and how its sites are found."""

    methods: Mapping[str, Method]
    net: Callable[[], nn.Module]
    find: Callable[[nn.Module, Task], Sites]


def _of(granularity: str) -> dict[str, Method]:
    return {name: methods.get(name) for name in methods.names() if methods.get(name).granularity == granularity}


UNITS = Kind(_of("unit"), Net, find_sites)
LAYERS = Kind(
    _of("layer") | {name: methods.get(name, granularity="layer") for name in OF_BOTH}, layered, find_activations
)


def scored(kind: Kind, method: Method | str, model: nn.Module | None = None, task: Task | None = None) -> Scores:
    """What a method says, by its name or as it is set, of the usual network and data or of others."""
    model, task = model or kind.net(), task or task_of()
    chosen = kind.methods[method] if isinstance(method, str) else method
    is_usual = list(model.state_dict()) == list(kind.net().state_dict())
    return methods.score(model, sites_of(kind) if is_usual else kind.find(model, task), task, chosen)


@cache  # finding them takes longer than most methods
def sites_of(kind: Kind) -> Sites:
    """The sites of the usual network, whatever its numbers."""
    return kind.find(kind.net(), task_of())


@cache
def together(kind: Kind) -> Mapping[str, Scores]:
    """What all methods say of the usual network and data, asked at once."""
    return methods.score_all(kind.net(), sites_of(kind), task_of(), list(kind.methods.values()))


@cache
def usual(kind: Kind, name: str) -> Scores:
    """What a method with its defaults says of the usual network and data."""
    return scored(kind, name)


def task_of(dtype: torch.dtype = torch.float32, batch: int = 20, rows: int = ROWS) -> Task:
    generator = torch.Generator().manual_seed(8)
    x = torch.randn(ROWS, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (ROWS,), generator=generator)
    x, y = x[:rows].to(dtype), y[:rows]
    return Task.classification(calibration=[(x[i : i + batch], y[i : i + batch]) for i in range(0, rows, batch)])


def assert_equal(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], **tolerance: float) -> None:
    assert list(found) == list(wanted)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], **(tolerance or {"rtol": 0.0, "atol": 0.0}))
