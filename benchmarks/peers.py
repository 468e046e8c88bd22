"""What others offer, on the same network, data and split."""

import warnings

import numpy as np
import torch
import torch_pruning
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from torch import nn

from secateur.data import Data
from secateur.task import Split
from secateur.width import copied


def torch_pruned(model: nn.Module, data: Data, share: float) -> nn.Module:
    """The model cut by torch-pruning's group magnitude (L2), the same share of every hidden layer."""
    small = copied(model)
    example = next(data.task.batches("calibration"))[0][:2]
    head = [layer for layer in small.modules() if isinstance(layer, nn.Linear)][-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = torch_pruning.pruner.BasePruner(
            small,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=share,
            ignored_layers=[head],
        )
        pruner.step()
    return small


def boosted_trees(data: Data, seed: int) -> float:
    """The test quality of scikit-learn's gradient-boosted trees with default settings, in points."""
    x, y = _arrays(data, "train")
    x_test, y_test = _arrays(data, "test")
    chosen = HistGradientBoostingClassifier if data.kind == "classification" else HistGradientBoostingRegressor
    return 100.0 * float(chosen(random_state=seed).fit(x, y).score(x_test, y_test))


def _arrays(data: Data, split: Split) -> tuple[np.ndarray, np.ndarray]:
    batches = list(data.task.batches(split))
    inputs, targets = (torch.cat([batch[place] for batch in batches]).numpy() for place in (0, 1))
    return inputs, targets.ravel()
