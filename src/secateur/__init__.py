"""secateur: trained networks made smaller, with the reason for every cut."""

from secateur import methods
from secateur.budget import Below, Count, Macs, Params, Share, plan_of, select
from secateur.compensation import compensate, repair
from secateur.errors import CompressionError
from secateur.export import export_onnx, export_program
from secateur.measurement import measure
from secateur.methods import score
from secateur.pipeline import compress
from secateur.plan import Plan
from secateur.recipe import Recipe, Stage
from secateur.recovery import Recovery, recover
from secateur.result import Result
from secateur.scores import Scores
from secateur.sites import Sites
from secateur.storage import load, load_weights, save
from secateur.surgery import apply
from secateur.task import Task
from secateur.tracing import find_sites

__all__ = [
    "Below",
    "CompressionError",
    "Count",
    "Macs",
    "Params",
    "Plan",
    "Recipe",
    "Recovery",
    "Result",
    "Scores",
    "Share",
    "Sites",
    "Stage",
    "Task",
    "apply",
    "compensate",
    "compress",
    "export_onnx",
    "export_program",
    "find_sites",
    "load",
    "load_weights",
    "measure",
    "methods",
    "plan_of",
    "recover",
    "repair",
    "save",
    "score",
    "select",
]
