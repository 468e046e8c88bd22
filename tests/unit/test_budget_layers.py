"""Which layers go under each budget, and what is refused."""

from collections.abc import Mapping

import pytest
import torch

from secateur.budget import Below, Budget, Count, Macs, Params, Share, select_layers
from secateur.errors import BudgetError, UnknownNameError
from secateur.scores import Scores
from secateur.sites import Activation, Sites, Stretch

NAMES = ("a.act", "b.act", "c.act", "d.act")


def stretch(
    name: str, *inside: str, modules: tuple[str, ...] = (), macs: int = 100, after: int = 40, **more: bool
) -> Stretch:
    return Stretch(name, inside, "in", "out", modules or (name,), 4, 4, macs=macs, macs_after=after, **more)


SITES = Sites(
    (),
    activations=tuple(Activation(name, "relu", 4, -1, "in", "out", name, name[0]) for name in NAMES),
    stretches=(
        stretch("a", "a.act", has_path=True),
        stretch("b.act", "b.act", modules=("b.0", "b.act", "b.1"), is_branch=True),
        stretch("c.act", "c.act", modules=("b.1", "c.act", "c.1")),
        stretch("d", "d.act", macs=30),
    ),
    macs=1000,
)  # fmt: skip
SCORES = {"a.act": 3.0, "b.act": 2.0, "c.act": 1.0, "d.act": 0.0}


def chosen(budget: Budget, scores: Mapping[str, float] = SCORES, sites: Sites = SITES, **settings: object) -> list[str]:
    values = {name: torch.tensor([value], dtype=torch.float64) for name, value in scores.items()}
    found = select_layers(Scores("some", values, comparable=True), sites, budget, **settings)  # type: ignore[arg-type]
    assert [choice.rank for choice in found] == list(range(len(found)))
    assert [choice.score for choice in found] == sorted(choice.score for choice in found)
    return [choice.name for choice in found]


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        (Share(0.5), ["d.act", "c.act"]),
        (Share(0.1), []),
        (Share(0.2), ["d.act"]),
        (Count(3), ["d.act", "c.act", "b.act"]),
        (Count(4), ["d.act", "c.act", "b.act", "a.act"]),
        (Below(-1.0), []),
        (Below(1.0), ["d.act", "c.act"]),
        (Below(0.7, relative=True), ["d.act", "c.act", "b.act"]),
    ],
)
def test_activations_go_by_their_scores(budget: Budget, wanted: list[str]) -> None:
    assert chosen(budget) == wanted


def test_ties_go_by_position() -> None:
    assert chosen(Count(2), dict.fromkeys(NAMES, 1.0)) == ["a.act", "b.act"]


def test_what_has_an_infinite_score_stays_and_does_not_count() -> None:
    scores = SCORES | {"d.act": float("inf")}
    assert chosen(Count(3), scores) == ["c.act", "b.act", "a.act"]
    with pytest.raises(BudgetError, match="4 layers are to go, but 3 can; give 3 or fewer"):
        chosen(Count(4), scores)


@pytest.mark.parametrize("become", ["collapse", "drop"])
def test_only_stretches_go_that_can(become: str) -> None:
    wanted = {"collapse": ["c.act", "a"], "drop": ["b.act", "a"]}[become]
    assert chosen(Count(2), become=become) == wanted  # c.act shares a layer with b.act
    with pytest.raises(BudgetError, match="3 layers are to go, but 2 can"):
        chosen(Count(3), become=become)


def test_at_any_cost_what_gets_dearer_collapses_too() -> None:
    assert chosen(Count(3), become="collapse", at_any_cost=True) == ["d", "c.act", "a"]


@pytest.mark.parametrize(("inner", "outer"), [("m.inside", "m"), ("m", "m.inside")])
def test_a_stretch_within_another_does_not_go_beside_it(inner: str, outer: str) -> None:
    found = (stretch("one", "a.act", modules=(inner,)), stretch("two", "b.act", modules=("x", outer)))
    sites = Sites((), activations=SITES.activations, stretches=found, macs=1000)
    assert chosen(Below(9.0), sites=sites, become="collapse") == ["two"]


