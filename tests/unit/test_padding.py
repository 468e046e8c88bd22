"""Padding never counts: batches padded far and batches of texts of one length give the same scores and folds."""

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, BertModel

from secateur import methods, padding
from secateur.budget import Share, select
from secateur.compensation import Repaired, repair
from secateur.compensation.windows import places_for
from secateur.counting import count
from secateur.finding import find_sites
from secateur.surgery import apply
from secateur.task import Task
from secateur.tracing import trace

Texts = dict[str, Tensor]
LENGTHS = [3, 6, 5, 4, 6, 3, 2, 5, 7, 4, 6, 3]
WATCHING = ["activation_std", "dense", "ocnna", "apoz", "hrank", "obce"]


@pytest.fixture(scope="module")
def bert() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    model = BertModel(config, add_pooling_layer=False).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def task_of(size: int, longest: int = 0, *, left: bool = False) -> Task:
    """The same texts in batches of a size, padded to their longest or further with a token that must not be seen."""
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(10, 50, (length,), generator=generator) for length in LENGTHS]
    batches: list[Texts] = []
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        length = max(longest, *(len(row) for row in some), 0)
        ids, mask = torch.full((len(some), length), 7), torch.zeros(len(some), length, dtype=torch.long)
        for number, row in enumerate(some):
            place = slice(length - len(row), None) if left else slice(len(row))
            ids[number, place], mask[number, place] = row, 1
        batches.append({"input_ids": ids, "attention_mask": mask})
    squares = lambda found, wanted, _: (found[0] - wanted[0]).square().mean()  # noqa: E731
    return Task.of(
        metric="none", loss=lambda *_: torch.zeros(()), sums=lambda *_: torch.zeros(1), quality=lambda _: {"none": 0.0},
        distance=squares, calibration=batches,
    )  # fmt: skip


def labelled(task: Task) -> Task:
    """The texts of a task in two classes, told by their first words."""
    batches = [dict(batch) | {"labels": batch["input_ids"][:, 0] % 2} for batch in task.batches("calibration")]
    return Task.classification(calibration=batches)


ALONE, TOGETHER, FURTHER = task_of(1), task_of(12), task_of(4, 9)


@pytest.mark.parametrize("name", WATCHING)
@pytest.mark.parametrize("whole_heads", [False, True])
def test_scores_of_padded_texts_are_those_of_texts_alone(bert: nn.Module, name: str, whole_heads: bool) -> None:
    method = methods.get(name, place="mean") if name == "obce" else methods.get(name)
    sites = find_sites(bert, TOGETHER, whole_heads=whole_heads)
    alone = methods.score(bert, sites, ALONE, method).values
    for task in (TOGETHER, FURTHER):
        padded = methods.score(bert, sites, task, method).values
        for site in sites:
            torch.testing.assert_close(padded[site.name], alone[site.name], rtol=2e-3, atol=1e-5)


