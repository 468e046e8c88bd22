"""NEPENTHE end to end: weights made zero in rounds and kept so, then the layers that have become linear go."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from labelled import labelled_by, same_output
from secateur import storage
from secateur.budget import Below, Count, Share
from secateur.cli.tomlfile import written
from secateur.depth import Affine
from secateur.errors import SettingsError, UnknownNameError
from secateur.masking import rows_of
from secateur.methods import get
from secateur.pipeline import Progress, compress
from secateur.plan import to_json
from secateur.recipe import Recipe, Stage, from_dict, read, to_dict
from secateur.recovery import Recovery
from secateur.result import Event
from secateur.staging import recipe_of, stages_of
from secateur.stretches import find_layers
from secateur.task import Task

NEPENTHE = get("nepenthe")


pytestmark = pytest.mark.usefixtures("quick")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.act, self.outer = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(self.act(self.norm(self.inner(x))))


def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), *(Block() for _ in range(4)), nn.Linear(6, 3))


TASK = labelled_by(net())


def stages(rounds: int = 2, zeta: float = 0.4, epochs: int = 1) -> tuple[Stage, ...]:
    recovery = Recovery(epochs=epochs, learning_rate=0.02)
    return stages_of(Stage(NEPENTHE, recovery=recovery, fold=False), rounds=rounds, zeta=zeta)


def left(model: nn.Module) -> int:
    """The weights that lead to activations and are not zero."""
    sites = find_layers(model, TASK)
    return sum(int(rows.of(model).count_nonzero()) for parts in rows_of(model, sites).values() for rows in parts)


def test_zeros_grow_by_the_share_in_every_round_and_no_training_fills_them() -> None:
    whole = 4 * 6 * 8
    seen: list[tuple[int, tuple[Tensor, ...]]] = []

    def watch(line: Progress) -> None:
        seen.append((left(line.model), tuple(p.detach() == 0 for p in line.model.parameters() if p.dim() > 1)))

    task = replace(TASK, validation=None)  # so that the last epoch is kept, not the best
    result = compress(net(), task, Recipe(stages(3)[:1]), on_round=watch)
    counts = [whole]
    for _ in range(3):
        counts.append(counts[-1] - round(0.4 * counts[-1]))
    assert [number for number, _ in seen] == counts[1:]
    for (_, before), (_, after) in pairwise(seen):
        assert all(bool(now[then].all()) for then, now in zip(before, after, strict=True))
    assert [len(one.epochs) for one in result.rounds] == [1, 1, 1]
    assert {edit.action for one in result.rounds for edit in one.plan.layers} == {"mask"}
    gave = [int(edit.reason.split()[0]) for edit in result.rounds[0].plan.layers]
    assert sum(gave) == counts[0] - counts[1]
    assert all("of 48 weights became zero" in edit.reason for edit in result.rounds[0].plan.layers)
    assert not any(edit.changes for edit in result.plan.layers)


def test_layers_that_have_become_linear_go_and_nothing_is_lost_with_them(tmp_path: Path) -> None:
    result = compress(net(), TASK, Recipe(stages(2, 0.7, epochs=0)))
    *masked, last = result.rounds
    assert [edit.action for edit in last.plan.layers] == ["affine"] * len(last.plan.layers)
    assert {one.site for one in last.scores if one.scores[0] == 0.0} == {edit.name for edit in last.plan.layers}
    assert 0 < len(last.plan.layers) < 4
    made = [name for name, module in result.model.named_modules() if isinstance(module, Affine)]
    assert made == [edit.name for edit in last.plan.layers]
    before = compress(net(), TASK, Recipe(stages(2, 0.7, epochs=0)[:1])).model
    (x, _), *_ = TASK.train or ()
    torch.testing.assert_close(result.model.eval()(x), before.eval()(x))
    assert len(masked) == 2
    path = tmp_path / "model.safetensors"
    storage.save(result.model, path, plan=result.plan)
    assert same_output(TASK, storage.load(path, build=net), result.model)


def test_a_budget_takes_layers_that_are_not_linear_yet() -> None:
    chosen = stages_of(Stage(NEPENTHE, recovery=None), zeta=0.2, budget=Count(2))
    result = compress(net(), TASK, Recipe(chosen))
    assert sum(edit.action == "affine" for edit in result.plan.layers) == 2


def test_masks_that_lose_too_much_are_undone_and_layers_go_from_what_held() -> None:
    model = net()
    for block in list(model)[1:-1]:
        block.outer.weight.data *= 4.0
    with torch.no_grad():
        batches = [(x, model.eval()(x).argmax(1)) for x, _ in TASK.train or ()]
    task = Task.classification(train=batches, validation=batches)
    masks, last = stages(4, 0.5, epochs=0)
    result = compress(model, task, Recipe((masks, replace(last, budget=Count(1))), max_drop=10.0))
    kept = [one.kept for one in result.rounds]
    assert kept == [True, False, True]
    assert [edit.action for edit in result.rounds[-1].plan.layers] == ["affine"]
    assert left(result.model) + 48 >= 192 - round(0.5 * 192) > left(result.model) - 48
    assert result.original.quality["accuracy"] - result.final.quality["accuracy"] <= 10.0


def test_a_recovery_that_is_interrupted_ends_the_run_also_where_its_masks_lose_too_much() -> None:
    def interrupt(event: Event) -> None:
        if event.doing == "recover" and event.done == 1:
            raise KeyboardInterrupt

    result = compress(net(), TASK, Recipe(stages(2, 0.9), max_drop=-200.0), watch=interrupt)
    assert [one.kept for one in result.rounds] == [False]


def test_a_run_goes_on_after_any_round_to_the_same_end() -> None:
    saved: list[Progress] = []
    chosen = Recipe(stages(2, 0.7))
    whole = compress(net(), TASK, chosen, on_round=saved.append)
    assert len(saved) == 3
    for start in saved:
        found = compress(net(), TASK, chosen, start=start)
        assert same_output(TASK, found.model, whole.model)
        assert to_json(found.plan) == to_json(whole.plan)


def test_protected_activations_lose_no_weights() -> None:
    masks = replace(stages(1, 0.5, epochs=0)[0], protect=("2.*",))
    result = compress(net(), TASK, Recipe((masks,)))
    assert torch.equal(result.model[2].inner.weight, net()[2].inner.weight)
    assert left(result.model) == 192 - 72
    with pytest.raises(UnknownNameError, match="layer to protect"):
        compress(net(), TASK, Recipe((replace(masks, protect=("nowhere",)),)))


def test_nothing_linear_is_said_with_what_to_do() -> None:
    result = compress(net(), TASK, Recipe(stages(1, 0.01, epochs=0)))
    assert any("removes nothing; mask more, or raise the budget" in note for note in result.notes)


def test_a_methods_name_is_both_stages_and_survives_a_file(tmp_path: Path) -> None:
    recipe = recipe_of("nepenthe")
    assert [(one.form, one.budget) for one in recipe.stages] == [("mask", Share(0.5)), ("affine", Below(0.0))]
    assert all(one.recovery is not None and one.recovery.keep_zeros for one in recipe.stages)
    (tmp_path / "recipe.toml").write_text(written(to_dict(recipe)))
    assert to_dict(read(tmp_path / "recipe.toml")) == to_dict(recipe)
    masks, _ = stages_of(Stage(NEPENTHE), rounds=5, zeta=0.3)
    assert masks.zeta == pytest.approx(0.3)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"method": "easier", "become": "mask"}, "become is 'mask', but easier measures no unit alone; use nepenthe"),
        ({"method": "nepenthe", "become": "mask", "count": 3}, "masks take a share of the weights"),
        ({"method": "nepenthe", "become": "mask", "to_the_end": True}, "to_the_end is for layers that go"),
        ({"method": "magnitude", "to_the_end": True}, "to_the_end is for methods of layers"),
        ({"method": "nepenthe", "become": "masks"}, "form that a layer can become.*mask"),
    ],
)
def test_settings_that_do_not_fit_are_refused(data: dict[str, object], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        from_dict({"stage": data})


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"zeta is 1\.5; give the share"):
        stages_of(Stage(NEPENTHE), zeta=1.5)


def test_to_the_end_every_layer_goes_alone_and_every_round_is_kept() -> None:
    end = Stage(get("easier"), recovery=None, become="identity", fold=False, compensate="none", to_the_end=True)
    saved: list[Progress] = []
    result = compress(net(), TASK, Recipe((end,)), on_round=saved.append)
    assert [[edit.action for edit in one.plan.layers] for one in result.rounds] == [["identity"]] * 4
    assert [one.kept for one in result.rounds] == [True] * 4
    assert "no other layer can go" in result.notes[-1]
    for start in saved:
        assert same_output(TASK, compress(net(), TASK, Recipe((end,)), start=start).model, result.model)
