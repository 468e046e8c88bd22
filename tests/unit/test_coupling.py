"""Coupling: every rule by itself, what has no rule, and how labels become sites."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from secateur.budget import plan_of
from secateur.coupling import RULES, Call, Coupling, Value, follow
from secateur.coupling.labels import Labels, varying
from secateur.coupling.shapes import reshaped
from secateur.errors import ModelError
from secateur.finding import find_sites
from secateur.sites import Sites
from secateur.surgery import apply

# --- every rule by itself ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An operator on tensors of such shapes, with units along the given axes of each."""

    operator: str
    run: Callable[..., Tensor]
    tensors: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    settings: tuple[object, ...] = ()
    units: int = 1  # how many can go

    def __str__(self) -> str:
        return f"{self.operator} {' '.join(str(shape) + ' along ' + str(axes) for shape, axes in self.tensors)}"


def _list(run: Callable[[list[Tensor]], Tensor]) -> Callable[..., Tensor]:
    return lambda *tensors: run(list(tensors))


CASES = [
    Case("relu", torch.relu, (((3, 4), (1,)),), units=4),
    Case("add", torch.add, (((3, 4), (1,)), ((4,), (0,))), units=4),
    Case("add", torch.add, (((2, 3, 4), (1, 2)), ((3, 1), (0,))), units=7),
    Case("mul", torch.mul, (((3, 4), (1,)), ((3, 1), ())), units=4),
    Case("mul", torch.mul, (((3, 4), (1,)), ((3, 4), (0, 1))), units=4),
    Case("sub", torch.sub, (((1, 4), (1,)), ((3, 1), (0,))), units=7),
    Case("where", lambda a, b: torch.where(a.isnan(), a, b), (((3, 4), (1,)), ((4,), (0,))), units=4),
    Case("batch_norm", lambda x, w: x * w[None, :, None], (((2, 3, 4), (1,)), ((3,), (0,))), units=3),
    Case("prelu", F.prelu, (((2, 3), (1,)), ((3,), (0,))), units=3),
    Case("prelu", F.prelu, (((2, 3), (1,)), ((1,), ())), units=3),
    Case("permute", lambda x: x.permute(2, 0, 1), (((2, 3, 4), (1, 2)),), ([2, 0, 1],), units=7),
    Case("permute", lambda x: x.permute(-1, 0, 1), (((2, 3, 4), (1, 2)),), ([-1, 0, 1],), units=7),
    Case("flip", lambda x: x.flip(1), (((2, 3, 4), (1, 2)),), ([1],), units=7),
    Case("flip", lambda x: x.flip(0, -1), (((2, 3, 4), (1, 2)),), ([0, -1],), units=7),
    Case("slice", lambda x: x[:, 1::2], (((3, 6), (1,)),), (1, 1, 2**63 - 1, 2), units=3),
    Case("slice", lambda x: x[:, ::3], (((3, 6), (0, 1)),), (1, 0, 2**63 - 1, 3), units=5),
    Case("slice", lambda x: x[:, ::4], (((3, 6), (0, 1)),), (1, 0, 2**63 - 1, 4), units=3),
    Case("transpose", lambda x: x.transpose(0, -1), (((2, 3, 4), (1, 2)),), (0, -1), units=7),
    Case("mT", lambda x: x.mT, (((2, 3, 4), (1, 2)),), units=7),
    Case("t", torch.t, (((3, 4), (0, 1)),), units=7),
    Case("numpy_T", torch.t, (((3, 4), (0, 1)),), units=7),
    Case("flatten", lambda x: x.flatten(1), (((2, 3, 4), (1,)),), units=3),
    Case("flatten", lambda x: x.flatten(1), (((2, 3, 4), (2,)),), units=4),
    Case("view", lambda x: x.reshape(6, x.shape[2]), (((2, 3, 4), (2,)),), units=4),
    Case("unflatten", lambda x: x.unflatten(0, (2, 2)), (((4, 3), (1,)),), units=3),
    Case("squeeze", torch.squeeze, (((1, 3, 1, 4), (1, 3)),), units=7),
    Case("unsqueeze", lambda x: x.unsqueeze(1), (((3, 4), (1,)),), units=4),
    Case("expand", lambda x: x.expand(5, 3, x.shape[1]), (((1, 4), (1,)),), units=4),
    Case("cat", _list(lambda x: torch.cat(x, 1)), (((2, 3), (1,)), ((2, 4), (1,))), (1,), units=7),
    Case("cat", _list(lambda x: torch.cat(x, -2)), (((2, 3), (0, 1)), ((4, 3), (0, 1))), (-2,), units=9),
    Case("sum", lambda x: x.sum(1), (((2, 3, 4), (1, 2)),), ([1],), units=7),
    Case("sum", lambda x: x.sum((1, 2), keepdim=True), (((2, 3, 4), (1, 2)),), ([1, 2], True), units=7),
    Case("sum", torch.sum, (((3, 4), (1,)),), units=4),
    Case("mean", lambda x: x.mean(1), (((2, 3, 4), (2,)),), ([1],), units=4),
    Case("softmax", lambda x: x.softmax(1), (((2, 3, 4), (2,)),), (1,), units=4),
    Case("linear", F.linear, (((3, 4), (1,)), ((5, 4), (0, 1)), ((5,), (0,))), units=9),
    Case("linear", F.linear, (((2, 3, 4), (1, 2)), ((5, 4), (0, 1))), units=12),
    Case("matmul", torch.matmul, (((3, 4), (1,)), ((4, 5), (0, 1))), units=9),
    Case("mm", torch.mm, (((3, 4), (1,)), ((4, 5), (0, 1))), units=9),
    Case("addmm", torch.addmm, (((5,), (0,)), ((3, 4), (1,)), ((4, 5), (0, 1))), units=9),
]


