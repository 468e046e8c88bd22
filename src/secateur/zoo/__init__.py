"""Networks to start from, built by name: `build("mlp", features=20, outputs=3)`, `build("resnet20")`."""

from secateur.zoo.registry import build, example, form_for, names, options_of, parse

__all__ = ["build", "example", "form_for", "names", "options_of", "parse"]
