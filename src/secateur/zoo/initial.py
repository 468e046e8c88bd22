"""Random weights to train from."""

from torch import nn


def initialise_(model: nn.Module) -> None:
    """Draw all convolutions anew, in place, so that ReLUs keep the signal's scale (He et al. 2015); biases are zero.

    Under torch's own weights the signal shrinks layer by layer, and a deep network without norms does not train.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