def _cut(tensor: Tensor, value: Value, root: Labels, unit: int) -> Tensor:
    """A tensor without the entries of one unit."""
    for field in value.fields:
        labels = root[field]
        if (labels == unit).any():
            (axis,) = varying(field)
            kept = torch.from_numpy(np.flatnonzero(labels.ravel() != unit))
            tensor = tensor.index_select(axis, kept)
    return tensor


@pytest.mark.parametrize("case", CASES, ids=str)
def test_removing_what_the_labels_say_removes_just_that_from_the_output(case: Case) -> None:
    generator = torch.Generator().manual_seed(5)
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape, _ in case.tensors]
    coupling = Coupling()
    values = [Value(shape, tuple(coupling.fresh(shape, axis) for axis in axes)) for shape, axes in case.tensors]
    given = (values,) if case.operator == "cat" else tuple(values)
    out = follow(coupling, Call("node", case.operator, (*given, *case.settings), tuple(case.run(*tensors).shape)))
    root = coupling.roots()
    pinned = {int(unit) for pin in coupling.pins for unit in np.unique(root[pin.labels])}
    units = {int(unit) for value in values for field in value.fields for unit in np.unique(root[field])} - pinned
    for unit in units:
        silenced = list(tensors)
        for reading in coupling.readings:
            gone = torch.from_numpy(root[reading.labels] == unit)
            silenced[reading.operand] = silenced[reading.operand].masked_fill(gone, 0.0)
        found = case.run(*(_cut(tensor, value, root, unit) for tensor, value in zip(tensors, values, strict=True)))
        torch.testing.assert_close(found, _cut(case.run(*silenced), out, root, unit))
    assert len(units) == case.units


ELEMENTWISE = sorted(name for name, rule in RULES.items() if rule.__name__ == "elementwise")


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if not name.endswith("_")])
def test_every_elementwise_operator_works_entry_by_entry(name: str) -> None:
    packet = getattr(torch.ops.aten, name)
    x, y = torch.rand(3, 4, dtype=torch.float64) + 0.1, torch.rand(3, 4, dtype=torch.float64) + 0.1
    arguments = _arguments(name, x, y)
    whole = packet(*arguments)
    part = packet(*(value[:, 1:] if isinstance(value, Tensor) and value.dim() else value for value in arguments))
    torch.testing.assert_close(part, whole[:, 1:])
    assert whole.shape == x.shape


