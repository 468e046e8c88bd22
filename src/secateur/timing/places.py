"""Where the tables of operators' times lie."""

import hashlib
import json
import os
import platform
import sys
from pathlib import Path

import torch


def place_of(device: torch.device, threads: int) -> Path:
    """The file of a device's table, in the user's cache folder: one for each machine, torch and number of threads."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    about = (platform.node(), platform.machine(), _processor(), str(device.type), kind, torch.__version__)
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]
    return _cache_folder() / "secateur" / "times" / f"{device.type}-{threads}-{digest}.json"


def _cache_folder() -> Path:
    """Where programs keep what they can make again."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home()))
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def _processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8", errors="replace").splitlines() if told.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
