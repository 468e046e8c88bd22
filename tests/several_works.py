"""What tests do in one process and in several, and compare."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from typer.testing import CliRunner

from commands import DATA, MODEL
from secateur import methods
from secateur.budget import Share
from secateur.cli import resuming, running
from secateur.cli.app import app
from secateur.errors import BudgetError, CompressionError
from secateur.finding import find_sites
from secateur.inference import evaluating
from secateur.measurement import latency
from secateur.pipeline import compress
from secateur.plan import to_json
from secateur.recipe import Recipe, Stage
from secateur.recovery import Recovery, train
from secateur.result import Epoch, Event
from secateur.sharing import check_alike, shared
from secateur.stretches import find_layers
from secateur.task import Task

UNIT_METHODS = ("activation_std", "apoz", "chance", "dense", "hrank", "magnitude", "obce", "ocnna", "taylor")


def network() -> nn.Module:
    """Convolutions and batch norms with statistics of their own; no bias before a norm: its slope is rounding alone."""
    torch.manual_seed(7)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 9, bias=False),
        nn.BatchNorm1d(9),
        nn.ReLU(),
        nn.Linear(9, 3),
    )
    with torch.no_grad():
        for norm in model:
            if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
                norm.running_mean.normal_(0.0, 0.2)
                norm.weight.uniform_(0.5, 1.5)
    return model


def batches(rows: int = 45, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    """Images and classes; the last batch is not full."""
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(rows, 2, 6, 6, generator=generator)
    classes = (images.mean((2, 3)) @ torch.tensor([[3.0, -1.0, 0.5], [-2.0, 4.0, 1.0]])).argmax(1)
    return list(zip(images.split(size), classes.split(size), strict=True))


def task(**splits: Any) -> Task:
    """Classification of the images."""
    return Task.classification(**{"train": batches(), "validation": batches(20, 7), **splits})


def scored() -> dict[str, dict[str, Tensor]]:
    """The scores of all units by many methods, and of layers; and the quality."""
    model = network()
    with shared(task(), torch.device("cpu")) as together:
        sites = find_sites(model, together)
        found = {name: dict(methods.score(model, sites, together, name).values) for name in UNIT_METHODS}
        layers = find_layers(model, together)
        for name in ("easier", "nepenthe", "tlc"):
            found[name] = dict(methods.score(model, layers, together, name).values)
        found["easier by batch"] = dict(
            methods.score(model, layers, together, methods.get("easier", pool="batch")).values
        )
        with evaluating(model) as predict:
            found["quality"] = {k: torch.tensor(v) for k, v in together.evaluate("validation", predict).items()}
    return found


def trained(settings: Recovery, **splits: Any) -> tuple[dict[str, Tensor], tuple[Epoch, ...], int]:
    """A trained network's tensors, the epochs and the best of them."""
    found = train(network(), task(**splits), settings)
    return found.model.state_dict(), found.epochs, found.best_epoch


def all_trained() -> dict[str, Any]:
    """Trainings of many kinds: distilled, with patience, decay and clipping, and with a last batch of one row."""
    torch.manual_seed(0)
    plain = Recovery(epochs=2, learning_rate=3e-3)
    teacher = network()
    return {
        "plain": trained(plain, validation=None),
        "distilled": trained(replace(plain, teacher=teacher, optimizer="sgd", clip=1.0), validation=None),
        "patient": trained(replace(plain, epochs=4, learning_rate=0.05, patience=1)),
        "one row": trained(plain, train=batches(33), validation=None),
        "shuffled": trained(plain, train=loader(), validation=None),
    }


def loader() -> DataLoader[Any]:
    """The same rows, in another order at every reading."""
    images, classes = (torch.cat(part) for part in zip(*batches(), strict=True))
    return DataLoader(TensorDataset(images, classes), batch_size=11, shuffle=True)


def compressed(method: str, rounds: int = 1) -> dict[str, Any]:
    """A run: its plan, network and steps; with several rounds there is training between them."""
    recovery = Recovery(epochs=1) if rounds > 1 else None
    stage = Stage(method=methods.get(method), budget=Share(0.4), rounds=rounds, recovery=recovery)
    told: list[int] = []
    with mock.patch.object(latency, "_SECONDS", 0.01):
        result = compress(
            network(),
            task(),
            Recipe(stages=(stage,)),
            watch=lambda _: told.append(1),
            on_round=lambda _: told.append(2),
        )
    return {
        "plan": to_json(result.plan),
        "tensors": result.model.state_dict(),
        "quality": [step.measurement.quality for step in result.steps],
        "folds": [fold for round_ in result.rounds for fold in round_.folds],
        "told": len(told),
        "latency": [step.measurement.latency for step in result.steps],
    }


