"""What others get wrong and we must not: the defects of torch-pruning 1.6.1, each turned into a promise.

Each docstring says what torch-pruning does. Nothing here looks into it: it may mend its ways, we must keep ours.
"""

import copy
import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import secateur as sc
from footprint import untouched

ROWS, FEATURES, HIDDEN, CLASSES, TOKENS, HEADS, HEAD = 6, 5, 10, 4, 7, 3, 4


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU())
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Functional(nn.Module):
    """All weights are bare parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(HIDDEN, FEATURES))
        self.bias = nn.Parameter(torch.randn(HIDDEN))
        self.second = nn.Parameter(torch.randn(CLASSES, HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.first, self.bias).relu(), self.second)


class Tied(nn.Module):
    """A model of words whose decoder is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, HIDDEN)
        self.inner = nn.Linear(HIDDEN, HIDDEN)
        self.decoder = nn.Linear(HIDDEN, 11, bias=False)
        self.decoder.weight = self.embedding.weight

    def forward(self, words: Tensor) -> Tensor:
        return self.decoder(self.inner(self.embedding(words)).relu())


class Attention(nn.Module):
    """Self-attention over three heads of four, fused or written out; it knows the number of heads, or their size."""

    def __init__(self, is_fused: bool = True, counts_heads: bool = False) -> None:
        super().__init__()
        width = HEADS * HEAD
        self.is_fused = is_fused
        self.heads = (HEADS, -1) if counts_heads else (-1, HEAD)
        self.query, self.key, self.value = (nn.Linear(FEATURES, width) for _ in range(3))
        self.out = nn.Linear(width, CLASSES)
        with torch.no_grad():
            self.query.weight *= 5.0
            self.key.weight *= 5.0

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, self.heads).transpose(1, 2) for layer in (self.query, self.key, self.value))
        if self.is_fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-1, -2) / HEAD**0.5).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


def task() -> sc.Task:
    inputs = torch.randn(ROWS, FEATURES)
    return sc.Task.classification(train=[(inputs, torch.arange(ROWS) % CLASSES)])