OF_TWO = (
    *("add", "sub", "rsub", "mul", "div", "pow", "maximum", "minimum", "clamp_min", "clamp_max", "eq", "ne", "lt"),
    *("le", "gt", "ge", "fmod", "remainder", "atan2", "copy"),
)
OF_TRUTHS = {"logical_and": 2, "logical_or": 2, "bitwise_not": 1}


def _arguments(name: str, x: Tensor, y: Tensor) -> tuple[object, ...]:
    if name in OF_TWO:
        return x, y
    if name in OF_TRUTHS:
        return (x > 0.5, y > 0.5)[: OF_TRUTHS[name]]
    if name in ("addcmul", "addcdiv", "masked_fill"):
        return (x, y > 0.5, 0.0) if name == "masked_fill" else (x, y, x + y)
    return _settings(name, x, y)


def _settings(name: str, x: Tensor, y: Tensor) -> tuple[object, ...]:
    match name:
        case "where":
            return x > 0.5, x, y
        case "lerp":
            return x, y, 0.3
        case "clamp":
            return x, 0.2, 0.6
        case "threshold":
            return x, 0.3, 0.1
        case "dropout" | "alpha_dropout" | "feature_dropout" | "feature_alpha_dropout":
            return x, 0.5, False
        case "to":
            return x, torch.float32
    return (x,)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_units_are_the_connected_components_of_what_was_joined(pairs: list[tuple[int, int]]) -> None:
    coupling = Coupling()
    labels = coupling.fresh((20,), 0)
    for one, other in pairs:
        coupling.join(labels[[one]], labels[[other]])
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(20, 20))
    _, component = connected_components(graph, directed=False)
    smallest = {int(c): int(np.flatnonzero(component == c).min()) for c in np.unique(component)}
    assert coupling.roots().tolist() == [smallest[int(c)] for c in component]


SHAPES = [
    ((2, 12), (2, 3, 4)),
    ((6, 4), (2, 3, 2, 2)),
    ((2, 3, 4), (24,)),
    ((4, 1, 3), (4, 3)),
    ((12,), (1, 12, 1)),
    ((3, 8), (8, 3)),
]


@pytest.mark.parametrize(("old", "new"), [*SHAPES, *((new, old) for old, new in SHAPES)])
def test_labels_are_reshaped_as_the_entries_are(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    for axis in (axis for axis, size in enumerate(old) if size > 1):
        field = Coupling().fresh(old, axis)
        found = reshaped(field, old, new)
        assert found is not None
        np.testing.assert_array_equal(np.broadcast_to(found, new), np.broadcast_to(field, old).reshape(new))


def test_a_value_of_no_entries_is_not_followed() -> None:
    assert reshaped(Coupling().fresh((2, 3), 1), (2, 0), (0,)) is None


# --- whole models -----------------------------------------------------------------------------------------------------


class Model(nn.Module):
    """Three layers, 5 → 6 → 6 → 2, with the given forward between the first and the last."""

    def __init__(self, between: Callable[["Model", Tensor], Tensor], read: int = 6):
        super().__init__()
        self.first, self.side, self.last = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(read, 2)
        self.inner = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.rand(6))
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(self, x))


def rows(*shape: int) -> Tensor:
    return torch.randn(*(shape or (4, 5)), generator=torch.Generator().manual_seed(2))


def widths(sites: Sites) -> dict[str, int]:
    return {site.name: site.units for site in sites}


FLOWS = {
    "a sum joins": (lambda m, x: m.first(x) + m.side(x), 6, {"first": 6}),
    "a product joins": (lambda m, x: m.first(x) * m.side(x), 6, {"first": 6}),
    "a concatenation does not": (lambda m, x: torch.cat([m.first(x), m.side(x)], 1), 12, {"first": 6, "side": 6}),
    "beside the input": (lambda m, x: torch.cat([x, m.first(x)], 1), 11, {"first": 6}),
    "a value twice": (lambda m, x: torch.cat([m.first(x), m.first(x).relu()], 1), 12, {"first": 6}),
    "a scale": (lambda m, x: m.first(x) * m.scale, 6, {"first": 6}),
    "a skip": (lambda m, x: m.inner(m.first(x).relu()) + m.first(x), 6, {"first": 6}),
    "a mean of units": (lambda m, x: m.first(x) - m.side(x).mean(1, keepdim=True), 6, {"side": 6, "first": 6}),
    "a norm of groups": (lambda m, x: F.group_norm(m.first(x), 2), 6, {"first": 6}),
    "halves": (lambda m, x: sum(m.first(x).chunk(2, 1)).repeat(1, 2), 6, {"first": 3}),
    "a chain": (lambda m, x: m.inner(m.first(x).relu()), 6, {"first": 6, "inner": 6}),
}


