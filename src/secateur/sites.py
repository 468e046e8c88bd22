"""Where something can be removed: plain data, found by `tracing.find_sites`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property

from secateur.errors import SettingsError, UnknownNameError


@dataclass(frozen=True)
class TensorAxis:
    """One axis of one parameter or buffer along which the units of a site lie.

    Unit `u` owns the entries `positions[u * repeat : (u + 1) * repeat]` of that axis.
    """

    tensor: str
    axis: int
    positions: tuple[int, ...] = field(repr=False)
    repeat: int = 1

    def entries(self, unit: int) -> tuple[int, ...]:
        """The entries of the axis that belong to one unit."""
        return self.positions[unit * self.repeat : (unit + 1) * self.repeat]


@dataclass(frozen=True)
class Read:
    """One place in the traced graph where the units of a site are read.

    `entries[u * repeat : (u + 1) * repeat]` are unit u's places in an array of shape `sizes` over `axes` of the
    operand; an axis longer than its size holds that pattern several times (heads laid out along the batch). `weight`
    names the parameter [out, in] they are summed up against; of a norm (`is_norm`), which takes statistics over them,
    its scale.
    """

    node: str
    operand: int
    axes: tuple[int, ...]
    sizes: tuple[int, ...]
    entries: tuple[int, ...] = field(repr=False)
    repeat: int = 1
    weight: str | None = None
    is_norm: bool = False

    @cached_property
    def is_in_order(self) -> bool:
        """Whether unit after unit, each with its entries side by side, is the order in which they lie."""
        return self.entries == tuple(range(len(self.entries)))


@dataclass(frozen=True)
class Sized:
    """An integer attribute of a module that holds a size: it falls by `loses` for every `per` units that go."""

    module: str
    name: str
    value: int
    loses: int = 1
    per: int = 1


@dataclass(frozen=True)
class Site:
    """Units that can be removed one by one, each with all that must go with it.

    `made_by` holds the weights whose rows make each unit, `carried_by` the biases and norms on the way, `read_by` the
    weights whose columns read it. A `droppable` site may lose all its units, since a path around it remains.
    `normalised_by` names the norms (modules) whose statistics run over the units: there silencing means leaving them
    out of the statistics. The units lie in `blocks` of equal length (the heads of an attention, the groups of a group
    norm), each of which must lose the same number, also of `twins`: sites whose size is one and the same number in the
    code. `works` are axes of products that no single tensor stands for,
    `sized` the modules' attributes that change with the number of units.
    """

    name: str
    units: int
    made_by: tuple[TensorAxis, ...]
    carried_by: tuple[TensorAxis, ...]
    read_by: tuple[TensorAxis, ...]
    reads: tuple[Read, ...] = ()
    droppable: bool = False
    normalised_by: tuple[str, ...] = ()
    blocks: int = 1
    works: tuple[TensorAxis, ...] = field(default=(), repr=False)
    sized: tuple[Sized, ...] = ()
    twins: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """In how many equal steps, one unit of every block each, all units can go."""
        return self.units // self.blocks

    @property
    def axes(self) -> tuple[TensorAxis, ...]:
        """Every axis that gets shorter when a unit goes."""
        return self.made_by + self.carried_by + self.read_by


@dataclass(frozen=True)
class Pinned:
    """Units that stay, and the operator that holds them."""

    name: str
    units: int
    operator: str
    reason: str


@dataclass(frozen=True)
class TensorCost:
    """What one parameter or buffer costs: its shape, and multiply-adds per entry and example.

    A product that no parameter stands for (of two activations, say) is listed as well, as no parameter of no bytes.
    """

    name: str
    shape: tuple[int, ...]
    macs_per_entry: float = 0.0
    is_parameter: bool = True


@dataclass(frozen=True)
class Activation:
    """One call of a rectifier between linear operations: what a method of layers scores, and what can go.

    `operator` is the rectifier's (`relu`, `gelu`), `source` the node in the traced graph that it reads, `node` the one
    that gives its output; its `units` lie along `axis` of both, counted from behind. `module` is the module that it is
    a call of, "" of a function called in the forward of `owner`; of several such calls there (`calls`), it is the one
    of number `call`. `norm` names the batch-norm that feeds it, if one does. `before` are the weights of the linear
    operations whose outputs reach it through norms and sums alone, `after` those that read it.
    """

    name: str
    operator: str
    units: int
    axis: int
    source: str
    node: str
    module: str
    owner: str
    call: int = 0
    calls: int = 1
    norm: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def is_alone(self) -> bool:
        """Whether a module of its own is called for it, which can be put another in the place of."""
        return bool(self.module) and self.calls == 1


@dataclass(frozen=True)
class Stretch:
    """Layers between two values of the traced graph, `source` and `node`, that one linear operator can stand for.

    `activations` are the rectifiers inside, by name. In the place of the last of `modules` comes a convolution of
    shape [`outputs`, `inputs`, *`kernel`] with these strides, half its kernel as padding, or, where the kernel has no
    axes, a linear layer; the other modules become Identity. `then` is the rectifier that ends the only module of a
    stretch, and stays behind the operator; `has_path` says that what comes in gets to the end around all layers of
    this module (a residual block), `is_branch` that what comes out has the shape of what comes in, and is only added
    to something else. `macs` are those of the stretch for one example, `macs_after` those of the operator.
    """

    name: str
    activations: tuple[str, ...]
    source: str
    node: str
    modules: tuple[str, ...]
    inputs: int
    outputs: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    then: str = ""
    has_path: bool = False
    is_branch: bool = False
    macs: int = 0
    macs_after: int = 0


@dataclass(frozen=True)
class Sites:
    """All sites of a model, in the order of the data, beside what is pinned and what every tensor costs.

    `activations` and `stretches` are what methods of layers look at, as `find_layers` gives them, with the `macs` of
    the whole model for one example.
    """

    sites: tuple[Site, ...]
    pinned: tuple[Pinned, ...] = ()
    tensors: tuple[TensorCost, ...] = ()
    activations: tuple[Activation, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    macs: int = 0

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __len__(self) -> int:
        return len(self.sites)

    def __getitem__(self, name: str) -> Site:
        for site in self.sites:
            if site.name == name:
                return site
        raise UnknownNameError("site", name, [site.name for site in self.sites])

    def activation(self, name: str) -> Activation:
        """The activation of a name.

        Raises:
            UnknownNameError: there is none.
            SettingsError: it is a rectifier that no method may choose.
        """
        for activation in self.activations:
            if activation.name == name:
                return activation
        for pinned in self.pinned:
            if pinned.name == name:
                raise SettingsError(f"{name}: this {pinned.operator} cannot go alone: {pinned.reason}; choose another.")
        raise UnknownNameError("activation", name, [activation.name for activation in self.activations])

    @property
    def names(self) -> tuple[str, ...]:
        """The sites' names, in the order of the data."""
        return tuple(site.name for site in self.sites)

    def matching(self, patterns: Iterable[str]) -> set[str]:
        """The names of the sites that match any of some patterns, such as `layers.0.*`.

        Raises:
            UnknownNameError: a pattern matches none.
        """
        matched: set[str] = set()
        for pattern in patterns:
            found = {name for name in self.names if name == pattern or fnmatch(name, pattern)}
            if not found:
                raise UnknownNameError("site to protect", pattern, self.names)
            matched |= found
        return matched
