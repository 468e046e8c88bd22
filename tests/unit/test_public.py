"""The public names: few, the same everywhere, and quick to import."""

import subprocess
import sys

import pytest

import secateur

NAMES = [
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


def test_the_public_names_are_these_and_no_others() -> None:
    assert secateur.__all__ == NAMES
    assert dir(secateur) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert (getattr(secateur, name).__doc__ or "").strip()


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="prune"):
        secateur.prune  # noqa: B018


def test_importing_does_not_wait_for_torch() -> None:
    code = "import sys, secateur; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
