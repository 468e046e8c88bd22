"""The result of a run: its progress, the figures of both ends, the control, the versions."""

import platform
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from torch import nn

from secateur.diagram import blocks_of
from secateur.measurement import compare_latency, measure
from secateur.pipeline.clocks import told
from secateur.pipeline.control import inherited, trained_from_scratch, with_test
from secateur.pipeline.progress import Progress, Run
from secateur.recipe import to_dict
from secateur.result import Block, Result, Step
from secateur.sites import Sites
from secateur.tracing import trace

BATCH_SIZES = (1, 32)  # that both ends are timed with
_LINEAR = ("affine", "identity", "on_off")  # what an activation becomes that is no longer one


def result_of(line: Progress, run: Run, sites: Sites) -> Result[nn.Module]:
    """What a run found, with the first and the last network timed, and tested."""
    task, control = run.task, run.recipe.from_scratch
    gone = {name: len(units) for name, units in line.plan.removed.items()}
    return Result(
        model=line.model,
        method=", ".join(dict.fromkeys(stage.method.name for stage in run.recipe.stages)),
        metric=task.metric,
        steps=_timed(line, run),
        rounds=line.rounds,
        widths={site.name: (site.units, site.units - gone.get(site.name, 0)) for site in sites},
        plan=line.plan,
        controls=(trained_from_scratch(line.model, task, control, run.watch),) if control else (),
        pinned=tuple((pin.name, pin.units, f"{pin.operator}: {pin.reason}") for pin in sites.pinned),
        settings=to_dict(run.recipe),
        versions=versions(),
        notes=(
            *line.notes,
            *told(run.clocks, run.original, line.model, task),
            *(inherited(line.model) if control else ()),
        ),
        blocks=_blocks(line, run),
    )


def _blocks(line: Progress, run: Run) -> tuple[Block, ...]:
    """The original's layers, and what is left of them."""
    linear = {edit.name for edit in line.plan.layers if edit.action in _LINEAR}
    return blocks_of(trace(run.original, run.task), trace(line.model, run.task), linear)


def _timed(line: Progress, run: Run) -> tuple[Step, ...]:
    """The steps; the first and the last are tested, and timed in turns: other work may have come or gone between."""
    first, *others = line.steps
    ends = [(run.original, first.measurement)]
    if others:
        ends.append((line.model, measure(line.model, run.task, latency=False)))
    models = [model for model, _ in ends]
    by_size = run.task.processes.from_main(lambda: [compare_latency(models, run.task, size) for size in BATCH_SIZES])
    times = zip(*by_size, strict=True)
    found = [
        with_test(model, replace(measured, latency=latency), run.task)
        for (model, measured), latency in zip(ends, times, strict=True)
    ]
    last = [replace(step, measurement=found[-1]) for step in others[-1:]]
    return (replace(first, measurement=found[0]), *others[:-1], *last)


def versions() -> dict[str, str]:
    """The versions of what a result depends on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("secateur", "torch", "accelerate", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
