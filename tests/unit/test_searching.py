"""The search for the best network under a goal: sensitivities, how cuts are spread, and what is found."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from secateur.errors import BudgetError, FileError, SettingsError
from secateur.reading import silenced
from secateur.searching import Effort, Goal, Style, search
from secateur.searching.allocation import Shape, prices, spread
from secateur.searching.bench import prepared
from secateur.searching.candidates import Candidate, Workshop
from secateur.searching.sensitivity import SHARES, Products, sensitivity
from secateur.sites import Sites
from secateur.task import Task
from secateur.tracing import trace

QUICK = Effort(trials=3, finalists=1, among=("magnitude", "activation_std"), rows=64)


def net(widths: tuple[int, ...] = (6, 24, 16, 3)) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def teaching(model: nn.Module, rows: int = 128) -> Task:
    """A task whose labels are the model's own classes."""
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        batch = (x, model(x).argmax(1))
    return Task.classification(train=[batch], calibration=[batch], validation=[batch])


@pytest.fixture
def model() -> nn.Sequential:
    return net()


@pytest.fixture
def task(model: nn.Sequential) -> Task:
    return teaching(model)


def repeated(model: nn.Sequential) -> nn.Sequential:
    """The network with every unit of its first layer twice, at half the strength: half of them can go for nothing."""
    first, act, second, *rest = model
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    wide, reader = nn.Linear(6, 2 * first.out_features), nn.Linear(2 * first.out_features, second.out_features)
    with torch.no_grad():
        wide.weight.copy_(first.weight.repeat(2, 1))
        wide.bias.copy_(first.bias.repeat(2))
        reader.weight.copy_(second.weight.repeat(1, 2) / 2)
        reader.bias.copy_(second.bias)
    return nn.Sequential(wide, act, reader, *rest)


def halves(sites: Sites) -> sc.Scores:
    """Scores by which the copies of the first layer's units go first."""
    values = {site.name: torch.arange(site.units, 0, -1, dtype=torch.float64) for site in sites}
    return sc.Scores("halves", values)


def test_units_that_others_can_stand_for_cost_nothing(model: nn.Sequential, task: Task) -> None:
    wide = repeated(model)
    sites = sc.find_sites(wide, task)
    curve = sensitivity(wide, sites, task, halves(sites))["0"]
    assert curve.mended
    assert curve.distances[0] < 1e-5
    assert curve.distances[1] < 1e-5
    assert curve.distances[2] > 100 * curve.distances[1]  # more than the copies


def test_a_prediction_is_the_least_squares_one() -> None:
    rows = torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows[:, 4] = 2 * rows[:, 0] - rows[:, 3] + 7
    seen = Products.empty().observe(rows[:90]).observe(rows[90:])
    gone, kept = torch.tensor([1, 4]), torch.tensor([0, 2, 3])
    weights, constant = seen.predicting(gone, kept)
    wanted = torch.linalg.lstsq(torch.cat([rows[:, kept], torch.ones(200, 1)], 1), rows[:, gone]).solution
    assert torch.allclose(weights, wanted[:-1].T, atol=1e-3)
    assert torch.allclose(constant, wanted[-1], atol=1e-3)


class Stream(nn.Module):
    """Units that are read twice, and so by no weight alone."""

    def __init__(self) -> None:
        super().__init__()
        self.inlet, self.block, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inlet(x).relu()
        found: Tensor = self.head(x + self.block(x).relu())
        return found


def test_what_several_layers_read_is_silenced() -> None:
    torch.manual_seed(0)
    model = Stream()
    task = teaching(model)
    sites = sc.find_sites(model, task)
    scores = sc.score(model, sites, task, "magnitude")
    curves = sensitivity(model, sites, task, scores, rows=128)
    (stream,) = (site for site in sites if len(site.reads) > 1)
    assert not curves[stream.name].mended
    lowest = scores.values[stream.name].argsort()[: round(SHARES[1] * stream.units)]
    (x, _), *_ = task.batches("calibration")
    with torch.no_grad():
        found = silenced(trace(model, task), sites, {stream.name: tuple(lowest.tolist())}, ((x,), {}))
        wanted = float(task.distance(found, model(x), 1.0))
    assert curves[stream.name].distances[1] == pytest.approx(wanted, rel=1e-4)