def test_losses_that_see_no_padding_have_no_slopes_there() -> None:
    """`taylor` needs no mask: attention hides padded tokens, so that nothing of them reaches a loss of real ones."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
    model = BertForSequenceClassification(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    sites = find_sites(model, labelled(TOGETHER))
    alone, padded, further = (
        methods.score(model, sites, labelled(task), "taylor").values for task in (ALONE, TOGETHER, FURTHER)
    )
    for site in sites:
        torch.testing.assert_close(padded[site.name], alone[site.name], rtol=1e-3, atol=1e-7)
        torch.testing.assert_close(further[site.name], alone[site.name], rtol=1e-3, atol=1e-7)


def test_what_was_seen_is_what_a_hook_sees_of_real_tokens(bert: nn.Module) -> None:
    sites = find_sites(bert, TOGETHER)
    (name,) = [name for name in sites.names if "intermediate" in name]
    found = methods.score(bert, sites, FURTHER, "activation_std").values[name]
    seen: list[Tensor] = []
    hook = bert.get_submodule(name.removesuffix(".dense")).register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        for batch in FURTHER.batches("calibration"):
            bert(**batch)
            seen[-1] = seen[-1][batch["attention_mask"] == 1]
    hook.remove()
    torch.testing.assert_close(found.float(), torch.cat(seen).std(0, correction=0), rtol=1e-4, atol=1e-6)


def mended(bert: nn.Module, task: Task, how: str) -> Repaired:
    sites = find_sites(bert, TOGETHER)
    protected = [name for name in sites.names if "embeddings" in name]
    plan = select(methods.score(bert, sites, TOGETHER, "chance"), sites, Share(0.5), protect=protected)
    return repair(apply(bert, plan), bert, plan, task, how=how)


@pytest.mark.parametrize("how", ["mean", "least_squares", "reconstruct"])
def test_folds_of_padded_texts_are_those_of_texts_alone(bert: nn.Module, how: str) -> None:
    alone = mended(bert, ALONE, how)
    assert any(fold.used == how for fold in alone.folds)
    for task in (TOGETHER, FURTHER):
        padded = mended(bert, task, how)
        for one, other in zip(padded.folds, alone.folds, strict=True):
            assert (one.layer, one.used) == (other.layer, other.used)
            assert one.error_after == pytest.approx(other.error_after, rel=1e-3)
        for one, other in zip(padded.model.parameters(), alone.model.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("left", [False, True])
def test_drawn_places_are_real_tokens_and_the_same_however_texts_are_padded(left: bool) -> None:
    drawn = []
    for task in (task_of(1, left=left), task_of(12, left=left), task_of(4, 9, left=left)):
        rows: list[tuple[int, int]] = []
        before = 0
        for batch in task.batches("calibration"):
            mask = batch["attention_mask"] == 1
            examples, (places,) = places_for(mask.shape, mask, before=before, total=len(LENGTHS), columns=6)
            assert mask[examples, places].all()
            starts = mask.int().argmax(1)
            rows += zip((examples + before).tolist(), (places - starts[examples]).tolist(), strict=True)
            before += len(mask)
        drawn.append(rows)
    assert drawn[0] == drawn[1] == drawn[2]


@pytest.mark.parametrize("left", [False, True])
def test_few_places_are_drawn_of_long_texts_and_all_of_short_ones(monkeypatch: pytest.MonkeyPatch, left: bool) -> None:
    monkeypatch.setattr("secateur.compensation.windows._ROWS", 4 * len(LENGTHS))
    for task in (task_of(1, left=left), task_of(12, left=left)):
        counts: list[int] = []
        for batch in task.batches("calibration"):
            mask = batch["attention_mask"] == 1
            examples, _ = places_for(mask.shape, mask, before=len(counts), total=len(LENGTHS), columns=6)
            counts += torch.bincount(examples, minlength=len(mask)).tolist()
        assert counts == [min(length, 4) for length in LENGTHS]
    test_drawn_places_are_real_tokens_and_the_same_however_texts_are_padded(left)


def test_a_graph_takes_texts_of_any_length(bert: nn.Module) -> None:
    traced = trace(bert, FURTHER)
    for batch in ALONE.batches("calibration"):
        torch.testing.assert_close(traced.run(((), batch))[0], bert(**batch)[0])


@pytest.mark.parametrize(("rows", "length"), [(2, 6), (3, 3), (4, 2), (2, 3)])
def test_what_a_text_costs_does_not_depend_on_how_many_there_are(bert: nn.Module, rows: int, length: int) -> None:
    ids = torch.full((rows, length), 11)
    found = count(trace(bert, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})).macs
    assert found == length * (4 * 16 * 16 + 2 * 16 * 24 + 2 * length * 16)


TOKENS = torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()


@pytest.mark.parametrize(
    ("shape", "units", "wanted"),
    [
        ((2, 3, 5), (-1,), TOKENS[..., None]),
        ((2, 5, 3), (1,), TOKENS[:, None]),
        ((2, 4, 3, 5), (1, 3), TOKENS[:, None, :, None]),
        ((2, 4, 3, 5), (3,), TOKENS[:, None, :, None].expand(2, 4, 3, 1)),
        ((2, 3, 3, 5), (-1,), TOKENS[:, None, :, None].expand(2, 3, 3, 1)),  # the last axis of that length
        ((6, 5), (1,), TOKENS.reshape(6, 1)),  # examples and tokens as one
        ((2, 5), (1,), None),  # one for each text
        ((1, 3, 5), (-1,), None),  # the same for all texts
        ((2, 4, 5), (-1,), None),  # of something else
    ],
)  # fmt: skip
def test_entries_of_real_tokens_are_found_by_the_axes(
    shape: tuple[int, ...], units: tuple[int, ...], wanted: Tensor | None
) -> None:
    found = padding.seen(TOKENS, shape, units)
    assert (found is None) == (wanted is None)
    assert found is None or wanted is None or torch.equal(found, wanted)