def test_a_stretch_scores_as_its_most_important_activation() -> None:
    sites = Sites(
        (), activations=SITES.activations, stretches=(stretch("both", "a.act", "d.act"), stretch("b", "b.act"))
    )
    assert chosen(Count(1), sites=sites, become="collapse") == ["b"]


@pytest.mark.parametrize(
    ("limit", "become", "wanted"),
    [
        (1000, "collapse", []),
        (999, "collapse", ["c.act"]),
        (940, "collapse", ["c.act"]),
        (0.9, "collapse", ["c.act", "a"]),
        (880, "collapse", ["c.act", "a"]),
        (900, "drop", ["b.act"]),
        (800, "drop", ["b.act", "a"]),
    ],
)
def test_stretches_go_until_no_more_multiply_adds_are_left_than_allowed(
    limit: float, become: str, wanted: list[str]
) -> None:
    assert chosen(Macs(limit), become=become) == wanted


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [("d.act", "c.act"), ("d", "c.act"), ("[cd]", "b.act"), ("[cd].*", "b.act")],
)
def test_what_is_protected_stays_by_its_name_or_that_of_the_module_around(pattern: str, wanted: str) -> None:
    assert chosen(Count(1), protect=(pattern,)) == [wanted]


@pytest.mark.parametrize("pattern", ["a", "a.act", "a.*"])
def test_a_stretch_with_a_protected_activation_stays(pattern: str) -> None:
    assert chosen(Below(9.0), become="drop", protect=(pattern,)) == ["b.act"]


@pytest.mark.parametrize(
    ("budget", "settings", "reason"),
    [
        (Count(5), {}, "5 layers are to go, but 4 can; give 4 or fewer"),
        (Count(1), {"protect": ("*",)}, "1 layers are to go, but 0 can; protect fewer"),
        (Count({"a": 1}), {}, "a count for each site is for methods of units"),
        (Params(0.5), {}, "Params: is for methods of units"),
        (Macs(0.5), {}, r"an activation made linear \(affine\) saves none"),
        (Macs(879), {"become": "collapse"}, "879 of 1,000 .* cannot be reached; 880 are left when all 2 stretches"),
        (Macs(0.1), {"become": "drop"}, "100 of 1,000 .* cannot be reached; 800 are left"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused(budget: Budget, settings: dict[str, object], reason: str) -> None:
    with pytest.raises(BudgetError, match=reason):
        chosen(budget, **settings)


def test_where_nothing_can_go_so_another_form_is_named() -> None:
    sites = Sites((), activations=SITES.activations)
    for become in ("collapse", "drop"):
        with pytest.raises(BudgetError, match=rf"{become}: none of 4 activations can go so; .* affine"):
            chosen(Share(0.5), sites=sites, become=become)


def test_nothing_goes_where_all_is_protected() -> None:
    for budget in (Share(0.5), Below(0.9, relative=True), Below(9.0)):
        assert chosen(budget, protect=("*",)) == []


def test_scores_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(BudgetError, match=r"b\.act: its score of some is NaN"):
        chosen(Share(0.5), SCORES | {"b.act": float("nan")})
    with pytest.raises(BudgetError, match=r"d\.act: no score of some"):
        chosen(Share(0.5), dict.fromkeys(NAMES[:3], 1.0))
    with pytest.raises(BudgetError, match=r"a\.act: 2 scores of some"):
        select_layers(Scores("some", dict.fromkeys(NAMES, torch.zeros(2).double())), SITES, Share(0.5))


@pytest.mark.usefixtures("unchecked")
def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean collapse"):
        chosen(Share(0.5), become="collaps")
    with pytest.raises(UnknownNameError, match=r"'b.acd' is not a known layer to protect; did you mean b\.act"):
        chosen(Share(0.5), protect=("b.acd",))
