"""Models of the transformers package: folders to save them in and load them from, and example inputs."""

from secateur.huggingface.examples import example_of
from secateur.huggingface.folders import WEIGHTS, from_pretrained, is_ours, original, save_pretrained
from secateur.huggingface.opening import built, has_weights, opened

__all__ = [
    "WEIGHTS",
    "built",
    "example_of",
    "from_pretrained",
    "has_weights",
    "is_ours",
    "opened",
    "original",
    "save_pretrained",
]
