"""Texts as tokens, as the tokenizer in a model's folder makes them."""

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from secateur.data.texts.written import Texts
from secateur.errors import DataError, SettingsError
from secateur.programs import quiet, reason_of

# what transformers raises for a folder without a tokenizer, or with a damaged one
_MISFITS = (AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)
_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "*.model", "tekken.json")
_NO_LIMIT = 10**9  # tokenizers that know none say a number above
_OFFSET = ("roberta", "camembert", "mpnet", "esm", "longformer")  # models that count positions from behind the padding
_CHUNK = 1_000  # texts that are tokenised at once to be counted


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """A tokenizer of transformers, and the most tokens that a text may have; None is no limit."""

    inner: Any
    limit: int | None
    name: str

    @property
    def vocabulary(self) -> int:
        """How many tokens a model must know: one more than the highest number that can come up."""
        return max(self.inner.get_vocab().values(), default=-1) + 1

    def __call__(self, texts: Texts, rows: Sequence[int]) -> dict[str, Int64[Tensor, "rows tokens"]]:
        """The tokens of some rows, padded to the longest of them, and a mask; what is too long is cut off."""
        columns = _chosen(texts, rows)
        return dict(
            self.inner(
                *columns, padding=True, truncation=self.limit is not None, max_length=self.limit, return_tensors="pt"
            )
        )

    def count_long(self, texts: Texts, rows: Sequence[int]) -> int:
        """How many of the rows are longer than the limit."""
        if self.limit is None:
            return 0
        limit = self.limit
        # But for a few, tokens stand for a byte at least; half the limit leaves room for more of those than there are.
        suspects = [row for row in rows if sum(len(column[row].encode()) for column in texts.columns) > limit // 2]
        long = 0
        for start in range(0, len(suspects), _CHUNK):
            with quiet():  # which warns of long texts
                tokens = self.inner(*_chosen(texts, suspects[start : start + _CHUNK]))["input_ids"]
            long += sum(len(row) > limit for row in tokens)
        return long


def opened(name: str, max_length: int | None) -> Tokenizer:
    """The tokenizer in a folder, or of a model that is in the hub's cache; code that comes with it is never run.

    Raises:
        DataError: there is none, or it cannot be read.
        SettingsError: `max_length` is more than the model has positions for.
    """
    transformers = _package()
    folder = Path(name)
    if folder.is_dir() and not any(next(folder.glob(file), None) for file in _FILES):
        raise DataError(
            f"{name}: holds no tokenizer ({', '.join(_FILES[:4])}); copy its files there, or write tokenizer=DIR "
            "behind the data."
        )
    try:
        with quiet():
            inner = transformers.AutoTokenizer.from_pretrained(name, local_files_only=True, trust_remote_code=False)
    except _MISFITS as error:
        remedy = "copy its files again" if folder.is_dir() else "there is no such folder, nor is it in the hub's cache"
        raise DataError(f"tokenizer of {name}: cannot be read ({reason_of(error)}); {remedy}.") from error
    if inner.pad_token is None:
        inner.pad_token = inner.eos_token or inner.unk_token  # the mask hides it
    if inner.pad_token is None:
        raise DataError(f"tokenizer of {name}: has no padding token; name one in its tokenizer_config.json.")
    return Tokenizer(inner, _limit(name, int(inner.model_max_length), max_length), name)


def _limit(name: str, said: int, wanted: int | None) -> int | None:
    known = [limit for limit in (said if said < _NO_LIMIT else None, _positions(Path(name))) if limit is not None]
    most = min(known, default=None)
    if wanted is not None and most is not None and wanted > most:
        raise SettingsError(f"max_length={wanted}, but {name} takes {most} tokens at most; give {most} or less.")
    return most if wanted is None else wanted


def _positions(folder: Path) -> int | None:
    """The most tokens that the model in a folder has positions for, as far as its config says."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        positions = config.get("max_position_embeddings", config.get("n_positions"))
        padding = config.get("pad_token_id")
    except (OSError, ValueError):
        return None  # whoever opens the model says what is wrong
    if not isinstance(positions, int):
        return None
    is_offset = any(word in str(config.get("model_type")) for word in _OFFSET)
    return positions - (int(padding or 0) + 1 if is_offset else 0)


def _chosen(texts: Texts, rows: Sequence[int]) -> list[list[str]]:
    return [[column[row] for row in rows] for column in texts.columns]


def _package() -> Any:
    try:
        with quiet():
            return importlib.import_module("transformers")
    except ImportError as error:
        raise DataError(
            f"transformers cannot be imported ({error}); pip install 'secateur[text]' to read texts."
        ) from error
