"""`secateur apply`."""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import alike
from secateur.cli.options import Given
from secateur.cli.screen import Screen
from secateur.cli.tables import lines
from secateur.errors import FileError, PlanError, SettingsError, UnknownNameError
from secateur.plan import Plan, from_json

_option = partial(typer.Option, rich_help_panel="Cut")


@dataclass(frozen=True)
class Cutting:
    """The plan, and what is done about the removed units' work."""

    plan: Annotated[Path, _option(metavar="FILE", help="A file that `secateur plan` wrote.")]
    out: Annotated[Path, _option(metavar="FILE", help="Where the smaller network is written (.safetensors).")] = Path(
        "small.safetensors"
    )
    compensate: Annotated[
        str,
        _option(
            metavar="HOW",
            help="none, mean (into the next bias), least_squares (into the next weights) or reconstruct "
            "(every layer anew).",
        ),
    ] = "reconstruct"
    no_fold: Annotated[bool, alike.no_fold(rich_help_panel="Cut")] = False


def apply(given: Given, cutting: Cutting, screen: Screen) -> None:
    r"""Cut a network by a plan, prove that the cut is exact, and let the units that stay take over.

    The proof: on calibration rows, the smaller network puts out what the original does with the removed units silenced;
    it is kept in the file as a certificate. Compensation comes after it: least squares on the calibration data, without
    labels, each layer's kept only where it helps on rows that it was not fitted to.

    A plan of layers is made true as `secateur compress` does it: lines or operators are fitted to what the layers put
    out on calibration data, the layers behind solved anew, and what has become linear is merged where that is exact.
    There is nothing that such a network should equal; it is measured instead.

    Example:
      secateur apply --model "zoo:mlp?hidden=64,64" --data sklearn:digits \
        --weights trained.safetensors --plan plan.json --out small.safetensors
    """
    from secateur.cli.comparing import proven, refused
    from secateur.cli.opening import opened
    from secateur.compensation import HOWS, repair
    from secateur.places import check_writable
    from secateur.surgery import certified

    if cutting.compensate not in HOWS:
        raise UnknownNameError("compensation", cutting.compensate, HOWS)
    plan = _read(cutting.plan)
    check_writable(cutting.out)
    if plan.chosen:
        _apply_layers(given, cutting, plan, screen)
        return
    with screen.progress("cutting") as bars:
        network, data = opened(given)
        network.warn(bars)
        small, plan = certified(network.model, plan, data.task)
        bars.doing("compensating")
        repaired = repair(small, network.model, plan, data.task, how=cutting.compensate)  # type: ignore[arg-type]
    network.changed(repaired.model, repaired.plan).save(cutting.out)
    certificate = repaired.plan.certificate
    assert certificate is not None  # certified gives one
    counts = {"parameters": [sum(p.numel() for p in model.parameters()) for model in (network.model, repaired.model)]}
    about = {"certificate": asdict(certificate), "folds": [asdict(fold) for fold in repaired.folds], **counts}
    folds = [
        f"{fold.layer}: {fold.used}, error {fold.error_before:.2%} → {fold.error_after:.2%}" for fold in repaired.folds
    ]
    before, after = counts["parameters"]
    screen.show(
        {**about, "out": str(cutting.out)},
        lines(f"{before:,} → {after:,} parameters", [proven([certificate])]),
        lines("Compensation (share of the variance of what each layer put out)", folds or ["none"]),
        lines(f"written: {cutting.out}", refused((1, fold) for fold in repaired.folds)),
    )


def _apply_layers(given: Given, cutting: Cutting, plan: Plan, screen: Screen) -> None:
    """Make the network without the layers that a plan chooses."""
    from secateur.cli.layerplan import made, summary
    from secateur.cli.opening import opened

    if cutting.compensate not in ("none", "reconstruct"):
        raise SettingsError(
            f"{cutting.plan}: removes layers: --compensate is {cutting.compensate!r}; give reconstruct or none."
        )
    with screen.progress("reading") as bars:
        network, data = opened(given)
        network.warn(bars)
        solve, merge = cutting.compensate != "none", not cutting.no_fold
        done = made(network.model, plan, data.task, bars, solve=solve, merge=merge)
    network.changed(done.model, done.plan).save(cutting.out)
    before, after = (sum(p.numel() for p in model.parameters()) for model in (network.model, done.model))
    layers = [{key: value for key, value in asdict(edit).items() if key != "changes"} for edit in done.plan.layers]
    about = {"certificate": None, "layers": layers, "folds": [asdict(fold) for fold in done.folds]}
    screen.show(
        {**about, "parameters": [before, after], "out": str(cutting.out)},
        *summary(done, before, after),
        lines(f"written: {cutting.out}", ()),
    )


def _read(path: Path) -> Plan:
    from secateur.files import reading

    with reading(path) as source:
        try:
            return from_json(source.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise FileError(f"{path}: not a text file ({error}); give what `secateur plan` wrote.") from error
        except PlanError as error:
            raise FileError(f"{path}: {error}") from error
