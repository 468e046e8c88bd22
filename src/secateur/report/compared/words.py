"""What tables and page of a comparison say in the same words."""

from secateur.comparison import Comparison, Spread, Standing, Trial
from secateur.report import figures


def spread(value: Spread) -> str:
    """A mean, with the deviation over seeds where there is one."""
    return f"{value.mean:.2f}" + ("" if value.deviation is None else f" ± {value.deviation:.2f}")


def count(one: Standing) -> str:
    """Over how many seeds the figures are; of how many, where some failed."""
    return str(len(one.trials) - one.failures) + (f" of {len(one.trials)}" if one.failures else "")


def latency(one: Standing) -> str:
    """A latency as a share of the untouched network's."""
    return figures.NOTHING if one.latency is None else figures.percent(round(one.latency, 2))


def in_short(method: str, compensate: str, epochs: int) -> str:
    """What was done, in short: ocnna + reconstruct + 1 epoch."""
    parts = [method]
    parts += [compensate] if compensate != "none" else []
    parts += [figures.plural(epochs, "epoch")] if epochs else []
    return " + ".join(parts)


def failures(found: Comparison) -> list[str]:
    """Why what failed did, what has the same reason together."""
    places: dict[str, list[str]] = {}
    for trial in found.trials:
        if trial.failure:
            places.setdefault(trial.failure, []).append(f"{_cell(trial)} ({trial.cell.budget})")
    return [f"{_several(list(dict.fromkeys(names)))}: {reason}" for reason, names in places.items()]


def _cell(trial: Trial) -> str:
    cell = trial.cell
    return in_short(cell.method, cell.compensate, cell.epochs)


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {figures.plural(len(names) - 1, 'other')}"
