"""Tiny models of transformers, built offline from configs, and cuts of them."""

from functools import cache, partial

import torch
import transformers
from torch import nn

from secateur import apply, find_sites, plan_of
from secateur.huggingface import example_of
from secateur.plan import Plan
from secateur.sites import Sites

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 50}
IMAGES = {"image_size": 32, "patch_size": 8}


def bert(kind: type[nn.Module] = transformers.BertForSequenceClassification, **changes: object) -> nn.Module:
    return filled(kind(transformers.BertConfig(**{**SIZES, **changes})))


def llama() -> nn.Module:
    return filled(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)))


def vit() -> nn.Module:
    return filled(transformers.ViTForImageClassification(transformers.ViTConfig(**SIZES, **IMAGES)))


def filled(model: nn.Module) -> nn.Module:
    """The model in eval mode, with no bias at zero and no scale at one."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5)
    return model.eval()


def states_equal(found: nn.Module, wanted: nn.Module) -> bool:
    states = found.state_dict(), wanted.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(t, states[1][name]) for name, t in states[0].items()
    )


def cut(model: nn.Module, *, even: bool) -> tuple[nn.Module, Plan]:
    """The model without some neurons between its layers: as many in each, or one more in every later one."""
    sites = _sites(type(model))
    between = [site.name for site in sites if site.units == SIZES["intermediate_size"]]
    plan = plan_of(sites, {name: tuple(range(8 if even else 8 + number)) for number, name in enumerate(between)})
    return apply(model, plan), plan


@cache  # tracing is slow, and models of one class here have the same sites
def _sites(kind: type[nn.Module]) -> Sites:
    model = {"LlamaForCausalLM": llama, "ViTForImageClassification": vit}.get(kind.__name__, partial(bert, kind))()
    return find_sites(model, example_of(model))
