"""Work done in several processes, as a launcher would start them: forked from a server that has imported everything."""

import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 600.0  # seconds; a hang is a failure
PRELOADED = ["torch._dynamo", "torch.distributed.fsdp", "torch.export", "accelerate", "several_works"]


def in_processes(work: Callable[..., Any], folder: Path, *given: Any, size: int = 2, ending: int = 0) -> list[Any]:
    """What a function of a module gives in every process; what one of them raises is raised here.

    Nothing is waited for from the last `ending` processes, which end without a word.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    found: Any = context.Queue()
    workers = [
        context.Process(target=_worker, args=(work, rank, size, folder, found, given), daemon=True)
        for rank in range(size)
    ]
    for worker in workers:
        worker.start()
    results: dict[int, Any] = {}
    try:
        for _ in workers[: size - ending]:
            rank, result, error = found.get(timeout=PATIENCE)
            assert error is None, error
            results[rank] = pickle.loads(result)  # noqa: S301  # from a process of this test
    finally:
        for worker in workers:
            worker.join(timeout=5.0)
            worker.kill()
    return [results[rank] for rank in range(size - ending)]


def _worker(work: Callable[..., Any], rank: int, size: int, folder: Path, found: Any, given: tuple[Any, ...]) -> None:
    """One process: joins the others by a file, works, and tells."""
    import torch
    import torch.distributed

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
    os.environ |= {"LOCAL_WORLD_SIZE": str(size)}
    torch.distributed.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=size)
    try:
        result = work(*given)
    except Exception:  # noqa: BLE001  # told to the test, which fails
        found.put((rank, None, traceback.format_exc()))
    else:
        found.put((rank, pickle.dumps(result), None))
    torch.distributed.destroy_process_group()
