"""Cuts after cuts, over convolutions and attention: again, in any order, in one plan, and from disk, bit for bit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
import transformers
from torch import nn

import secateur as sc
from fuzz.cuts import drawn_units, families
from fuzz.networks import inputs, network_of, randomise_, recipe_from
from hub_models import IMAGES, SIZES
from secateur import zoo
from secateur.composing import compose
from secateur.huggingface import example_of
from secateur.plan import Plan, from_json, to_json
from secateur.sites import Sites
from secateur.width import tensors_of

Net = tuple[nn.Module, Any]
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 16}


def of_zoo(name: str, **options: Any) -> Net:
    return zoo.build(name, outputs=3, **options), zoo.example(name, outputs=3, **options)


def of_hub(kind: type[nn.Module], config: Any) -> Net:
    model = kind(config)
    return model, example_of(model)


def of_fuzz(line: str) -> Net:
    recipe = recipe_from(line)
    return network_of(recipe), inputs(recipe.start, 3)


NETS: dict[str, Callable[[], Net]] = {
    "resnet": partial(of_zoo, "resnet20", shortcut="B"),
    "densenet": partial(of_zoo, "densenet", depth=13, growth=4),
    "groups": partial(of_fuzz, "72/0 planes dense.352 conv_kept.999 conv_grouped.331 conv_separable.3"),
    "bert": lambda: of_hub(transformers.BertForSequenceClassification, transformers.BertConfig(**SIZES)),
    "gpt2": lambda: of_hub(transformers.GPT2LMHeadModel, transformers.GPT2Config(**GPT)),
    "vit": lambda: of_hub(transformers.ViTForImageClassification, transformers.ViTConfig(**SIZES, **IMAGES)),
}
EVERY = pytest.mark.parametrize("name", NETS)


def built(name: str) -> tuple[nn.Module, Any, Sites]:
    """A network with weights that can be told apart, its example and its sites."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model, example = NETS[name]()
        randomise_(model.eval(), 4.0)
    return model, example, sc.find_sites(model, example)


def halves(sites: Sites) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """A third of the units of every other site (with its twins), and of the rest."""
    some = [{site: site.steps // 3 or 1 for site in family} for family in families(sites) if family[0].steps > 1]
    removed = [
        {
            site.name: [b * site.steps + n for b in range(site.blocks) for n in range(count)]
            for site, count in one.items()
        }
        for one in some
    ]
    first, second = ({name: units for one in removed[start::2] for name, units in one.items()} for start in (0, 1))
    return first, second


def assert_same(found: nn.Module, wanted: nn.Module) -> None:
    """Fail unless two networks have the same tensors, bit for bit, and the same attributes."""
    ours, theirs = tensors_of(found), tensors_of(wanted)
    assert list(ours) == list(theirs)
    assert [name for name, tensor in theirs.items() if not torch.equal(ours[name], tensor)] == []
    assert repr(found) == repr(wanted)
    for one, other in zip(found.modules(), wanted.modules(), strict=True):
        assert numbers(one) == numbers(other)


def numbers(module: nn.Module) -> dict[str, int]:
    return {name: value for name, value in vars(module).items() if type(value) is int}


@EVERY
def test_disjoint_plans_commute_bit_for_bit(name: str) -> None:
    model, example, sites = built(name)
    first, second = halves(sites)
    assert first and second
    both = sc.apply(model, sc.plan_of(sites, first | second), verify=True, example=example)
    one, other = sc.plan_of(sites, first), sc.plan_of(sites, second)
    for before, after, later in ((one, other, second), (other, one, first)):
        between = sc.apply(model, before)
        if not axes_of(before) & axes_of(after):  # else entries are numbered anew, as units of a concatenation are
            assert_same(sc.apply(between, after), both)
        again = sc.plan_of(sc.find_sites(between, example), later)
        assert_same(sc.apply(between, again), both)
        assert_same(sc.apply(model, compose(before, again)), both)


def axes_of(plan: Plan) -> set[tuple[str, int]]:
    return {(cut.tensor, cut.axis) for cut in plan.cuts}


@EVERY
def test_a_cut_network_is_cut_again_and_both_plans_are_one(name: str) -> None:
    model, example, sites = built(name)
    plans, small = [], model
    for seed in range(3):
        plan = sc.plan_of(sites, drawn_units(sites, Random(seed)))
        small = sc.apply(small, plan, verify=True, example=example)
        sites = sc.find_sites(small, example)
        plans.append(plan)
    assert_same(sc.apply(model, compose(compose(plans[0], plans[1]), plans[2])), small)


@EVERY
def test_a_plan_from_disk_gives_the_same_network_bit_for_bit(name: str, tmp_path: Path) -> None:
    model, example, sites = built(name)
    plan = sc.plan_of(sites, drawn_units(sites, Random(11)))
    (tmp_path / "plan.json").write_text(to_json(plan))
    read = from_json((tmp_path / "plan.json").read_text())
    assert read == plan
    assert_same(sc.apply(model, read), sc.apply(model, plan, verify=True, example=example))
