"""Ctrl-C that was taken care of, noticed all the same."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noticing_interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: training catches it and ends with what is finished, but the command must say so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a script: it shall go on
        yield lambda: False
        return
    pressed: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
