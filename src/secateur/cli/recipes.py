"""From options to a method, a budget and a recipe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer

from secateur import methods
from secateur.budget import Below, Budget, Count, Latency, Macs, Params, Share
from secateur.budget.written import BUDGETS, budget_of
from secateur.cli.opening import hub_name
from secateur.cli.options import (
    DROP,
    MOST,
    MOST_ROUNDS,
    RATE,
    RECOVERED,
    TRAINED,
    TUNING_RATE,
    Amount,
    Choice,
    Given,
    Loop,
)
from secateur.errors import SettingsError, UnknownNameError
from secateur.recipe import Recipe, Stage, read
from secateur.recovery import Recovery
from secateur.report.figures import plural
from secateur.scores import Masking, Method
from secateur.staging import ZETA, stages_of

DEFAULT_METHOD = "dense"
_SWITCHES = {"true": True, "false": False, "1": True, "0": False}
_READERS: Mapping[Any, tuple[Callable[[str], Any], str]] = {
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (_SWITCHES.__getitem__, "true or false"),
}
_NAMES = {name: f"--{name}" for name in BUDGETS} | {"share": "--remove"}


def recipe_of(given: Given, choice: Choice, amount: Amount, loop: Loop) -> Recipe:
    """The recipe in a file, or of the options; without a budget, as much goes as holds.

    Raises:
        CompressionError: a setting is unknown or out of range.
    """
    if loop.recipe is not None:
        _check_alone(choice, amount, loop)
        recipe = read(loop.recipe)
    else:
        recipe = _of_options(_stage(given, choice, loop), budget_from(amount), loop)
    if loop.max_drop is not None:
        recipe = replace(recipe, max_drop=loop.max_drop)
    if loop.from_scratch:
        rate = rate_of(given, loop.learning_rate)
        recipe = replace(
            recipe, from_scratch=Recovery(epochs=loop.train or TRAINED, learning_rate=rate, seed=given.seed)
        )
    return recipe


def _of_options(stage: Stage, budget: Budget | None, loop: Loop) -> Recipe:
    """The recipe of a stage and a budget, or of what ends it instead."""
    is_masking = isinstance(stage.method, Masking) and stage.form != "mask"
    if loop.zeta is not None and not (is_masking and not loop.to_the_end):
        raise typer.BadParameter("--zeta is for nepenthe, which makes weights zero before layers go.")
    if loop.to_the_end:
        if budget is not None or loop.rounds is not None or loop.max_drop is not None:
            raise typer.BadParameter("--to-the-end has no other end; leave out budget, --rounds and --max-drop.")
        return Recipe((replace(stage, to_the_end=True),))
    if is_masking:
        return _with_masks(stage, budget, loop)
    return as_much_as_holds(stage, loop.rounds) if budget is None else Recipe((replace(stage, budget=budget),))


def _with_masks(stage: Stage, budget: Budget | None, loop: Loop) -> Recipe:
    """Masks in rounds, as long as the validation quality holds where there is no budget; then layers go."""
    if loop.compensate not in (None, "none"):
        raise typer.BadParameter(
            f"--compensate {loop.compensate} would fill zeros of {stage.method.name}; leave it out."
        )
    rounds = loop.rounds or (MOST_ROUNDS if budget is None else 1)
    zeta = ZETA if loop.zeta is None else loop.zeta
    return Recipe(stages_of(stage, rounds=rounds, zeta=zeta, budget=budget), DROP if budget is None else None)


def as_much_as_holds(stage: Stage, rounds: int | None = None) -> Recipe:
    """Round after round, as long as the validation quality holds."""
    return Recipe((replace(stage, budget=Share(MOST), rounds=rounds or MOST_ROUNDS),), max_drop=DROP)


def rate_of(given: Given, wanted: float | None) -> float:
    """The learning rate that is wanted, or the usual one: higher ones undo what models of transformers have learned.

    Raises:
        CompressionError: the model's address is none, or its weights cannot be read.
    """
    if wanted is not None:
        return wanted
    return RATE if hub_name(given) is None else TUNING_RATE


def method_of(choice: Choice) -> Method:
    """The method that was chosen, with its settings.

    Raises:
        UnknownNameError: no such method or setting.
        SettingsError: a setting is not written as NAME=VALUE, or its value is not one.
    """
    name = choice.method or DEFAULT_METHOD
    return methods.get(name, **_settings(methods.get(name), choice.set))


def budget_from(amount: Amount) -> Budget | None:
    """The budget that was given, if one was.

    Raises:
        SettingsError: the amount is none, or out of range.
    """
    settings = {
        "share": amount.remove,
        "count": amount.count,
        "below": amount.below,
        "params": amount.params,
        "macs": amount.macs,
        "latency": amount.latency,
    }
    given = [_NAMES[name] for name, value in settings.items() if value is not None]
    if len(given) > 1:
        raise typer.BadParameter(f"give only one of {' and '.join(given)}.")
    for name, needed, extra in (
        ("--of", "--remove", amount.of),
        ("--relative", "--below", amount.relative),
        ("--latency-rows", "--latency", amount.latency_rows is not None),
        ("--latency-threads", "--latency", amount.latency_threads is not None),
    ):
        if extra and given != [needed]:
            raise typer.BadParameter(f"{name} goes with {needed}.")
    try:
        beside = {"batch_size": amount.latency_rows, "threads": amount.latency_threads}
        return budget_of({**settings, **beside, "of": amount.of, "relative": amount.relative})
    except SettingsError as error:
        raise SettingsError(f"{given[0]}: {error}") from error


def in_words(stage: Stage) -> str:
    """What a stage does."""
    how = f"by {stage.method.name} in {plural(stage.rounds, 'round')}"
    if stage.form == "mask":
        return f"making {_amount(stage)} zero {how}"
    if stage.to_the_end:
        return f"removing {_layers(stage)} by {stage.method.name}, one a round, until none is left"
    return f"removing {_amount(stage)} {how}"


def _amount(stage: Stage) -> str:
    """What a stage's budget asks for."""
    if stage.method.granularity == "layer":
        return _of_layers(stage)
    match stage.budget:
        case Share(ratio, of):
            return f"{_share(ratio)} of the units of " + ("every site" if of == "site" else "the model")
        case Count(units):
            return f"{units:,} units of every site" if isinstance(units, int) else f"{sum(units.values()):,} units"
        case Below(threshold, relative):
            return f"units with scores up to {threshold:g}" + (" of the site's largest" if relative else "")
        case Params(limit):
            return f"units until {_share(limit)} of the parameters are left"
        case Macs(limit):
            return f"units until {_share(limit)} of the multiply-adds are left"
        case Latency(limit, unit):
            return f"units until a call takes {_share(limit) + ' of the time' if unit == 'x' else f'{limit:g} ms'}"


