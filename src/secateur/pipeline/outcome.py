"""The result of a run: its progress, the figures of both ends, the control, the versions."""

import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from torch import nn

from secateur.measurement import measure
from secateur.pipeline.control import inherited, trained_from_scratch, with_test
from secateur.pipeline.progress import Progress, Run
from secateur.recipe import to_dict
from secateur.result import Result
from secateur.sites import Sites


def result_of(line: Progress, run: Run, sites: Sites) -> Result[nn.Module]:
    """What a run found, with the test data looked at for the first and the last network."""
    task, control = run.task, run.recipe.from_scratch
    steps = list(line.steps)
    steps[0] = replace(steps[0], measurement=with_test(run.original, steps[0].measurement, task))
    if len(steps) > 1:
        steps[-1] = replace(steps[-1], measurement=with_test(line.model, measure(line.model, task), task))
    gone = {name: len(units) for name, units in line.plan.removed.items()}
    return Result(
        model=line.model,
        method=", ".join(dict.fromkeys(stage.method.name for stage in run.recipe.stages)),
        metric=task.metric,
        steps=tuple(steps),
        rounds=line.rounds,
        widths={site.name: (site.units, site.units - gone.get(site.name, 0)) for site in sites},
        plan=line.plan,
        controls=(trained_from_scratch(line.model, task, control, run.watch),) if control else (),
        pinned=tuple((pin.name, pin.units, f"{pin.operator}: {pin.reason}") for pin in sites.pinned),
        settings=to_dict(run.recipe),
        versions=_versions(),
        notes=(*line.notes, *(inherited(line.model) if control else ())),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("secateur", "torch", "accelerate", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
