"""secateur: trained networks made smaller, with the reason for every cut.

Names are imported when they are first used: `import secateur` and the command line's help do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur import methods
    from secateur.budget import Below, Count, Latency, Macs, Params, Share, plan_of, select, select_layers
    from secateur.comparing import Grid, compare
    from secateur.comparison import Comparison
    from secateur.compensation import compensate, repair
    from secateur.continuity import remap_average, remap_optimizer, remap_scheduler
    from secateur.errors import CompressionError
    from secateur.explaining import explain
    from secateur.export import export_onnx, export_program
    from secateur.finding import find_sites
    from secateur.folding import fold
    from secateur.halves import stability
    from secateur.huggingface import from_pretrained, save_pretrained
    from secateur.judging import judge
    from secateur.measurement import measure
    from secateur.methods import score
    from secateur.pipeline import Progress, compress
    from secateur.plan import Plan
    from secateur.pricing import price_layers
    from secateur.recipe import Recipe, Stage
    from secateur.recovery import Recovery, recover
    from secateur.replacing import replace_layers
    from secateur.result import Result
    from secateur.scores import Scores
    from secateur.searching import Goal, search
    from secateur.sites import Sites
    from secateur.storage import load, load_weights, save
    from secateur.stretches import find_layers
    from secateur.surgery import apply
    from secateur.task import Task

__all__ = [
    "Below",
    "Comparison",
    "CompressionError",
    "Count",
    "Goal",
    "Grid",
    "Latency",
    "Macs",
    "Params",
    "Plan",
    "Progress",
    "Recipe",
    "Recovery",
    "Result",
    "Scores",
    "Share",
    "Sites",
    "Stage",
    "Task",
    "apply",
    "compare",
    "compensate",
    "compress",
    "explain",
    "export_onnx",
    "export_program",
    "find_layers",
    "find_sites",
    "fold",
    "from_pretrained",
    "judge",
    "load",
    "load_weights",
    "measure",
    "methods",
    "plan_of",
    "price_layers",
    "recover",
    "remap_average",
    "remap_optimizer",
    "remap_scheduler",
    "repair",
    "replace_layers",
    "save",
    "save_pretrained",
    "score",
    "search",
    "select",
    "select_layers",
    "stability",
]

_HOMES = {
    "budget": ("Below", "Count", "Latency", "Macs", "Params", "Share", "plan_of", "select", "select_layers"),
    "comparing": ("Grid", "compare"),
    "comparison": ("Comparison",),
    "compensation": ("compensate", "repair"),
    "continuity": ("remap_average", "remap_optimizer", "remap_scheduler"),
    "errors": ("CompressionError",),
    "explaining": ("explain",),
    "export": ("export_onnx", "export_program"),
    "halves": ("stability",),
    "huggingface": ("from_pretrained", "save_pretrained"),
    "judging": ("judge",),
    "measurement": ("measure",),
    "methods": ("methods", "score"),
    "pipeline": ("Progress", "compress"),
    "plan": ("Plan",),
    "pricing": ("price_layers",),
    "recipe": ("Recipe", "Stage"),
    "recovery": ("Recovery", "recover"),
    "result": ("Result",),
    "scores": ("Scores",),
    "searching": ("Goal", "search"),
    "sites": ("Sites",),
    "storage": ("load", "load_weights", "save"),
    "surgery": ("apply",),
    "task": ("Task",),
    "finding": ("find_sites",),
    "folding": ("fold",),
    "replacing": ("replace_layers",),
    "stretches": ("find_layers",),
}


def __getattr__(name: str) -> Any:
    """A public name, from the module that it lives in."""
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'secateur' has no attribute {name!r}")
    module = import_module(f"secateur.{home}")
    return module if name == home else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
