"""A run on its way: rounds handed over, going on from any of them, progress, interruption, the teacher."""

from dataclasses import replace

import pytest
import torch

from pipelines import DENSE, MAGNITUDE, assert_same_tensors, net, recipe, rows, task_of
from secateur.budget import Below, Count, Share
from secateur.pipeline import Place, Progress, compress
from secateur.recipe import Recipe, Stage
from secateur.recovery import Recovery
from secateur.result import Event
from secateur.task import Task

pytestmark = pytest.mark.usefixtures("unmeasured")


def test_every_kept_round_is_handed_over_once_with_its_network() -> None:
    heard: list[tuple[int, int]] = []

    def hear(progress: Progress) -> None:
        heard.append((progress.rounds[-1].number, progress.model[0].out_features))

    stages = (
        Stage(DENSE, Count(2), recovery=None),
        Stage(DENSE, Below(-1.0), recovery=None),
        Stage(DENSE, Count(1), recovery=None),
    )
    compress(net(), task_of(), Recipe(stages), on_round=hear)
    assert heard == [(1, 8), (2, 7)]
    heard.clear()
    compress(net(), task_of(), recipe(Share(0.9), max_drop=0.5), on_round=hear)
    assert heard == []


def test_from_every_kept_round_on_a_run_goes_on_to_the_same_end() -> None:
    chosen = Recipe(
        (
            Stage(DENSE, Share(0.4), rounds=3, recovery=Recovery(epochs=1)),
            Stage(DENSE, Below(-1.0), recovery=None),
            Stage(MAGNITUDE, Count(2), rounds=2, recovery=None),
        )
    )
    saved: list[Progress] = []
    whole = compress(net(), task_of(), chosen, on_round=saved.append)
    assert [progress.place for progress in saved] == [
        Place(0, 1, 1),
        Place(0, 2, 2),
        Place(0, 3, 3),
        Place(2, 1, 1),
        Place(2, 2, 2),
    ]
    for start in saved:
        found = compress(net(), task_of(), chosen, start=start)
        assert_same_tensors(found.model, whole.model)
        assert found.plan == whole.plan
        assert found.rounds == whole.rounds
        assert found.notes == whole.notes
        assert [replace(step, seconds=0.0) for step in found.steps] == [
            replace(step, seconds=0.0) for step in whole.steps
        ]
        assert found.model is not start.model


def test_progress_is_told() -> None:
    heard: list[Event] = []
    compress(net(), task_of(), recipe(Share(0.5), recovery=Recovery(epochs=2)), watch=heard.append)
    assert [event.done for event in heard if event.doing == "recover"] == [1, 2, 3, 4, 5, 6]


def test_an_interrupted_recovery_ends_the_run_with_what_is_finished() -> None:
    def interrupt(event: Event) -> None:
        if event.doing == "recover" and event.done == 4:
            raise KeyboardInterrupt

    result = compress(net(), task_of(), recipe(Share(0.5), rounds=2, recovery=Recovery(epochs=3)), watch=interrupt)
    assert len(result.rounds) == 1
    assert result.notes == ("round 1: interrupted after epoch 1 of recovery; the best is kept.",)
    assert [step.name for step in result.steps] == ["original", "cut", "recovered"]


@pytest.mark.parametrize(("distil", "teacher"), [(True, True), (False, False)])
def test_the_original_teaches_where_it_is_asked_to(distil: bool, teacher: bool) -> None:
    x = rows(60, 4)
    unlabelled = Task.classification(train=[(x, torch.full((60,), 2))], calibration=[(x, torch.full((60,), 2))])
    training = Recovery(epochs=60, learning_rate=0.02, teacher_weight=1.0)
    model = net().eval()
    result = compress(model, unlabelled, recipe(Share(0.3), recovery=training, distil=distil))
    with torch.no_grad():
        agreement = (result.model.eval()(x).argmax(1) == model(x).argmax(1)).float().mean()
        labelled = (result.model(x).argmax(1) == 2).float().mean()
    assert (agreement > 0.9, labelled > 0.99) == (teacher, not teacher)
