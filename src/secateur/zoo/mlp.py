"""`mlp`: a feed-forward network for tables."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from secateur.errors import SettingsError, UnknownNameError
from secateur.zoo.entry import Entry

ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
NORMS: Mapping[str, type[nn.Module]] = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


@dataclass(frozen=True)
class Settings:
    """How an MLP is built. `skip` adds a hidden layer's input to its output wherever both are hidden and equally wide.

    Raises:
        SettingsError: a setting is outside its range, or no two neighbouring hidden layers are equally wide for `skip`.
    """

    features: int
    outputs: int
    hidden: tuple[int, ...] = (256, 256, 256, 256)
    activation: str = "relu"
    norm: str = "none"
    dropout: float = 0.0
    skip: bool = False

    def __post_init__(self) -> None:
        for name, width in (
            ("features", self.features),
            ("outputs", self.outputs),
            *(("hidden", w) for w in self.hidden),
        ):
            if width < 1:
                raise SettingsError(f"mlp: {name}={width}; a width must be at least 1.")
        if self.activation not in ACTIVATIONS:
            raise UnknownNameError("activation", self.activation, ACTIVATIONS)
        if self.norm not in NORMS:
            raise UnknownNameError("norm", self.norm, NORMS)
        if not 0 <= self.dropout < 1:
            raise SettingsError(f"mlp: dropout={self.dropout}; it must be at least 0 and below 1.")
        if self.skip and not any(self.skips):
            found = f"skip needs two neighbouring hidden layers of equal width, but they are {self.hidden}"
            raise SettingsError(f"mlp: {found}; make two equal, or leave skip out.")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (self.features,)

    @property
    def skips(self) -> tuple[bool, ...]:
        """Which hidden layers add their input to their output."""
        return (False, *(self.skip and before == after for before, after in pairwise(self.hidden)))[: len(self.hidden)]


class MLP(nn.Module):
    """Hidden layers (linear, norm, activation, dropout), then a linear head."""

    def __init__(self, settings: Settings):
        super().__init__()
        widths = (settings.features, *settings.hidden)
        self.layers = nn.ModuleList(_layer(before, after, settings) for before, after in pairwise(widths))
        self.head = nn.Linear(widths[-1], settings.outputs)
        self.skips = settings.skips

    def forward(self, x: Float[Tensor, "rows features"]) -> Float[Tensor, "rows outputs"]:
        """Class scores, or a number for each output."""
        for layer, skip in zip(self.layers, self.skips, strict=True):
            x = x + layer(x) if skip else layer(x)
        return self.head(x)


def _layer(before: int, after: int, settings: Settings) -> nn.Sequential:
    layer: OrderedDict[str, nn.Module] = OrderedDict(linear=nn.Linear(before, after))
    if settings.norm != "none":
        layer["norm"] = NORMS[settings.norm](after)
    layer["activation"] = ACTIVATIONS[settings.activation]()
    if settings.dropout > 0:
        layer["dropout"] = nn.Dropout(settings.dropout)
    return nn.Sequential(layer)


MODELS = {"mlp": Entry(Settings, MLP)}