def test_without_curves_every_site_loses_the_same_share(model: nn.Sequential, task: Task) -> None:
    sites = sc.find_sites(model, task)
    scores = sc.score(model, sites, task, "magnitude")
    level = spread(scores, sites, Shape(), {}, {})
    for limit in (0.7, 0.4, 0.2):
        plan = sc.select(level, sites, sc.Macs(limit))
        gone = [len(plan.removed.get(site.name, ())) / site.units for site in sites]
        assert max(gone) - min(gone) <= 1 / 16 + 1e-9


def test_the_units_of_a_site_go_in_the_order_of_their_scores(model: nn.Sequential, task: Task) -> None:
    sites = sc.find_sites(model, task)
    scores = sc.score(model, sites, task, "magnitude")
    curves = sensitivity(model, sites, task, scores)
    shaped = spread(scores, sites, Shape(1.0, 0.7, -1.0), curves, prices(sites, sc.Macs(0.5)))
    for site in sites:
        assert torch.equal(shaped.values[site.name].argsort(), scores.values[site.name].argsort())


def test_a_site_that_can_spare_units_loses_more_of_them(model: nn.Sequential, task: Task) -> None:
    wide = repeated(model)
    sites = sc.find_sites(wide, task)
    scores = halves(sites)
    curves, price = sensitivity(wide, sites, task, scores), prices(sites, sc.Macs(0.5))
    shares = []
    for temper in (0.0, 1.0):
        plan = sc.select(spread(scores, sites, Shape(temper), curves, price), sites, sc.Macs(0.55))
        shares.append(len(plan.removed["0"]) / 48)
    assert shares[1] > shares[0]
    assert shares[1] >= 0.45


def test_prices_are_what_half_of_a_site_costs(model: nn.Sequential, task: Task) -> None:
    sites = sc.find_sites(model, task)
    whole = 6 * 24 + 24 * 16 + 16 * 3
    found = prices(sites, sc.Macs(0.5))
    assert found["0"] == pytest.approx((6 * 12 + 12 * 16) / whole)
    assert found["2"] == pytest.approx((24 * 8 + 8 * 3) / whole)


def test_the_recipe_found_makes_the_network_that_was_judged(model: nn.Sequential, task: Task) -> None:
    found = search(model, task, Goal(sc.Macs(0.4)), effort=QUICK)
    (chosen,) = (one for one in found.tried if one.number == found.chosen)
    result = sc.compress(model, task, found.recipe)
    assert result.final.macs == chosen.macs <= 0.4 * found.macs
    assert {name: before - after for name, (before, after) in result.widths.items() if before > after} == chosen.counts
    assert result.final.quality["accuracy"] == chosen.recovered


def test_every_method_alone_is_a_candidate_and_none_is_nearer_than_the_chosen(model: nn.Sequential, task: Task) -> None:
    found = search(model, task, Goal(sc.Macs(0.4)), effort=QUICK)
    alone = [one for one in found.tried if one.temper == 0.0 and not one.own]
    assert {one.method for one in alone} >= {"magnitude", "activation_std"}
    (chosen,) = (one for one in found.tried if one.number == found.chosen)
    assert chosen.distance == min(one.distance for one in found.tried if one.distance is not None)


def test_a_drop_alone_finds_the_cheapest_that_holds_it(model: nn.Sequential, task: Task) -> None:
    wide = repeated(model)
    found = search(wide, task, Goal(max_drop=4.0), effort=replace(QUICK, trials=4, finalists=3, rows=128))
    (chosen,) = (one for one in found.tried if one.number == found.chosen)
    assert chosen.macs < 0.9 * found.macs
    assert chosen.recovered is not None
    assert 100.0 - chosen.recovered <= 4.0


def test_a_drop_that_cannot_be_held_is_refused_with_what_can(model: nn.Sequential, task: Task) -> None:
    with pytest.raises(BudgetError, match=r"3 % of the multiply-adds left, at most 0 points lost: .* loses [\d.]+"):
        search(model, task, Goal(sc.Macs(0.03), max_drop=0.0), effort=QUICK)


def test_a_limit_out_of_reach_is_refused(model: nn.Sequential, task: Task) -> None:
    with pytest.raises(BudgetError, match="are left with one unit"):
        search(model, task, Goal(sc.Macs(5)), effort=QUICK)


def test_protected_sites_lose_nothing_and_widths_are_multiples(model: nn.Sequential, task: Task) -> None:
    style = Style(protect=("2",), multiple_of=4)
    found = search(model, task, Goal(sc.Macs(0.7)), effort=QUICK, style=style)
    widths = sc.compress(model, task, found.recipe).widths
    assert widths["2"] == (16, 16)
    assert widths["0"][1] % 4 == 0


