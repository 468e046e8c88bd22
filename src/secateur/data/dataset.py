"""What loading gives: a task, and what a network needs to know about its data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from secateur.data.encoding import Encoding
from secateur.task import Task

Kind = Literal["classification", "regression"]


@dataclass(frozen=True, eq=False)
class Data:
    """A task and its shape: `features` wide going in, `outputs` wide coming out (the classes, or 1).

    What only your own function knows is None. A regression target is standardised on the training part; `target_mean`
    and `target_std` lead back. `rows` counts the rows of each split, `notes` says what was done to the data. For
    images, `image_shape` is channels, height and width; for texts, `vocabulary` is how many tokens a network must know,
    and `tokens` how many a text has at most (None: no limit); for tables, `encoding` leads back from features to
    columns.
    """

    task: Task
    name: str
    kind: Kind | None
    features: int | None
    outputs: int | None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    target_mean: float = 0.0
    target_std: float = 1.0
    image_shape: tuple[int, int, int] | None = None
    vocabulary: int | None = None
    tokens: int | None = None
    encoding: Encoding | None = None

    @property
    def shape(self) -> Mapping[str, int | None]:
        """What a network can be built to: features, outputs, the pixels along a side of images, and known tokens."""
        side = None if self.image_shape is None else self.image_shape[1]
        return {"features": self.features, "outputs": self.outputs, "side": side, "vocabulary": self.vocabulary}

    def in_target_units(self, predictions: Tensor) -> Tensor:
        """Predictions of a regression in the units of the file."""
        return predictions * self.target_std + self.target_mean
