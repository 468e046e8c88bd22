"""Commands whose parameters are groups of options: frozen dataclasses, each field one option."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from secateur.cli.screen import Screen
from secateur.errors import CompressionError, SettingsError
from secateur.processes import launched

Command = Callable[..., None]

REFUSED, INTERRUPTED = 1, 130
SHARED = ("compress", "recover", "demo")  # commands whose work several processes share


def command(run: Command) -> Command:
    """What typer calls for a command: takes every field of the command's groups as an option of its own.

    A group's field may be given only `Annotated` with typer's Option or Argument. What is refused becomes one line on
    stderr and exit code 1, Ctrl-C one line and 130.
    """
    groups = {name: hint for name, hint in get_type_hints(run).items() if name != "return"}

    def call(**given: Any) -> None:
        made = {name: group(**{f.name: given[f.name] for f in fields(group)}) for name, group in groups.items()}
        _guarded(made["screen"], run.__name__, lambda: run(**made))

    options = [_option(field, hint) for group in groups.values() for field, hint in _hinted(group)]
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    call.__annotations__ = {option.name: option.annotation for option in options}
    call.__name__, call.__doc__ = run.__name__, _unwrapped(inspect.getdoc(run) or "")
    return call


def _guarded(screen: Screen, name: str, run: Callable[[], None]) -> None:
    try:
        _check_processes(name)
        run()
    except CompressionError as error:
        if screen.debug:
            raise
        screen.refuse(error)
        raise typer.Exit(REFUSED) from error
    except KeyboardInterrupt as error:
        screen.say(str(error) or "interrupted; nothing was written.")
        raise typer.Exit(INTERRUPTED) from error


def _check_processes(name: str) -> None:
    """Refuse to do in several processes what one of them would do.

    Raises:
        SettingsError: the command is of that kind.
    """
    size = launched()[1]
    if size > 1 and name not in SHARED:
        shared = ", ".join(SHARED)
        raise SettingsError(
            f"secateur {name} works in one process, and {size} were launched; start it without the launcher, which is "
            f"for {shared}."
        )


def _hinted(group: Any) -> list[tuple["Field[Any]", Any]]:
    hints = get_type_hints(group, include_extras=True)
    return [(field, hints[field.name]) for field in fields(group)]


def _option(field: "Field[Any]", hint: Any) -> inspect.Parameter:
    assert get_origin(hint) is Annotated, f"{field.name} needs an Option or Argument"
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if default is MISSING:
        default = inspect.Parameter.empty
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _unwrapped(text: str) -> str:
    """A docstring whose paragraphs are one line each, for typer to wrap, but for an example, which stays as it is."""
    paragraphs = text.split("\n\n")
    return "\n\n".join("\b\n" + p if p.startswith("Example:") else " ".join(p.split("\n")) for p in paragraphs)
