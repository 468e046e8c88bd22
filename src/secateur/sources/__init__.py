"""Where models come from: addresses such as `zoo:mlp`, `hf:DIR`, `torchvision:resnet18`, `mine.py:build`."""

from secateur.sources.addresses import FORMS, filled_in, is_address, parse, runs_code
from secateur.sources.building import (
    build,
    comes_trained,
    cut_already,
    example,
    has_new_head,
    hub_name,
    original,
    weights_with_plan,
)

__all__ = [
    "FORMS",
    "build",
    "comes_trained",
    "cut_already",
    "example",
    "filled_in",
    "has_new_head",
    "hub_name",
    "is_address",
    "original",
    "parse",
    "runs_code",
    "weights_with_plan",
]
