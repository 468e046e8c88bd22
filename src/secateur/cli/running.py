"""A whole run: from addresses and a recipe to a folder with everything in it."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from secateur import report, sources
from secateur.cli import resuming, runfolder
from secateur.cli.firstbudget import check_budget
from secateur.cli.interrupts import noticing_interrupts
from secateur.cli.opening import Network, opened
from secateur.cli.opening import network as read
from secateur.cli.options import RATE, Given
from secateur.cli.recipes import in_words, rate_of
from secateur.cli.resuming import Log
from secateur.cli.runfolder import RunFolder, run_folder
from secateur.cli.screen import Bars, Screen
from secateur.cli.seeking import Wanted, as_data, check_alone, check_study, found_by, reread, shop_for, told
from secateur.cli.tomlfile import written
from secateur.data import Data
from secateur.errors import ExportError, ModelError, PlanError, SettingsError
from secateur.export import export_onnx
from secateur.huggingface import save_pretrained
from secateur.measurement import size_bytes
from secateur.pipeline import Progress, compress
from secateur.places import write_text
from secateur.plan import to_json
from secateur.processes import ALONE, Processes, joined
from secateur.recipe import Recipe, to_dict
from secateur.recipe import read as read_recipe
from secateur.recovery import Recovery, train
from secateur.report.figures import plural
from secateur.result import Result
from secateur.result import to_json as result_to_json
from secateur.searching import Workshop


@dataclass(frozen=True)
class Job:
    """What is to be done; `train` None trains what has no weights, `resume` goes on in `out`.

    With a `goal`, the recipe is only what any network under it is checked with, until the search has found its own.
    """

    given: Given
    recipe: Recipe
    out: Path
    force: bool = False
    train: int | None = None
    resume: bool = False
    learning_rate: float = RATE
    goal: Wanted | None = None  # the recipe is searched for
    shop: Workshop | None = None  # of an earlier search for the same network


@dataclass(frozen=True)
class Search:
    """What there is to tell of a search, in words and as settings of the result; nothing without one."""

    said: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    shop: Workshop | None = None


@dataclass(frozen=True)
class Finished:
    """What a run found, and the files it left."""

    result: Result[Any]
    files: Mapping[str, str]
    interrupted: bool
    shop: Workshop | None = None

    @property
    def data(self) -> dict[str, Any]:
        """All of it as plain data: what `result.json` holds, and the files."""
        return {**json.loads(result_to_json(self.result)), "files": dict(self.files), "interrupted": self.interrupted}


def run(job: Job, screen: Screen) -> Finished:
    """Do a job: train where there are no weights, compress, and write everything.

    Raises:
        CompressionError: something is refused; what was finished before stays in the folder.
        KeyboardInterrupt: Ctrl-C ended it before it had a result; the message says what is there.
    """
    with (
        noticing_interrupts() as pressed,
        joined(cpu=False) as processes,
        run_folder(job.out, force=job.force, processes=processes) as folder,
    ):
        try:
            with screen.progress("reading") as bars:
                network, data = processes.jointly(lambda: _checked(job, folder, processes))
                log = processes.jointly(lambda: _log(network, data, job, folder, bars))
                bars.say(_intent(job))
                trained, note = _trained(network, data, job, log, bars)
                decided, search = _searched(trained, data, job, log, bars)
                result = _compressed(trained, data, decided, log, bars)
                bars.doing("writing")
                result = _described(result, trained, data, decided, (note, *search.said))
                result = replace(result, settings={**result.settings, **search.settings})
                is_interrupted = pressed() or processes.interrupts.pressed
                if folder.writes:
                    result = _all_written(result, trained, data, decided, folder)
                if folder.writes and not is_interrupted:
                    folder.finish()
                return Finished(result, folder.files, is_interrupted, search.shop)
        except KeyboardInterrupt as stop:
            found = ", ".join(folder.files.values())
            raise KeyboardInterrupt(f"interrupted; finished so far: {found or 'nothing'}.") from stop


def _intent(job: Job) -> str:
    """What is going to happen, in one sentence."""
    if job.goal is not None:
        return f"searching for the best network with {job.goal.goal}: {plural(job.goal.trials, 'candidate')}"
    recipe = job.recipe
    done = ", then ".join(in_words(stage) for stage in recipe.stages)
    if recipe.max_drop is None:
        return done
    return f"{done}, as long as validation quality falls by at most {recipe.max_drop:g} of 100 points"


def _checked(job: Job, folder: RunFolder, processes: Processes) -> tuple[Network, Data]:
    """The network and the data, after everything that can be refused before the long work."""
    network, data = opened(job.given)
    if job.goal is not None:
        check_alone(processes)
    network, data = network.on(processes.device), replace(data, task=replace(data.task, processes=processes))
    folder.check_space(size_bytes(network.model))
    if job.recipe.max_drop is not None and data.task.validation is None:
        raise SettingsError(f"{data.name}: has no validation data to judge a drop on; give --remove or another budget.")
    check_budget(network.model, data, job.recipe.stages[0])
    return network, data


def _log(network: Network, data: Data, job: Job, folder: RunFolder, bars: Bars) -> Log:
    """What the run writes down, and where it goes on, if it is to be resumed and a round was finished."""
    run = resuming.run_of(job.given, job.recipe, job.train, network, data)
    run = {**run, "goal": job.goal.data} if job.goal is not None else run
    start = resuming.saved(folder, run) if job.resume else None
    if start is not None:
        bars.say(f"going on after round {start.found.rounds[-1].number}")
    elif job.resume:
        bars.say(f"{job.out}: nothing to resume, since no round was finished; beginning at the start")
    return Log(folder, run, start)


def _trained(network: Network, data: Data, job: Job, log: Log, bars: Bars) -> tuple[Network, str]:
    """The network with weights worth keeping, and what was done for it."""
    epochs = job.train if job.train is not None else network.usual_epochs
    if epochs == 0:
        return network, "" if network.has_weights else "the original has random weights; nothing was trained"
    reason = f"{network.new_head}; " if network.has_new_head else ""
    reason += "no weights were given, so " if job.train is None and not network.has_weights else ""
    note = f"{reason}the original was trained for {plural(epochs, 'epoch')} first ({runfolder.ORIGINAL})"
    processes = data.task.processes
    if log.start is not None:
        return read(job.given, data, log.folder.place(runfolder.ORIGINAL)).on(processes.device), note
    bars.doing(f"training the original for {plural(epochs, 'epoch')}")
    recovery = Recovery(epochs=epochs, learning_rate=job.learning_rate, seed=job.given.seed)
    done = train(network.model, data.task, recovery, watch=bars)
    if done.interrupted and not done.epochs:
        raise KeyboardInterrupt
    network = network.changed(done.model)
    processes.from_main(partial(_original_written, network, job, log.folder))
    if done.interrupted:
        raise KeyboardInterrupt
    return network, note


def _searched(network: Network, data: Data, job: Job, log: Log, bars: Bars) -> tuple[Job, Search]:
    """The job with the recipe that a search found, and what there is to tell of it; the job as it is, without a goal.

    Where the line has begun already, the recipe is the one in the folder.
    """
    if (goal := job.goal) is None:
        return job, Search()
    folder = log.folder
    if log.start is not None:
        job = replace(job, recipe=read_recipe(folder.path / runfolder.RECIPE))
        return job, Search(("the recipe was found by a search",), reread(folder.path / runfolder.SEARCH))
    shop = job.shop or shop_for(goal, network.model, data.task, bars)
    shop.bench = replace(shop.bench, watch=bars)
    check_study(goal, shop, job.given.seed)  # before the folder loses what an earlier run left
    _begin(job, folder)
    found = found_by(goal, shop, folder.place(runfolder.STUDY), job.given.seed)
    job = replace(job, recipe=found.recipe)
    write_text(folder.place(runfolder.RECIPE), _recipe_text(job))
    settings = {"search": as_data(found, goal.goal)}
    write_text(folder.place(runfolder.SEARCH), json.dumps(settings, indent=1))
    return job, Search(tuple(told(found)), settings, shop)


def _begin(job: Job, folder: RunFolder) -> None:
    """Take the folder over; what a search has tried stays for the one that goes on with it."""
    folder.begin(_recipe_text(job), keep=(runfolder.STUDY,) if job.goal is not None and job.resume else ())


def _original_written(network: Network, job: Job, folder: RunFolder) -> None:
    _begin(job, folder)
    network.save(folder.place(runfolder.ORIGINAL))


def _compressed(network: Network, data: Data, job: Job, log: Log, bars: Bars) -> Result[nn.Module]:
    """The result; the network after every kept round is written at once, and how far the run has come."""
    latest = network
    if log.start is not None:
        latest = read(job.given, data, log.start.network).on(data.task.processes.device)
    start = None if log.start is None else log.start.progress(latest.model)
    total = sum(stage.rounds for stage in job.recipe.stages)
    is_open = any(stage.to_the_end for stage in job.recipe.stages)

    def show(done: int) -> None:
        whole = done + 1 if is_open else total
        bars.doing(f"round {done + 1}{'' if is_open else f' of {total}'}" if done < whole else "measuring", done, whole)

    def on_round(progress: Progress) -> None:
        nonlocal latest
        one = progress.rounds[-1]
        latest = latest.changed(progress.model, one.plan)
        _begin(job, log.folder)
        latest.save(log.folder.place_of_round(one.number))
        if not progress.is_over:  # an interrupted round is done anew
            resuming.save(progress, log.run, log.folder)
        show(one.number)

    show(len(start.rounds) if start else 0)
    return compress(network.model, data.task, job.recipe, watch=bars, on_round=on_round, start=start)


def _described(result: Result[Any], network: Network, data: Data, job: Job, said: Sequence[str]) -> Result[Any]:
    """The result with what only the command line knows: addresses, training, and notes about the data."""
    given = job.given
    weights = str(given.weights) if given.weights else None
    about: dict[str, Any] = {"model": network.builder, "weights": weights, "data": given.data}
    about |= {"seed": given.seed, "batch_size": given.batch_size}
    notes = tuple(note for note in said if note)
    return replace(
        result,
        settings={**about, **result.settings},
        notes=(*(f"data: {text}" for text in data.notes), *notes, *result.notes),
    )


def _all_written(result: Result[Any], network: Network, data: Data, job: Job, folder: RunFolder) -> Result[Any]:
    """Write what a run folder holds; gives the result with a note where ONNX had to be left out."""
    _begin(job, folder)
    task = replace(data.task, processes=ALONE)  # the others need not wait
    final = network.changed(result.model, result.plan if result.plan.removed or result.plan.layers else None)
    result = _saved(final, result, folder)
    write_text(folder.place(runfolder.PLAN), to_json(final.plan or result.plan))
    try:
        export_onnx(result.model, folder.place(runfolder.ONNX), task)
    except ExportError as error:
        result = replace(result, notes=(*result.notes, f"{runfolder.ONNX} was not written: {error}"))
    text = result_to_json(result)
    write_text(folder.place(runfolder.RESULT), text)
    report.write(text, folder.place(runfolder.REPORT))
    return result


def _saved(final: Network, result: Result[Any], folder: RunFolder) -> Result[Any]:
    """Write the network: of transformers as a folder that `from_pretrained` loads, with the tokenizer's files."""
    place, name = folder.place(runfolder.MODEL), sources.hub_name(final.builder)
    if name is None:
        final.save(place)
        return result
    try:
        source = name if Path(name).is_dir() else None
        save_pretrained(final.model, folder.path, plan=final.plan, source=source)
        folder.place(runfolder.CONFIG)
    except (ModelError, PlanError) as error:
        final.save(place)
        result = replace(result, notes=(*result.notes, f"the folder is none of transformers: {error}"))
    return result


def _recipe_text(job: Job) -> str:
    """The recipe as TOML, below the command that repeats the run."""
    given = job.given
    words = ["secateur", "compress", "--recipe", runfolder.RECIPE, "--seed", str(given.seed)]
    words += ["--data", given.data] if given.data else []
    words += ["--model", given.model] if given.model else []
    words += ["--weights", str(given.weights)] if given.weights else []
    words += ["--batch-size", str(given.batch_size)]
    words += ["--train", str(job.train)] if job.train is not None else []
    words += ["--learning-rate", f"{job.learning_rate:g}"] if job.learning_rate != rate_of(given, None) else []
    again = "".join(letter for letter in shlex.join(words) if letter.isprintable())
    return f"# {again} --out FOLDER\n{written(to_dict(job.recipe))}"
