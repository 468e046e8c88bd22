"""A channel of ones, for a bias that must end where the data end."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Ones(nn.Module):
    """Appends a channel of ones; `axes` follow the channels' one.

    A convolution that pads its input with zeros reads from it where the data end: its weights there are a bias that
    counts inside alone.
    """

    def __init__(self, axes: int):
        super().__init__()
        self.axes = axes

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*more"]:
        """The input with one channel more."""
        return F.pad(x, (0, 0) * self.axes + (0, 1), value=1.0)

    def extra_repr(self) -> str:
        """What it was built with."""
        return f"axes={self.axes}"
