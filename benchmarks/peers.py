"""What others offer, on the same network, data and split."""

import warnings
from fnmatch import fnmatch

import numpy as np
import torch
import torch_pruning
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from torch import nn

from secateur.data import Data
from secateur.task import Split, Task
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


_CRITERIA = {
    "group L2": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=2),
    "group L1": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=1),
    "BN scale": torch_pruning.importance.BNScaleImportance,
    "Taylor": torch_pruning.importance.GroupTaylorImportance,
    "Hessian": torch_pruning.importance.GroupHessianImportance,
}


def torch_pruned_inner(model: nn.Module, task: Task, criterion: str, share: float, inner: str) -> nn.Module:
    """The model cut by one of torch-pruning's criteria, the same share of every convolution whose name fits `inner`."""
    small = copied(model).eval()
    importance = _CRITERIA[criterion]()
    batches = list(task.batches("calibration"))
    others = [
        layer
        for name, layer in small.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and not fnmatch(name, inner)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = torch_pruning.pruner.BasePruner(
            small, batches[0][0][:2], importance=importance, pruning_ratio=share, ignored_layers=others
        )
        if criterion == "Hessian":
            importance.zero_grad()
            for images, labels in batches[:2]:  # it asks for a backward pass for every image
                for loss in nn.functional.cross_entropy(small(images), labels, reduction="none"):
                    small.zero_grad()
                    loss.backward(retain_graph=True)
                    importance.accumulate_grad(small)
        elif criterion == "Taylor":
            for images, labels in batches:
                nn.functional.cross_entropy(small(images), labels).backward()
        pruner.step()
    small.zero_grad()
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
