"""`secateur recover`."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import alike
from secateur.cli.grouping import INTERRUPTED
from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines, table
from secateur.result import Epoch

_TRAINING = "Training"
_option = partial(typer.Option, rich_help_panel=_TRAINING)


@dataclass(frozen=True)
class Training:
    """How to train."""

    out: Annotated[Path, _option(metavar="FILE", help="Where the trained network is written (.safetensors).")] = Path(
        "recovered.safetensors"
    )
    epochs: Annotated[int, _option(help="Passes over the training data.")] = 3
    learning_rate: Annotated[
        float | None, _option(help="Of AdamW; falls to 0 along a cosine.", show_default="1e-3; 5e-5 for hf:")
    ] = None
    patience: Annotated[
        int | None, _option(metavar="EPOCHS", help="Stop after so many epochs without a better validation quality.")
    ] = None
    teacher: Annotated[
        Path | None, _option(metavar="FILE", help="The original's weights: half the loss is then the distance to it.")
    ] = None
    bf16: Annotated[bool, alike.bf16(rich_help_panel=_TRAINING)] = False
    ema_decay: Annotated[float | None, alike.ema_decay(rich_help_panel=_TRAINING)] = None
    temperature: Annotated[float, _option(help="Softens the teacher's class scores.")] = 2.0
    teacher_weight: Annotated[float, _option(help="The teacher's share of the loss; with 1 no labels are used.")] = 0.5


def recover(given: Given, training: Training, screen: Screen) -> None:
    r"""Train a network: after a cut, to recover; or from random weights, to have one to compress.

    The best epoch on the validation data is kept, the network as it came counting as epoch 0, so that training never
    ends worse there than it began. Ctrl-C ends it with the best of the finished epochs, which is written.

    Example:
      secateur recover --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --epochs 20 --out trained.safetensors
      secateur recover --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights small.safetensors --teacher trained.safetensors
    """
    from secateur.cli.opening import network, opened
    from secateur.cli.recipes import rate_of
    from secateur.measurement import size_bytes
    from secateur.places import check_writable
    from secateur.processes import joined
    from secateur.recovery import Recovery, train

    settings = {key: value for key, value in asdict(training).items() if key not in ("out", "teacher", "bf16")}
    settings |= {"mixed_precision": "bf16" if training.bf16 else "no", "ema_decay": training.ema_decay or 0.0}
    settings |= {"learning_rate": rate_of(given, training.learning_rate)}
    recovery = Recovery(**settings, seed=given.seed)
    with joined(cpu=False) as processes, screen.progress("reading") as bars:
        processes.from_main(lambda: check_writable(training.out))
        student, data = processes.jointly(lambda: opened(given))
        student = student.on(processes.device)
        processes.from_main(lambda: check_writable(training.out, size_bytes(student.model)))
        if training.teacher is not None:
            teacher = processes.jointly(lambda: network(given, data, training.teacher)).on(processes.device)
            recovery = Recovery(**settings, seed=given.seed, teacher=teacher.model)
        bars.doing(f"{training.epochs} epochs")
        done = train(student.model, replace(data.task, processes=processes), recovery, watch=bars)
    if done.interrupted and not done.epochs:
        raise KeyboardInterrupt
    if processes.is_main:
        student.changed(done.model).save(training.out)
    epochs = [asdict(epoch) for epoch in done.epochs]
    about = {"epochs": epochs, "best_epoch": done.best_epoch, "interrupted": done.interrupted, "out": str(training.out)}
    screen.show(
        about,
        _table(done.epochs, done.best_epoch, data.task.metric),
        lines(f"written: {training.out}, as after epoch {done.best_epoch}", ()),
    )
    if done.interrupted:
        screen.say(
            f"interrupted after epoch {len(epochs)} of {training.epochs}; {training.out} holds the best of them."
        )
        raise typer.Exit(INTERRUPTED)


def _table(epochs: tuple[Epoch, ...], best: int, metric: str) -> Any:
    from secateur.report import figures

    rows = (
        (
            f"{epoch.epoch}{' *' if epoch.epoch == best else '  '}",
            figures.score(epoch.loss),
            "" if epoch.quality is None else f"{epoch.quality:.2f}",
            figures.score(epoch.learning_rate),
        )
        for epoch in epochs
    )
    columns = ("Epoch", "Loss", f"Validation {metric}", "Learning rate")
    return table("Epochs (* is kept)", columns, rows, numeric=range(4))
