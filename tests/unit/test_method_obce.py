"""`obce` on encoders of text, beside what hooks see."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2ForSequenceClassification

from secateur import methods
from secateur.errors import DataError
from secateur.finding import find_sites
from secateur.task import Task

Texts = dict[str, Tensor]


@pytest.fixture(scope="module")
def bert() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
    return BertForSequenceClassification(config).eval()


def texts(lengths: list[int], longest: int, *, left: bool = False) -> list[Texts]:
    """Batches of two texts each, padded with other tokens, which must not be seen."""
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(50, (length,), generator=generator) for length in lengths]
    batches = []
    for pair in zip(rows[::2], rows[1::2], strict=True):
        ids, mask = torch.full((2, longest), 7), torch.zeros(2, longest, dtype=torch.long)
        for row, (text, seen) in zip(pair, zip(ids, mask, strict=True), strict=True):
            place = slice(-len(row), None) if left else slice(None, len(row))
            text[place], seen[place] = row, 1
        batches.append({"input_ids": ids, "attention_mask": mask})
    return batches


def task_of(batches: list[Texts]) -> Task:
    return Task.classification(calibration=[{**batch, "labels": torch.zeros(2, dtype=torch.long)} for batch in batches])


LENGTHS = [3, 6, 5, 4, 6, 3, 2, 5]


def test_scores_are_the_largest_gaps_between_outputs_at_cls(bert: nn.Module) -> None:
    task = task_of(texts(LENGTHS, 6))
    scores = methods.score(bert, find_sites(bert, task), task, "obce").values
    name = "bert.encoder.layer.1"
    seen: dict[str, list[Tensor]] = {"query": [], "key": [], "intermediate": []}
    layer = bert.get_submodule(name)
    places = {"query": layer.attention.self.query, "key": layer.attention.self.key, "intermediate": layer.intermediate}
    hooks = [
        module.register_forward_hook(lambda _, __, output, part=part: seen[part].append(output[:, 0].detach()))
        for part, module in places.items()
    ]
    for batch in texts(LENGTHS, 6):
        bert(**batch)
    for hook in hooks:
        hook.remove()
    gaps = {part: np.diff(np.sort(torch.cat(rows).double().numpy(), 0), axis=0).max(0) for part, rows in seen.items()}
    np.testing.assert_allclose(scores[f"{name}.intermediate.dense"].numpy(), gaps["intermediate"], rtol=1e-4)
    both = (gaps["query"] + gaps["key"]) / 2
    np.testing.assert_allclose(scores[f"{name}.attention.self.query"].numpy(), both, rtol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"place": "first"}, {"place": "mean"}, {"place": "last"}, {"place": "last", "positions": 2, "summary": "total"}],
)
def test_more_padding_changes_nothing(bert: nn.Module, settings: dict[str, object]) -> None:
    sites = find_sites(bert, task_of(texts(LENGTHS, 6)))
    method = methods.get("obce", **settings)
    short, long = (methods.score(bert, sites, task_of(texts(LENGTHS, longest)), method).values for longest in (6, 9))
    for site in sites:
        torch.testing.assert_close(long[site.name], short[site.name], rtol=1e-3, atol=1e-5)


def test_the_last_token_of_a_text_padded_on_the_left() -> None:
    torch.manual_seed(0)
    gpt = GPT2ForSequenceClassification(
        GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=16, pad_token_id=7, use_cache=False)
    ).eval()
    batches = texts([4] * 6, 4)
    task = task_of(batches)
    sites = find_sites(gpt, task)
    scores = methods.score(gpt, sites, task, methods.get("obce", place="last")).values
    seen: list[Tensor] = []
    hook = gpt.transformer.h[0].mlp.act.register_forward_hook(lambda _, __, output: seen.append(output[:, -1].detach()))
    for batch in batches:
        gpt(**batch)
    hook.remove()
    gaps = np.diff(np.sort(torch.cat(seen).double().numpy(), 0), axis=0).max(0)
    inner = next(site for site in sites if "mlp" in site.name)
    np.testing.assert_allclose(scores[inner.name].numpy(), gaps, rtol=1e-4)


def test_texts_with_too_few_tokens_are_left_out_and_none_is_an_error(bert: nn.Module) -> None:
    task = task_of(texts([2, 2, 2, 2], 6))
    sites = find_sites(bert, task)
    with pytest.raises(DataError, match="fewer positions"):
        methods.score(bert, sites, task, methods.get("obce", positions=3))


def test_quartiles_score_as_percentiles(bert: nn.Module) -> None:
    task = task_of(texts(LENGTHS, 6))
    sites = find_sites(bert, task)
    found = methods.score_all(bert, sites, task, [methods.get("obce"), methods.get("pbce")])
    for site in sites:
        assert torch.equal(found["obce"].values[site.name], found["pbce"].values[site.name])


def test_at_cls_the_first_attention_sees_one_point_and_the_mean_of_tokens_does_not(bert: nn.Module) -> None:
    batches = texts([4] * 8, 4)
    for batch in batches:
        batch["input_ids"][:, 0] = 3  # [CLS]
    task = task_of(batches)
    sites = find_sites(bert, task)
    name = "bert.encoder.layer.0.attention.self.query"
    assert not methods.score(bert, sites, task, "obce").values[name].any()
    assert methods.score(bert, sites, task, methods.get("obce", place="mean")).values[name].all()