@pytest.mark.parametrize("name", FLOWS)
def test_units_that_meet_go_together(name: str) -> None:
    between, read, wanted = FLOWS[name]
    model = Model(between, read)
    sites = find_sites(model, rows())
    assert widths(sites) == wanted
    gone = {site.name: (0, 3) if site.blocks > 1 else (0, site.units // 2) for site in sites}
    apply(model, plan_of(sites, gone), verify=True, example=rows())


WITHOUT_RULE = {
    "roll": (lambda m, x: m.first(x).roll(1, 1), "roll", "moves units"),
    "a triangle": (lambda m, x: m.first(x).tril(), "tril", "works along the axis"),
    "a slice": (lambda m, x: torch.cat([m.first(x)[:, :3], m.first(x)[:, 3:]], 1), "slice", "fixed in the code"),
    "a sort": (lambda m, x: m.first(x).sort(1).values, "sort", "no rule"),
    "an uneven split": (lambda m, x: torch.cat(m.first(x).split([2, 4], 1)[::-1], 1), "split", "fixed in the code"),
    "softmax": (lambda m, x: m.first(x).softmax(1), "softmax", "share one sum"),
    "a spread of units": (lambda m, x: m.first(x) - m.side(x).std(1, keepdim=True), "std", "how many units"),
    "the input": (lambda m, x: m.first(x) + F.pad(x, (0, 1)), "add", "cannot be cut"),
    "what is fed back": (lambda m, x: m.first(x).cumprod(1), "cumprod", "no rule"),
    "a norm without weights": (lambda m, x: F.layer_norm(m.first(x), (6,)), "layer_norm", "no weight"),
    "a norm of single units": (lambda m, x: F.group_norm(m.first(x), 6), "group_norm", "one channel each"),
}


@pytest.mark.parametrize("name", WITHOUT_RULE)
def test_what_has_no_rule_holds_its_units_and_is_named(name: str) -> None:
    between, operator, reason = WITHOUT_RULE[name]

    class Beside(Model):
        """So that something can be removed."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + self.other(self.free(x).relu())

    model = Beside(between)
    model.free, model.other = nn.Linear(5, 4), nn.Linear(4, 2)
    sites = find_sites(model, rows())
    held = {pin.name: pin for pin in sites.pinned}["first" if name != "a spread of units" else "side"]
    assert operator in held.operator
    assert reason in held.reason
    assert held.units == 6
    assert "first" not in sites.names or name == "a spread of units"


def test_inputs_and_outputs_are_never_cut() -> None:
    model = Model(lambda m, x: m.inner(m.first(x).relu()))
    sites = find_sites(model, rows())
    cut = {(axis.tensor, axis.axis) for site in sites for axis in site.axes}
    assert ("first.weight", 1) not in cut
    assert not {("last.weight", 0), ("last.bias", 0)} & cut
    assert ("last", 2, "output") in {(pin.name, pin.units, pin.operator) for pin in sites.pinned}


def test_a_model_in_which_nothing_can_go_is_refused_with_the_reasons() -> None:
    model = Model(lambda m, x: m.inner(m.first(x).roll(1, 1)).softmax(1))
    with pytest.raises(ModelError, match="nothing can be removed") as raised:
        find_sites(model, rows())
    for part in ("first: 6 units, roll", "inner: 6 units, softmax", "last: 2 units, output"):
        assert part in str(raised.value)


def test_a_model_without_hidden_units_says_so() -> None:
    with pytest.raises(ModelError, match="no hidden units"):
        find_sites(nn.Flatten(), rows())


def test_units_that_meet_on_two_axes_of_one_value_stay() -> None:
    class Mixer(nn.Module):
        """Mixes over features, then over tokens; the flattened result has both along one axis."""

        def __init__(self) -> None:
            super().__init__()
            self.features, self.tokens, self.last = nn.Linear(5, 4), nn.Linear(3, 6), nn.Linear(24, 2)
            self.free, self.other = nn.Linear(15, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            mixed = self.tokens(self.features(x).relu().transpose(1, 2))
            return self.last(mixed.flatten(1)) + self.other(self.free(x.flatten(1)).relu())

    sites = find_sites(Mixer(), rows(7, 3, 5))
    assert widths(sites) == {"free": 4}
    assert {pin.name for pin in sites.pinned} >= {"features", "tokens"}


def test_tokens_flattened_together_go_as_one_unit() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(5, 4), nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.first(x).relu().flatten(1))

    model = Tokens()
    (site,) = find_sites(model, rows(7, 3, 5))
    (columns,) = site.read_by
    assert (site.units, columns.repeat) == (4, 3)
    assert columns.entries(1) == (1, 5, 9)
    small = apply(
        model, plan_of(find_sites(model, rows(7, 3, 5)), {"first": (1, 2)}), verify=True, example=rows(7, 3, 5)
    )
    assert small.last.weight.shape == (2, 6)


def test_sites_come_in_the_order_of_the_data() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.third, self.second, self.first = (
                nn.Linear(4, 2),
                nn.Linear(4, 4),
                nn.Linear(4, 4),
                nn.Linear(5, 4),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.third(self.second(self.first(x).relu()).relu()).relu())

    assert find_sites(Backwards(), rows()).names == ("first", "second", "third")


def test_a_site_is_named_after_a_weight_of_its_own() -> None:
    class Meeting(nn.Module):
        """A sum of a wide layer with two narrow ones side by side."""

        def __init__(self) -> None:
            super().__init__()
            self.wide, self.left, self.right, self.last = (
                nn.Linear(5, 7),
                nn.Linear(5, 4),
                nn.Linear(5, 3),
                nn.Linear(7, 2),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.wide(x) + torch.cat([self.left(x), self.right(x)], 1))

    sites = find_sites(Meeting(), rows())
    assert widths(sites) == {"left": 4, "right": 3}
    assert sites["right"].made_by[0].positions == (4, 5, 6)


def test_units_are_numbered_as_in_the_weight_that_makes_them() -> None:
    model = Model(lambda m, x: m.inner(m.first(x).relu()))
    for site in find_sites(model, rows()):
        assert site.made_by[0].positions == tuple(range(6))


DROPPABLE = {
    "a chain": (lambda m, x: m.inner(m.first(x).relu()), 6, {"first": False, "inner": False}),
    "a chain that asks for the input's size": (
        lambda m, x: m.inner(m.first(x).relu()).unflatten(0, (x.shape[0], 1)).flatten(1),
        6,
        {"first": False, "inner": False},
    ),
    "around by a skip": (lambda m, x: torch.cat([x, m.inner(m.first(x))], 1), 11, {"first": True, "inner": True}),
    "two branches": (lambda m, x: torch.cat([m.first(x), m.side(x)], 1), 12, {"first": True, "side": True}),
    "a size left open": (
        lambda m, x: torch.cat([m.first(x), (h := m.side(x)).view(-1, h.shape[1])], 1),
        12,
        {"first": True, "side": False},  # of no entries, no size follows from the others
    ),
}


@pytest.mark.parametrize("name", DROPPABLE)
def test_a_site_can_lose_everything_only_where_a_path_goes_around_it(name: str) -> None:
    between, read, wanted = DROPPABLE[name]
    assert {site.name: site.droppable for site in find_sites(Model(between, read), rows())} == wanted


def test_a_norm_that_takes_statistics_over_a_site_is_named() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2))
    (site,) = find_sites(model, rows())
    assert site.normalised_by == ("1",)
    assert [read.is_norm for read in site.reads] == [True, False]
    assert {axis.tensor for axis in site.carried_by} == {"0.bias", "1.weight", "1.bias"}


def test_a_layer_of_one_unit_is_no_site() -> None:
    model = nn.Sequential(nn.Linear(5, 1), nn.ReLU(), nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 2))
    assert find_sites(model, rows()).names == ("2",)
