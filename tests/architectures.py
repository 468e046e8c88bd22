"""Feed-forward networks that know their own structure, so that surgery can be tested without surgery's own code.

A network is a list of steps, each with the values it takes. `plain` computes it once more, from its tensors, with the
removed units masked by hand; `Units` says which entries of which tensors belong together.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Key = tuple[str, int, int]  # tensor, axis, entry

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hardshrink": nn.Hardshrink,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh,
    "leaky_relu": nn.LeakyReLU,
    "logsigmoid": nn.LogSigmoid,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "rrelu": nn.RReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softshrink": nn.Softshrink,
    "softsign": nn.Softsign,
    "tanh": nn.Tanh,
    "tanhshrink": nn.Tanhshrink,
    "threshold": lambda: nn.Threshold(0.1, 0.7),
}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "exp of minus abs": lambda x: torch.exp(-x.abs()),
    "functional gelu": lambda x: F.gelu(x, approximate="tanh"),
    "functional relu in place": lambda x: F.relu((x + 0.0).contiguous(), inplace=True),
    "functional sigmoid": torch.sigmoid,
    "functional softplus": F.softplus,
    "functional threshold": lambda x: F.threshold(x, 0.2, -0.3),
    "functional tanh": torch.tanh,
    "clamp": lambda x: x.clamp(-0.8, 0.9),
    "scaled square": lambda x: 0.5 * x.square() - x,
}
TURNS: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "permute": lambda x: x.unsqueeze(0).permute(0, *range(1, x.dim() + 1)).squeeze(0),
    "transpose": lambda x: x.transpose(0, -1).transpose(-1, 0),
    "unsqueeze": lambda x: x.unsqueeze(-1).squeeze(-1),
    "view": lambda x: x.reshape(x.shape),
}


@dataclass(frozen=True)
class Step:
    """One operation on earlier values, which are numbered from 0, the input."""

    what: str  # linear, norm, activate, turn, add, multiply, concatenate, flatten, mean
    sources: tuple[int, ...]
    width: int
    how: str = ""
    bias: bool = True
    owner: int | None = None  # the step whose weights it shares


@dataclass(frozen=True)
class Architecture:
    features: int
    steps: tuple[Step, ...]
    tokens: int = 0  # 0: inputs are [rows, features], else [rows, tokens, features]
    softmax: bool = False
    seed: int = 0


class Network(nn.Module):
    """The network of an architecture, with random weights and random statistics in its norms."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        widths = [architecture.features, *(step.width for step in architecture.steps)]
        with torch.random.fork_rng():
            torch.manual_seed(architecture.seed)
            for number, step in enumerate(architecture.steps):
                if step.owner is None:
                    self._equip(number, step, widths[step.sources[0]])
            for name, tensor in (*self.named_parameters(), *self.named_buffers()):
                if tensor.is_floating_point() and tensor.dim() == 1:
                    low = 0.3 if name.endswith("running_var") else -0.5
                    tensor.data.uniform_(low, 1.5)

    def _equip(self, number: int, step: Step, width: int) -> None:
        match step.what, step.how:
            case "linear", "module":
                self.add_module(f"layer{number}", nn.Linear(width, step.width, bias=step.bias))
            case "linear", "functional":
                self._give(number, step, (step.width, width))
            case "linear", _:
                self._give(number, step, (width, step.width))
            case "norm", "batch":
                self.add_module(f"layer{number}", nn.BatchNorm1d(step.width, affine=step.bias))
            case "norm", "layer":
                self.add_module(f"layer{number}", nn.LayerNorm(step.width, bias=step.bias))
            case "activate", "prelu of each":
                self.add_module(f"layer{number}", nn.PReLU(step.width))
            case "activate", name if name in ACTIVATIONS:
                self.add_module(f"layer{number}", ACTIVATIONS[name]())

    def _give(self, number: int, step: Step, shape: tuple[int, int]) -> None:
        self.register_parameter(f"weight{number}", nn.Parameter(torch.randn(shape) / shape[1] ** 0.5))
        self.register_parameter(f"bias{number}", nn.Parameter(torch.randn(step.width)) if step.bias else None)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for number, step in enumerate(self.architecture.steps):
            values.append(self._value(number, step, [values[source] for source in step.sources]))
        return values[-1].softmax(-1) if self.architecture.softmax else values[-1]

    def _value(self, number: int, step: Step, given: list[Tensor]) -> Tensor:
        owner = number if step.owner is None else step.owner
        match step.what, step.how:
            case "linear", ("functional" | "matmul" | "addmm") as how:
                return _product(how, given[0], getattr(self, f"weight{owner}"), getattr(self, f"bias{owner}"))
            case "activate", name if name in FUNCTIONS:
                return FUNCTIONS[name](given[0])
            case "linear" | "norm" | "activate", _:
                return self.get_submodule(f"layer{owner}")(given[0])
        return _combined(step, given)

    def tensors(self, number: int) -> dict[str, str]:
        """What a step's tensors are for (weight, bias, …), to their names."""
        owner = self.architecture.steps[number].owner
        owner = number if owner is None else owner
        names = [*dict(self.named_parameters()), *dict(self.named_buffers())]
        found = {name.rpartition(".")[2]: name for name in names if name.startswith(f"layer{owner}.")}
        return found | {kind: f"{kind}{owner}" for kind in ("weight", "bias") if f"{kind}{owner}" in names}


