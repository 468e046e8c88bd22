"""Folders as transformers writes them, for networks that were cut: `save_pretrained` and `from_pretrained`.

`config.json` holds an entry `secateur`: `format`, the model's `class`, and `original`, the values before the cut of
those fields that say how it was cut (none where its layers differ). `model.safetensors` holds the plan.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from secateur import storage
from secateur.errors import FileError, ModelError, PlanError
from secateur.files import reading, replacing
from secateur.huggingface.classes import MISFITS, class_named, config_of, is_exported, package, unfilled
from secateur.huggingface.evenness import computes_the_same, fields_for, shapes_of
from secateur.huggingface.examples import example_of
from secateur.plan import Plan
from secateur.programs import reason_of
from secateur.replay import replay_

CONFIG, WEIGHTS, GENERATION = "config.json", "model.safetensors", "generation_config.json"
FORMAT = 1
_ENTRY = "secateur"
_COPIED = (".json", ".txt", ".model", ".jinja")  # tokenizers, processors, templates; neither weights nor code
_NOT_COPIED = (CONFIG, GENERATION)
_AGAIN = "copy the folder again, or save it anew"


@dataclass(frozen=True)
class _Saved:
    """What `config.json` says: the class, and the config of the network before the cut."""

    kind: Any
    config: Any


def save_pretrained(
    model: nn.Module, folder: str | Path, *, plan: Plan | None = None, source: str | Path | None = None
) -> bool:
    """Write a model of transformers as a folder for `from_pretrained`; gives whether transformers alone reads it too.

    It does where every layer lost the same number of units and the config has a field for that number; else its
    `from_pretrained` refuses the folder for its shapes. Tokenizer and processor files are copied from `source`. The
    folder is made where it is missing; its files are replaced together, or none is.

    Raises:
        ModelError: transformers does not export the model's class, or is not installed.
        PlanError: the plan is missing, or does not lead from the model's config to the model.
        FileError: a place cannot be read or written.
    """
    kind = type(model)
    if not is_exported(kind):
        raise ModelError(f"{kind.__name__}: transformers exports no such model class; use secateur.save.")
    config = _config(model)
    before = _shapes_before(model, config, plan)
    fields = {} if plan is None else fields_for(model, before, config)
    entry = {"format": FORMAT, "class": kind.__name__, "original": {name: config[name] for name in fields or ()}}
    written = {**config, **(fields or {}), "architectures": [kind.__name__], _ENTRY: entry}
    with _made(Path(folder)) as place, replacing(place / CONFIG) as draft:
        for file in _companions(source):
            shutil.copyfile(file, draft.with_name(file.name))
        if model.can_generate():  # type: ignore[operator]
            draft.with_name(GENERATION).write_text(model.generation_config.to_json_string(), encoding="utf-8")  # type: ignore[operator, union-attr]
        storage.save(model, draft.with_name(WEIGHTS), plan=plan, builder=f"transformers.{kind.__name__}")
        draft.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return fields is not None


def from_pretrained(folder: str | Path) -> nn.Module:
    """The model in a folder that `save_pretrained` wrote, of its ordinary class, in eval mode.

    Its config is the one from before the cut.

    Raises:
        FileError: the folder is not such a folder, is damaged, or names a class that transformers does not export.
        ModelError: transformers is not installed.
    """
    saved = _saved(Path(folder))
    model = storage.load(Path(folder) / WEIGHTS, build=lambda: _unfilled(saved, folder))
    if (Path(folder) / GENERATION).is_file():
        model.generation_config = package().GenerationConfig.from_pretrained(folder)
    return model.eval()


def original(folder: str | Path) -> nn.Module:
    """The model of such a folder before the cut, with parameters that have no values.

    Raises:
        FileError, ModelError: as for `from_pretrained`.
    """
    return _unfilled(_saved(Path(folder)), folder)


def is_ours(folder: str | Path) -> bool:
    """Whether a folder is one that `save_pretrained` wrote.

    Raises:
        FileError: its config is damaged.
    """
    return (Path(folder) / CONFIG).is_file() and _ENTRY in _read(Path(folder))


def _config(model: nn.Module) -> dict[str, Any]:
    """The model's config as plain data, without what an earlier folder said about itself."""
    config: dict[str, Any] = json.loads(model.config.to_json_string())  # type: ignore[operator, union-attr]
    config.pop(_ENTRY, None)
    return config | {"dtype": str(model.dtype).removeprefix("torch.")}