def test_a_stopped_search_goes_on_and_tries_nothing_twice(model: nn.Sequential, task: Task, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    first = search(model, task, Goal(sc.Macs(0.4)), effort=replace(QUICK, trials=4, study=path))
    size = path.stat().st_size
    again = search(model, task, Goal(sc.Macs(0.4)), effort=replace(QUICK, trials=4, study=path))
    assert path.stat().st_size - size < 2000  # no candidate more
    assert [one.distance for one in again.tried] == [one.distance for one in first.tried]
    more = search(model, task, Goal(sc.Macs(0.4)), effort=replace(QUICK, trials=5, study=path))
    assert [one.number for one in more.tried] == list(range(5))


def test_a_study_of_another_network_is_refused(model: nn.Sequential, task: Task, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    effort = replace(QUICK, trials=1, study=path)
    search(model, task, Goal(sc.Macs(0.4)), effort=effort)
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    with pytest.raises(SettingsError, match="another network, data or goal"):
        search(model, task, Goal(sc.Macs(0.4)), effort=effort)


@pytest.mark.parametrize("content", [json.dumps({"no": "study"}) + "\n", "notes, without an end of line", "\n"])
def test_a_file_that_is_no_study_is_refused_and_left_as_it_is(
    model: nn.Sequential, task: Task, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "study.journal"
    path.write_text(content)
    with pytest.raises(FileError, match="no study of secateur"):
        search(model, task, Goal(sc.Macs(0.4)), effort=replace(QUICK, study=path))
    assert path.read_text() == content


def test_a_study_that_was_killed_while_it_was_written_goes_on(model: nn.Sequential, task: Task, tmp_path: Path) -> None:
    effort = replace(QUICK, study=tmp_path / "study.journal")
    first = search(model, task, Goal(sc.Macs(0.4)), effort=effort)
    lines = effort.study.read_bytes().splitlines(keepends=True)  # type: ignore[union-attr]
    effort.study.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])  # type: ignore[union-attr]
    second = search(model, task, Goal(sc.Macs(0.4)), effort=effort)
    assert [one.number for one in second.tried[:2]] == [one.number for one in first.tried[:2]]
    assert second.tried[:2] == first.tried[:2]


def test_an_empty_goal_is_refused() -> None:
    with pytest.raises(SettingsError, match="the goal is empty"):
        Goal()
    with pytest.raises(SettingsError, match="max_drop is nan"):
        Goal(max_drop=float("nan"))


def test_layers_are_collapsed_and_folded_first_where_a_candidate_says_so(model: nn.Sequential, task: Task) -> None:
    with torch.no_grad():  # units that are always off, which folding cuts
        model[0].weight[:4], model[0].bias[:4] = 0.0, -1.0
    bench = prepared(model, task, among=("magnitude",), rows=64)
    shop = Workshop(bench, Style())
    tried = shop.tried(Candidate("magnitude", Shape(), sc.Macs(0.4), layers=1), 0)
    assert tried.state == "whole"
    result = sc.compress(model, task, shop.recipe(tried))
    assert any(edit.action == "collapse" for edit in result.plan.layers)
    assert result.final.macs == tried.macs <= 0.4 * result.original.macs


def test_a_workshop_prices_every_kind_of_limit_anew(model: nn.Sequential, task: Task) -> None:
    bench = prepared(model, task, among=("magnitude",), rows=64)
    used, fresh = Workshop(bench, Style()), Workshop(bench, Style())
    one = Candidate("magnitude", Shape(temper=1.0), sc.Macs(0.5))
    used.planned(one)
    other = replace(one, limit=sc.Params(0.4))
    assert used.planned(other) == fresh.planned(other)


def test_a_workshop_times_the_network_anew_for_other_calls(model: nn.Sequential, task: Task) -> None:
    shop = Workshop(prepared(model, task, among=("magnitude",), rows=64), Style())
    seen = []
    for limit in (sc.Macs(0.5), sc.Latency(0.5), sc.Latency(0.9), sc.Latency(0.5, batch_size=8)):
        shop.have_clock(limit)
        seen.append(shop.clock)
    none, first, same, other = seen
    assert none is None
    assert same is first
    assert other is not None
    assert other.batch_size == 8
