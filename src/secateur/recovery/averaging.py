"""A running average of a network's weights over the steps of its training, which is often better than the last ones."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(student: nn.Module, decay: float) -> AveragedModel:
    """A copy of the student that follows it step by step: weights and norms' statistics, exponentially averaged.

    A step weighs `1 - decay`, but early ones more, up to nine tenths: a short training would else stay where it began.
    What is not a floating-point number is the student's latest.
    """

    def follow(averages: Sequence[Tensor], latest: Sequence[Tensor], done: Tensor | int) -> None:
        share = max(1.0 - decay, 9.0 / (10.0 + float(done)))
        for average, new in zip(averages, latest, strict=True):
            if average.is_floating_point() or average.is_complex():
                average.lerp_(new, share)
            else:
                average.copy_(new)

    return AveragedModel(student, multi_avg_fn=follow, use_buffers=True)
