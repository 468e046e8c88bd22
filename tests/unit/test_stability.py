"""Agreement of two halves of the data, beside scipy and the law of random choices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn

from secateur import methods
from secateur.budget import Share, plan_of
from secateur.errors import DataError, SettingsError
from secateur.finding import find_sites
from secateur.halves import agreements, mean, of_plan, stability
from secateur.pipeline import compress
from secateur.recipe import Recipe, Stage, from_dict, to_dict
from secateur.report.page import page as render
from secateur.report.reading import read
from secateur.result import Halves, Result, to_json
from secateur.scores import Scores
from secateur.task import Task

VALUES = st.lists(st.integers(-3, 9).map(float), min_size=2, max_size=20)


def scores(values: list[float]) -> Scores:
    return Scores("any", {"site": torch.tensor(values, dtype=torch.float64)})


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 2)).eval()


def task_of(spread: float, batches: int = 8) -> Task:
    generator = torch.Generator().manual_seed(3)
    scale = torch.tensor([1.0, spread, spread, spread])
    rows = [torch.randn(50, 4, generator=generator) * scale for _ in range(batches)]
    return Task.classification(calibration=[(x, torch.zeros(50, dtype=torch.long)) for x in rows])


@given(VALUES, st.randoms(use_true_random=False))
def test_the_correlation_is_scipys(values: list[float], random: object) -> None:
    other = list(values)
    random.shuffle(other)  # type: ignore[attr-defined]
    found = agreements(scores(values), scores(other), 0.5)["site"]
    if len(set(values)) == 1:
        assert found.correlation is None
    else:
        assert found.correlation == pytest.approx(float(spearmanr(values, other).statistic), abs=1e-12)


@given(VALUES, st.floats(0.05, 0.95))
def test_a_score_agrees_with_itself(values: list[float], share: float) -> None:
    found = agreements(scores(values), scores(values), share)["site"]
    assert found.overlap == 1.0
    assert found.correlation in (None, pytest.approx(1.0))


def test_random_scores_overlap_as_chance_says() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [[float(v) for v in torch.rand(40, generator=generator)] for _ in range(400)]
    found = [agreements(scores(a), scores(b), 0.7)["site"] for a, b in zip(drawn[::2], drawn[1::2], strict=True)]
    assert {each.chance for each in found} == {0.3}
    assert np.mean([each.overlap for each in found]) == pytest.approx(0.3, abs=0.03)  # four standard errors
    assert np.mean([each.correlation for each in found]) == pytest.approx(0.0, abs=0.05)


def test_methods_without_data_are_steady_and_few_rows_are_not() -> None:
    model = net()
    task = task_of(1.0)
    sites = find_sites(model, task)
    without = mean(stability(model, sites, task, "magnitude"))
    assert (without.correlation, without.overlap, without.chance) == (pytest.approx(1.0), 1.0, 0.5)
    steady = mean(stability(model, sites, task, "activation_std"))
    noisy = mean(stability(model, sites, task, "obce"))
    assert steady.correlation is not None
    assert noisy.correlation is not None
    assert steady.correlation > 0.95
    assert noisy.correlation < steady.correlation  # the largest gap is an extreme value


def test_the_halves_are_every_other_batch() -> None:
    model, task = net(), task_of(1.0, batches=3)
    sites = find_sites(model, task)
    batches = list(task.calibration or ())
    parts = [Task.classification(calibration=some) for some in (batches[::2], batches[1::2])]
    first, second = (methods.score(model, sites, part, "dense") for part in parts)
    assert stability(model, sites, task, "dense") == agreements(first, second, 0.5)


def test_one_batch_cannot_be_halved() -> None:
    model, task = net(), task_of(1.0, batches=1)
    with pytest.raises(DataError, match="batches smaller"):
        stability(model, find_sites(model, task), task, "dense")


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    model, task = net(), task_of(1.0)
    with pytest.raises(SettingsError, match="share"):
        stability(model, find_sites(model, task), task, "dense", share=share)


def in_halves(model: nn.Module, task: Task, gone: int) -> Halves:
    sites = find_sites(model, task)
    (found,) = of_plan(model, sites, task, methods.get("obce"), plan_of(sites, {"0": tuple(range(gone))}))
    return found


@pytest.mark.parametrize("gone", [10, 20, 30])
def test_what_halves_agree_on_at_a_plan_is_for_as_many_units_as_go(gone: int) -> None:
    task = task_of(0.1)
    found = in_halves(net(), task, gone)
    wanted = stability(net(), find_sites(net(), task), task, "obce", share=gone / 40)["0"]
    assert (found.correlation, found.overlap, found.chance) == (wanted.correlation, wanted.overlap, wanted.chance)


def test_what_two_random_choices_share_is_called_noise_nearly_always(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    draw = lambda *_, **__: Scores("any", {"0": torch.rand(40, generator=generator, dtype=torch.float64)})  # noqa: E731
    monkeypatch.setattr("secateur.halves.score", draw)
    sites, task = find_sites(net(), task_of(1.0)), task_of(1.0, 2)
    plan = plan_of(sites, {"0": tuple(range(20))})
    noisy = sum(of_plan(net(), sites, task, methods.get("obce"), plan)[0].is_noise for _ in range(200))
    assert 0.94 * 200 <= noisy <= 200


def test_a_run_keeps_what_halves_agree_on_and_notes_noise() -> None:
    def run(spread: float, method: str) -> Result[nn.Module]:
        stage = Stage(method=methods.get(method), budget=Share(0.5), recovery=None, stability=True)
        return compress(net(), task_of(spread), Recipe((stage,)))

    steady, noisy = run(1.0, "magnitude"), run(1.0, "obce")
    (halves,) = steady.rounds[0].halves
    assert (halves.site, halves.overlap, halves.is_noise) == ("0", 1.0, False)
    assert not [note for note in steady.notes if "noise" in note]
    assert [each.is_noise for each in noisy.rounds[0].halves] == [any("rests on noise" in note for note in noisy.notes)]
    page = render(noisy)
    assert 'href="#stability"' in page and "Two halves of the data" in page
    assert read(to_json(noisy)).rounds[0].halves == noisy.rounds[0].halves


def test_a_run_without_halves_has_no_such_section() -> None:
    stage = Stage(method=methods.get("magnitude"), budget=Share(0.5), recovery=None)
    result = compress(net(), task_of(1.0), Recipe((stage,)))
    assert result.rounds[0].halves == () and "#stability" not in render(result)


def test_stability_is_a_setting_of_a_recipe() -> None:
    recipe = from_dict({"stage": [{"stability": True}]})
    assert recipe.stages[0].stability and from_dict(to_dict(recipe)) == recipe
