"""What a method's name stands for: the stages of its recipe."""

from dataclasses import replace
from pathlib import Path

from secateur import methods
from secateur.budget import Below, Budget, Share
from secateur.errors import SettingsError
from secateur.recipe import Recipe, Stage, read
from secateur.scores import Masking

ZETA = 0.5  # of the weights left, in each round of masks: the paper's for ResNet-18


def recipe_of(recipe: "Recipe | str | Path") -> Recipe:
    """The recipe that is meant: itself, a method's name, or a TOML file."""
    match recipe:
        case Recipe():
            return recipe
        case str() if not recipe.endswith(".toml"):
            return Recipe(stages_of(Stage(method=methods.get(recipe))))
    return read(Path(recipe))


def stages_of(stage: Stage, *, rounds: int = 1, zeta: float = ZETA, budget: Budget | None = None) -> tuple[Stage, ...]:
    """The stages of one method's recipe: its own; with `nepenthe`, masks before it.

    In each round of masks the share zeta of the weights left becomes zero, which recovery keeps. The stage itself then
    takes the layers that have become linear, those of score 0, or what `budget` asks for, and solves nothing anew.

    Raises:
        SettingsError: zeta is not a share.
    """
    if stage.become == "mask" or not isinstance(stage.method, Masking):
        return (stage,)
    if not 0.0 < zeta < 1.0:
        raise SettingsError(f"zeta is {zeta:g}; give the share of the weights left that a round makes zero, below 1.")
    recovery = None if stage.recovery is None else replace(stage.recovery, keep_zeros=True)
    last = replace(stage, budget=budget or Below(0.0), rounds=1, compensate="none", recovery=recovery)
    masks = replace(last, budget=Share(1.0 - (1.0 - zeta) ** rounds), rounds=rounds, become="mask")
    return masks, last
