"""What a process of its own does: it opens model and data by their addresses, and tries one cell after the other."""

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

import torch

from secateur.cli.opening import opened
from secateur.cli.options import Given
from secateur.comparing import Subject, try_cell
from secateur.result import Measurement

READY = "ready"


def serve(given: Given, untouched: Measurement, pipe: Connection) -> None:
    """Try the cells that come through a pipe, until None comes; after `READY`, each is answered with what became of it.

    Ctrl-C is left to the parent, with which this process ends, however that does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    network, data = opened(given)
    subject = Subject(network.model, data.task, untouched)
    pipe.send(READY)
    while (cell := pipe.recv()) is not None:
        pipe.send(try_cell(subject, cell))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # whatever the cell is in the middle of: nobody waits for it any more