def all_compressed() -> dict[str, Any]:
    """Runs of many methods."""
    names = ("activation_std", "magnitude", "ocnna", "obce", "taylor", "chance")
    return {"dense": compressed("dense", rounds=2)} | {name: compressed(name) for name in names}


def refused() -> list[str]:
    """What every process is told where one refuses, where marks differ, and where loaders give each other rows."""
    told: list[str] = []
    with shared(task(), torch.device("cpu")) as together:
        processes = together.processes

        def failing() -> None:
            if processes.rank == 1:
                raise BudgetError("it cannot be met.")

        model = network()
        if processes.rank == 1:
            next(model.parameters()).data.mul_(2.0)
        rows = batches()[processes.rank :]
        other = replace(together, calibration=rows)
        sites = find_sites(model, together)
        for attempt in (
            lambda: processes.each(failing),
            lambda: processes.jointly(failing),
            lambda: check_alike(model, together),
            lambda: methods.score(model, sites, other, "dense"),
        ):
            try:
                attempt()
            except CompressionError as error:
                told.append(f"{type(error).__name__}: {error}")
    images, classes = (torch.cat(part) for part in zip(*batches(), strict=True))
    data = TensorDataset(images, classes)
    parted = DataLoader(data, batch_size=4, sampler=DistributedSampler(data))
    try:
        train(network(), task(train=parted), Recovery(epochs=1))
    except CompressionError as error:
        told.append(f"{type(error).__name__}: {error}")
    return told


def dying() -> str:
    """What the first process is told when the second ends in the middle of a training."""
    steps: list[int] = []

    def loss(output: Tensor, batch: Any) -> Tensor:
        steps.append(1)
        if len(steps) == 3 and torch.distributed.get_rank() == 1:
            os._exit(1)
        return nn.functional.cross_entropy(output, batch[1])

    try:
        train(network(), replace(task(), loss=loss), Recovery(epochs=1))
    except CompressionError as error:
        return str(error)
    return "nothing"


def interrupted() -> tuple[bool, int, dict[str, Tensor]]:
    """A training during whose second epoch Ctrl-C is pressed at one process, twice, as launchers repeat it."""

    def press(event: Event) -> None:
        if event.done in (8, 9):
            os.kill(os.getpid(), signal.SIGINT)

    found = train(network(), task(validation=None), Recovery(epochs=5), watch=press)
    return found.interrupted, len(found.epochs), found.model.state_dict()


def commanded(folder: Path) -> list[tuple[int, str, str]]:
    """Commands: a whole run, one that is ended after a round and goes on, a training, and one for a single process."""
    os.chdir(folder)
    options = (
        "compress",
        *MODEL,
        *DATA,
        "--remove",
        "60%",
        "--recover",
        "2",
        "--rounds",
        "2",
        "--train",
        "1",
        "--json",
    )
    outcomes = [_run(*options, "--out", "whole")]
    real = resuming.save

    def last(progress: Any, *arguments: Any) -> None:
        real(progress, *arguments)
        raise KeyboardInterrupt

    with mock.patch.object(resuming, "save", last):
        outcomes.append(_run(*options, "--out", "again"))
    outcomes.append(_run(*options, "--out", "again", "--resume"))
    outcomes.append(_run("recover", *MODEL, *DATA, "--epochs", "1", "--out", "trained.safetensors"))
    outcomes.append(_run("measure", *MODEL, *DATA))
    return outcomes


def _run(*arguments: str) -> tuple[int, str, str]:
    with (
        mock.patch.object(running, "export_onnx", lambda _, path, __: path.write_bytes(b"ONNX")),
        mock.patch.object(latency, "_SECONDS", 0.01),
    ):
        outcome = CliRunner().invoke(app, arguments, prog_name="secateur")
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome.exit_code, outcome.stdout, outcome.stderr


def everything(folder: Path) -> dict[str, Any]:
    """All of it, in processes that meet once."""
    return {
        "scored": scored(),
        "trained": all_trained(),
        "compressed": all_compressed(),
        "refused": refused(),
        "interrupted": interrupted(),
        "commanded": commanded(folder),
    }
