"""Coupling: how the labels of a whole model become its sites, and what has no rule."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.budget import plan_of
from secateur.errors import ModelError
from secateur.finding import find_sites
from secateur.sites import Sites
from secateur.surgery import apply


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