def halved(model: nn.Module, example: Any) -> nn.Module:
    """A model without the first half of the units of every site, checked."""
    sites = sc.find_sites(model, example)
    plan = sc.plan_of(sites, {site.name: tuple(range(site.units // 2)) for site in sites})
    assert plan.cuts
    return sc.apply(model, plan, verify=True, example=example)


def sizes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in model.named_parameters(remove_duplicate=False)}


def test_no_setting_is_shared_between_calls() -> None:
    """Its constructor's default dicts are filled by one pruner and read by the next."""
    kinds = dict | list | set
    public = [getattr(sc, name) for name in sc.__all__ if callable(getattr(sc, name))]
    for item in (item for item in public if item is not sc.CompressionError):
        defaults = [p.default for p in inspect.signature(item).parameters.values()]
        assert not [default for default in defaults if isinstance(default, kinds)], item
        if dataclasses.is_dataclass(item):
            values = [field.default for field in dataclasses.fields(item)]
            assert not [value for value in values if isinstance(value, kinds)], item


def test_what_one_model_needs_does_not_reach_the_next() -> None:
    """Heads and channel groups found in one model stay in the default dicts and go on into the next model."""
    x = torch.randn(ROWS, FEATURES)
    alone = sc.find_sites(Classifier(), x)
    sc.find_sites(Attention(), torch.randn(ROWS, TOKENS, FEATURES))
    assert sc.find_sites(Classifier(), x) == alone


@pytest.mark.parametrize(("ratio", "left"), [(0.2, 8), (0.5, 5), (0.8, 2)])
def test_a_ratio_is_the_share_removed(ratio: float, left: int) -> None:
    """`manual_prune_width(…, 0.2)` removes 80 %, while `pruning_ratio=0.2` removes 20 %."""
    model, data = Classifier(), task()
    sites = sc.find_sites(model, data)
    scores = sc.score(model, sites, data, "magnitude")
    for budget in (sc.Share(ratio), sc.Share(ratio, of="model")):
        small = sc.apply(model, sc.select(scores, sites, budget))
        assert small.head.in_features == left


def test_modes_are_left_as_found() -> None:
    """It leaves the model in eval mode, so that the fine-tuning after it trains without dropout and statistics."""
    model, data = Classifier().train(), task()
    model.body[1].eval()  # a frozen batch norm
    with untouched(model):
        sites = sc.find_sites(model, data)
        plan = sc.select(sc.score(model, sites, data, "activation_std"), sites, sc.Share(0.5))
        small = sc.apply(model, plan, verify=True, example=data)
    assert [m.training for m in small.modules()] == [m.training for m in model.modules()]
    assert small.training and not small.body[1].training


def test_frozen_layers_stay_frozen() -> None:
    """Every tensor that it cuts becomes a fresh parameter that is trained."""
    model = Classifier()
    model.body.requires_grad_(False)
    small = halved(model, torch.randn(ROWS, FEATURES))
    trained = {name: p.requires_grad for name, p in small.named_parameters()}
    assert trained == {name: p.requires_grad for name, p in model.named_parameters()}
    assert set(trained.values()) == {True, False}


def test_a_frozen_model_is_cut_like_any_other() -> None:
    """It follows gradients, finds none in a frozen model, and does nothing without a word."""
    model, x = Classifier(), torch.randn(ROWS, FEATURES)
    wanted = sizes(halved(model, x))
    frozen = halved(model.requires_grad_(False), x)
    assert sizes(frozen) == wanted
    assert wanted["head.weight"] == (CLASSES, HIDDEN // 2)


def test_tied_weights_stay_tied() -> None:
    """It replaces each of two names by a parameter of its own."""
    model, words = Tied(), torch.arange(22).reshape(2, 11) % 11
    small = halved(model, words)
    assert small.decoder.weight is small.embedding.weight
    assert small.embedding.weight.shape[1] < HIDDEN


def test_bare_parameters_are_cut() -> None:
    """It knows layers only; of a parameter that a function uses it cuts the last axis, or nothing."""
    small = halved(Functional(), torch.randn(ROWS, FEATURES))
    assert sizes(small) == {"first": (5, FEATURES), "bias": (5,), "second": (CLASSES, 5)}


def test_the_classes_stay() -> None:
    """It halves the number of classes unless the user lists the last layer as ignored."""
    model, x = Classifier(), torch.randn(ROWS, FEATURES)
    assert halved(model, x)(x).shape == model(x).shape
    with pytest.raises(sc.CompressionError, match="output"):
        sc.find_sites(nn.Linear(FEATURES, CLASSES), x)


def test_a_cut_model_is_read_back_without_unpickling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saves the whole module as a pickle, which `torch.load(weights_only=True)` refuses."""
    model, x = Classifier().eval(), torch.randn(ROWS, FEATURES)
    sites = sc.find_sites(model, x)
    plan = sc.plan_of(sites, {site.name: (0, 3) for site in sites})
    small = sc.apply(model, plan)
    sc.save(small, tmp_path / "small.safetensors", plan=plan)
    torch.save(small.state_dict(), tmp_path / "small.pth")

    monkeypatch.setattr("pickle.Unpickler", _forbidden)
    monkeypatch.setattr("pickle.loads", _forbidden)
    loaded = sc.load(tmp_path / "small.safetensors", build=Classifier).eval()
    assert type(loaded) is Classifier
    assert torch.equal(loaded(x), small(x))

    monkeypatch.undo()
    fresh = sc.apply(Classifier(), plan)
    fresh.load_state_dict(torch.load(tmp_path / "small.pth", weights_only=True))
    assert torch.equal(fresh.eval()(x), small(x))


def test_fused_attention_is_counted() -> None:
    """Its counter knows matmul and layers, and sees nothing in `scaled_dot_product_attention`."""
    fused, written = (Attention(is_fused) for is_fused in (True, False))
    width = HEADS * HEAD
    layers = TOKENS * (3 * FEATURES * width + width * CLASSES)
    scores = 2 * TOKENS * TOKENS * width  # queries with keys, then weights with values
    for model in (fused, written):
        found = sc.measure(model, _sequences(), latency=False)
        assert (found.macs, found.uncounted) == (layers + scores, ())


def test_latency_is_measured_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """It times with CUDA events, whatever the device: without a GPU there is an error."""
    monkeypatch.setattr("secateur.measurement.latency._SECONDS", 0.02)
    monkeypatch.setattr(torch.cuda, "Event", _forbidden)
    found = sc.measure(Classifier(), task(), batch_sizes=(1,))
    assert found.latency[0].median_ms > 0


@pytest.mark.parametrize("is_fused", [True, False])
def test_a_head_goes_as_a_whole(is_fused: bool) -> None:
    """Without a map of heads it removes units across heads: the cut network runs, with parts of heads put together."""
    model, x = Attention(is_fused), torch.randn(ROWS, TOKENS, FEATURES)
    sites = sc.find_sites(model, x, whole_heads=True)
    site = next(site for site in sites if any(axis.tensor == "value.weight" for axis in site.made_by))
    gone = list(range(HEAD, 2 * HEAD))
    assert site.units == HEADS
    assert list(next(axis for axis in site.made_by if axis.tensor == "value.weight").entries(1)) == gone
    small = sc.apply(model, sc.plan_of(sites, {site.name: (1,)}), verify=True, example=x)
    assert small.out.in_features == (HEADS - 1) * HEAD

    silent = copy.deepcopy(model)
    with torch.no_grad():
        silent.out.weight[:, gone] = 0.0
    torch.testing.assert_close(small(x), silent(x), rtol=1e-5, atol=1e-5)


def test_every_head_loses_as_much_of_its_own() -> None:
    """The same, where the size of a head may change: it takes units from where it likes."""
    model, x = Attention(is_fused=False, counts_heads=True), torch.randn(ROWS, TOKENS, FEATURES)
    sites = sc.find_sites(model, x)
    site = next(site for site in sites if any(axis.tensor == "value.weight" for axis in site.made_by))
    assert (site.units, site.blocks) == (HEADS * HEAD, HEADS)
    gone = [1, HEAD + 3, 2 * HEAD]
    small = sc.apply(model, sc.plan_of(sites, {site.name: tuple(gone)}), verify=True, example=x)
    assert small.out.in_features == HEADS * (HEAD - 1)

    silent = copy.deepcopy(model)
    with torch.no_grad():
        silent.out.weight[:, gone] = 0.0
    torch.testing.assert_close(small(x), silent(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(sc.CompressionError):
        sc.apply(model, sc.plan_of(sites, {site.name: (0, 1, 2)}), verify=True, example=x)


def _sequences() -> sc.Task:
    inputs = torch.randn(ROWS, TOKENS, FEATURES)
    return sc.Task.regression(train=[(inputs, torch.randn(ROWS, TOKENS, CLASSES))])


def _forbidden(*args: Any, **kwargs: Any) -> Callable[..., Any]:
    raise AssertionError(f"must not be used: {args} {kwargs}")