def _of_layers(stage: Stage) -> str:
    what = _layers(stage)
    match stage.budget:
        case Share(ratio):
            return f"{_share(ratio)} of the {what}"
        case Count(int() as number):
            return f"{number} of the {what}"
        case Below(threshold):
            return f"{what} with scores up to {threshold:g}"
        case Macs(limit):
            return f"{what} until {_share(limit)} of the multiply-adds are left"
    return f"{what} under {stage.budget}"


def _layers(stage: Stage) -> str:
    if stage.form == "mask":
        return "weights that lead to activations"
    what = "stretches of layers" if stage.form in ("collapse", "drop") else "activations"
    return f"{what} (each to {stage.form})"


def _share(amount: float | int) -> str:
    return f"{amount:,}" if isinstance(amount, int) else f"{100 * amount:.4g}%"


def _settings(method: Method, written: Sequence[str]) -> dict[str, Any]:
    known: Mapping[str, Any] = {f.name: None for f in fields(method)}  # type: ignore[arg-type]
    hints = get_type_hints(type(method))
    settings: dict[str, Any] = {}
    for text in written:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"--set {text!r}: write NAME=VALUE, such as --set measure=weighted.")
        settings[name] = _value(value, hints[name], f"{method.name}: {name}") if name in known else value
    return settings


def _value(text: str, hint: Any, place: str) -> Any:
    """The value of a setting of a type, from text."""
    if get_origin(hint) is Literal:
        options = {str(option): option for option in get_args(hint)}
        if text not in options:
            raise UnknownNameError(f"value of {place.replace(': ', ' ')}", text, options)
        return options[text]
    read, wanted = _READERS.get(hint, (str, "text"))
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        raise SettingsError(f"{place}={text!r}: it must be {wanted}.") from error


def _check_alone(choice: Choice, amount: Amount, loop: Loop) -> None:
    """Refuse what the recipe's stages say themselves."""
    whole = asdict(choice) | asdict(amount) | asdict(loop)
    beside = ("recipe", "max_drop", "train", "from_scratch", "learning_rate")
    written = [name for name, value in whole.items() if value is not None and value is not False and value != []]
    given = [f"--{name.replace('_', '-')}" for name in written if name not in beside]
    if given:
        raise typer.BadParameter(f"--recipe says this itself; leave out {' and '.join(given)}.")


def _stage(given: Given, choice: Choice, loop: Loop) -> Stage:
    epochs = RECOVERED if loop.recover is None else loop.recover
    return Stage(
        method=method_of(choice),
        rounds=1 if loop.rounds is None else loop.rounds,
        compensate=loop.compensate or "reconstruct",  # type: ignore[arg-type]
        recovery=Recovery(
            epochs=epochs,
            learning_rate=rate_of(given, loop.learning_rate),
            seed=given.seed,
            mixed_precision="bf16" if loop.bf16 else "no",
            ema_decay=loop.ema_decay or 0.0,
        ),
        protect=tuple(loop.protect),
        one_by_one=loop.one_by_one,
        stability=loop.stability,
        multiple_of=1 if loop.multiple_of is None else loop.multiple_of,
        become=loop.become,  # type: ignore[arg-type]
        fold=not loop.no_fold,
    )
