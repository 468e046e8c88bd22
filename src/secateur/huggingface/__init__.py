"""Models of the transformers package: folders to save them in and load them from, and example inputs."""

from secateur.huggingface.classes import weights_in
from secateur.huggingface.examples import example_of
from secateur.huggingface.folders import CONFIG, from_pretrained, is_ours, original, save_pretrained, weights_of
from secateur.huggingface.heads import class_names, head_for, is_new_head, known_tokens
from secateur.huggingface.opening import built, opened
from secateur.huggingface.tasks import task_of

__all__ = [
    "CONFIG",
    "built",
    "class_names",
    "example_of",
    "from_pretrained",
    "head_for",
    "is_new_head",
    "is_ours",
    "known_tokens",
    "opened",
    "original",
    "save_pretrained",
    "task_of",
    "weights_in",
    "weights_of",
]
