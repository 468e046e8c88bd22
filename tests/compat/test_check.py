"""The check itself: it passes a right cut, and sees heads that were put together from parts."""

import copy
import importlib

import pytest
import torch
import torch_pruning as tp
from torch import nn

from compat.catalogue import words
from compat.judge import difference
from compat.peer import Losses
from compat.sight import open_eyes_
from compat.silence import silenced


def tiny_bert() -> nn.Module:
    transformers = importlib.import_module("transformers")
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(0)
    return transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=1000, **sizes)).eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("knows_heads", [True, False])
def test_the_check_passes_whole_heads_and_sees_scrambled_ones(knows_heads: bool) -> None:
    model, example = tiny_bert(), words()
    open_eyes_(model, example)
    original, losses = copy.deepcopy(model), Losses(model)
    attending = [m for name, m in model.named_modules() if name.rpartition(".")[2] in ("query", "key", "value")]
    pruner = tp.pruner.BasePruner(
        model,
        example,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[model.classifier],
        num_heads=dict.fromkeys(attending, 4) if knows_heads else {},
        out_channel_groups={},
        in_channel_groups={},
    )
    for group in pruner.step(interactive=True):
        losses.note(group, pruner.DG)
        group.prune()
    for module in model.modules():  # as its examples do by hand
        if type(module).__name__ == "BertSelfAttention":
            module.attention_head_size = module.query.out_features // 4
            module.all_head_size = module.query.out_features
    found = difference(model, silenced(original, losses.masks), example)
    assert not losses.unknown
    assert found < 1e-5 if knows_heads else found > 1e-3