def _product(how: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if how == "functional":
        return F.linear(x, weight, bias)
    if how == "addmm" and bias is not None:
        return torch.addmm(bias, x, weight)
    product = x @ weight
    return product if bias is None else product + bias


def _combined(step: Step, given: list[Tensor]) -> Tensor:
    match step.what:
        case "turn":
            return TURNS[step.how](given[0])
        case "add":
            return given[0] + given[1]
        case "multiply":
            return given[0] * given[1]
        case "concatenate":
            return torch.cat(given, -1)
        case "flatten":
            return given[0].flatten(1)
    return given[0].mean(1)


class Units:
    """Which entries of which tensors are one unit: joined by hand, step by step, from the network's own structure."""

    def __init__(self, network: Network):
        self._parent: dict[Key, Key] = {}
        self._network = network
        architecture = network.architecture
        self.read: set[Key] = set()
        self._made: set[Key] = set()
        values = [[("input", 0, entry) for entry in range(architecture.features)]]
        self._fixed = list(values[0])
        for number, step in enumerate(architecture.steps):
            values.append(self._follow(number, step, [values[source] for source in step.sources]))
        self.values = values
        self._fixed += values[-1]

    def of(self, key: Key) -> Key:
        """The unit that an entry belongs to."""
        while key in self._parent:
            key = self._parent[key]
        return key

    @property
    def removable(self) -> set[Key]:
        """Units that something makes and something reads, that are no input or output, on no axis of one entry."""
        sizes = {name: tensor.shape for name, tensor in self._network.state_dict().items()}
        narrow = [(name, axis, 0) for name, shape in sizes.items() for axis, size in enumerate(shape) if size == 1]
        made, read = ({self.of(key) for key in keys} for keys in (self._made, self.read))
        return (made & read) - {self.of(key) for key in (*self._fixed, *narrow)}

    def _follow(self, number: int, step: Step, given: list[list[Key]]) -> list[Key]:
        names = self._network.tensors(number)
        match step.what:
            case "linear":
                return self._linear(step, names, given[0])
            case "norm" | "activate":
                self._attach(names.values(), given[0])
            case "add" | "multiply" if len(given[0]) == len(given[1]):
                self._join(*given)
            case "concatenate":
                return [key for keys in given for key in keys]
            case "flatten":
                return given[0] * self._network.architecture.tokens
        return max(given, key=len)

    def _attach(self, names: Iterable[str], given: list[Key]) -> None:
        """What acts unit by unit goes with them; a single number serves all."""
        for name in names:
            shape = self._network.state_dict()[name].shape
            if len(shape) == 1 and shape[0] == len(given):
                self._join([(name, 0, entry) for entry in range(len(given))], given)

    def _linear(self, step: Step, names: dict[str, str], given: list[Key]) -> list[Key]:
        rows, columns = (0, 1) if step.how in ("module", "functional") else (1, 0)
        self._join([(names["weight"], columns, entry) for entry in range(len(given))], given)
        self.read |= set(given)
        made = [(names["weight"], rows, entry) for entry in range(step.width)]
        self._made |= set(made)
        if "bias" in names:
            self._join([(names["bias"], 0, entry) for entry in range(step.width)], made)
        return made

    def _join(self, left: Iterable[Key], right: Iterable[Key]) -> None:
        for one, other in zip(left, right, strict=True):
            roots = self.of(one), self.of(other)
            if roots[0] != roots[1]:
                self._parent[roots[0]] = roots[1]


@torch.no_grad()
def plain(network: Network, x: Tensor, gone: set[Key]) -> Tensor:
    """What the network puts out when units are silenced, from its tensors: no module is called but activations."""
    network = copy.deepcopy(network).eval()
    units = Units(network)
    state = {**network.state_dict(), **dict(network.named_buffers())}
    values = [x]
    for number, step in enumerate(network.architecture.steps):
        given = [values[source] for source in step.sources]
        stays = torch.tensor([units.of(key) not in gone for key in units.values[step.sources[0]]])
        tensors = {kind: state[name] for kind, name in network.tensors(number).items()}
        match step.what:
            case "linear":
                weight = tensors["weight"].T if step.how in ("module", "functional") else tensors["weight"]
                value = torch.where(stays, given[0], 0.0) @ weight + tensors.get("bias", 0.0)
            case "norm":
                value = _normalised(step, given[0], stays, tensors)
            case "activate":
                value = network._value(number, step, given)
            case _:
                value = _combined(step, given)
        values.append(value)
    if network.architecture.softmax:
        shifted = (values[-1] - values[-1].amax(-1, keepdim=True)).exp()
        return shifted / shifted.sum(-1, keepdim=True)
    return values[-1]


def _normalised(step: Step, x: Tensor, stays: Tensor, tensors: dict[str, Tensor]) -> Tensor:
    if step.how == "batch":
        mean, variance = tensors["running_mean"], tensors["running_var"]
    else:
        kept = x[..., stays] if bool(stays.any()) else x
        mean = kept.sum(-1, keepdim=True) / kept.shape[-1]
        variance = (kept - mean).pow(2).sum(-1, keepdim=True) / kept.shape[-1]
    return (x - mean) / (variance + 1e-5).sqrt() * tensors.get("weight", 1.0) + tensors.get("bias", 0.0)
