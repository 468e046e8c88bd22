"""Small networks to start from, built by name: `build("mlp", features=20, outputs=3)`."""

from secateur.zoo.registry import build, names, parse

__all__ = ["build", "names", "parse"]
