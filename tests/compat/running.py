"""Every judgement in a process of its own: with a time limit, a memory limit and one thread."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
MEMORY_BYTES = 14 * 2**30
LIMIT_S = 120  # processor seconds for what is judged, so that other work on the machine does not count
WHOLE_S = 900  # on the clock, with building the network and checking the result


def ask(judge: str, name: str, whole_s: float = WHOLE_S) -> dict[str, Any]:
    """What a judge (a module here: `judge`, `peer`) says of an architecture; its last word where it was stopped."""
    command = [sys.executable, "-W", "ignore", "-m", f"compat.{judge}", name]
    paths = f"{ROOT / 'src'}:{ROOT / 'tests'}"
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=whole_s, env=environment, cwd=ROOT
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        return _last(said, name) | {"status": "stopped", "error": f"stopped after {whole_s:.0f} s"}
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return _last(done.stdout, name) | {"status": "failed", "error": why}
    return _last(done.stdout, name)


def say(record: dict[str, Any]) -> None:
    """Tell what is known so far; the last word counts."""
    sys.stdout.write("RECORD " + json.dumps(record) + "\n")
    sys.stdout.flush()


def limit_memory() -> None:
    """No more than this process's share; when memory is short all the same, this process goes first."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    Path("/proc/self/oom_score_adj").write_text("1000")


class Seconds:
    """Wall and processor seconds of what was timed."""

    wall = 0.0
    cpu = 0.0


@contextmanager
def timed(limit_s: int = LIMIT_S) -> Iterator[Seconds]:
    """The seconds that what is inside takes; a TimeoutError where it takes more of the processor."""
    seconds = Seconds()
    begun = time.perf_counter(), time.process_time()
    signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield seconds
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds.wall = round(time.perf_counter() - begun[0], 2)
        seconds.cpu = round(time.process_time() - begun[1], 2)


def _stop(number: int, frame: FrameType | None) -> None:
    del number
    place = f" (in {Path(frame.f_code.co_filename).name}, {frame.f_code.co_name})" if frame else ""
    raise TimeoutError(f"not done after {LIMIT_S} s of the processor{place}")


def _last(said: str, name: str) -> dict[str, Any]:
    lines = [line for line in said.splitlines() if line.startswith("RECORD ")]
    record: dict[str, Any] = json.loads(lines[-1].removeprefix("RECORD ")) if lines else {"name": name}
    return record