def _shapes_before(model: nn.Module, config: Mapping[str, Any], plan: Plan | None) -> Mapping[str, tuple[int, ...]]:
    """The shapes of what the config builds; the plan must lead from there to the model's."""
    place = type(model).__name__
    try:
        built = unfilled(type(model), config_of(type(model), config))
    except MISFITS as error:
        raise ModelError(f"{place}: cannot be built from its config: {reason_of(error)}.") from error
    before = shapes_of(built)
    if plan is not None:
        replay_(built, plan)
    found, wanted = shapes_of(model), shapes_of(built)
    remedy = "give plan=…, what was cut from the model" if plan is None else "give the plan of all cuts, composed"
    odd = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if not odd and not _is_rebuilt(model, built):
        raise PlanError(
            f"{place}: config and plan make a network of these shapes that computes something else; {remedy}."
        )
    if odd:
        sizes = f"{odd[0]}: {found.get(odd[0], 'missing')}, not {wanted.get(odd[0], 'expected')}"
        raise PlanError(f"{place}: {len(odd)} tensors differ from what config and plan make ({sizes}); {remedy}.")
    return before


def _is_rebuilt(model: nn.Module, built: nn.Module) -> bool:
    """Whether what will be loaded computes what the model does, as far as an example of its input is known."""
    try:
        example = example_of(model)
    except ModelError:
        return True
    try:
        return computes_the_same(model, built, example)
    except MISFITS:
        return False


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """The folder, which is taken away again after a failure where it is new."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{folder}: cannot be made: {error.strerror}; choose another place.") from error
    try:
        yield folder
    except BaseException:
        if is_new:
            folder.rmdir()
        raise


def _companions(source: str | Path | None) -> list[Path]:
    """The files beside the weights that go with the model."""
    if source is None:
        return []
    if not Path(source).is_dir():
        raise FileError(f"{source}: there is no such folder; give the one that holds the tokenizer's files.")
    found = (file for file in Path(source).iterdir() if file.is_file() and file.suffix in _COPIED)
    return sorted(file for file in found if file.name not in _NOT_COPIED and not file.name.endswith(".index.json"))


def _read(folder: Path) -> dict[str, Any]:
    with reading(folder / CONFIG) as file:
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise FileError(f"{file}: is no JSON ({reason_of(error)}); {_AGAIN}.") from error
    if not isinstance(config, dict):
        raise FileError(f"{file}: holds a {type(config).__name__}, no config; {_AGAIN}.")
    return config


def _saved(folder: Path) -> _Saved:
    config = _read(folder)
    if _ENTRY not in config:
        remedy = "read it with transformers, or give what secateur.save_pretrained wrote"
        raise FileError(f"{folder}: its config has no entry {_ENTRY!r}, so it is no folder of ours; {remedy}.")
    match config.pop(_ENTRY):
        case {"format": 1, "class": str(name), "original": dict(fields)}:
            kind = class_named(name, str(folder / CONFIG))
        case {"format": int(found)} if found != FORMAT:
            raise FileError(f"{folder}: format {found}, but this version reads format {FORMAT}; update secateur.")
        case _:
            raise FileError(f"{folder / CONFIG}: its entry {_ENTRY!r} is damaged; {_AGAIN}.")
    try:
        return _Saved(kind, config_of(kind, {**config, **fields}))
    except MISFITS as error:
        raise FileError(f"{folder / CONFIG}: is no config of {name}: {reason_of(error)}; {_AGAIN}.") from error


def _unfilled(saved: _Saved, folder: str | Path) -> nn.Module:
    try:
        return unfilled(saved.kind, saved.config)
    except MISFITS as error:
        place = f"{Path(folder) / CONFIG}: {saved.kind.__name__} cannot be built from it"
        raise FileError(f"{place}: {reason_of(error)}; {_AGAIN}.") from error
