"""Model addresses taken apart: `SOURCE:NAME?option=value`, and `FILE.py:FUNCTION`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from secateur import huggingface, zoo
from secateur.data import query
from secateur.errors import SettingsError, UnknownNameError
from secateur.sources.libraries import Library

FORMS = (
    "zoo:NAME?option=value",
    "hf:DIR-or-ID",
    "torchvision:NAME?option=value",
    "timm:NAME?option=value",
    "FILE.py:FUNCTION",
)
_SCHEMES = ("zoo", "hf", "torchvision", "timm")
_CLASS, _OUTPUTS = "class", "outputs"


@dataclass(frozen=True)
class FromZoo:
    """A model of the zoo, and its options as written."""

    name: str
    options: dict[str, str]


@dataclass(frozen=True)
class FromHub:
    """A model of transformers: a folder, or a name on the hub; its class and outputs where the address names them."""

    name: str
    kind: str | None = None
    outputs: int | None = None


@dataclass(frozen=True)
class FromLibrary:
    """A model of torchvision or timm, and its options as written."""

    library: Library
    name: str
    options: dict[str, str]


@dataclass(frozen=True)
class FromFile:
    """A function in a Python file that makes a model."""

    path: Path
    function: str


Address = FromZoo | FromHub | FromLibrary | FromFile


def parse(address: str) -> Address:
    """What an address names.

    Raises:
        UnknownNameError: there is no such kind of address, no such model, or no such option.
        SettingsError: the address is incomplete, or an option is.
    """
    scheme, colon, rest = address.partition(":")
    path, _, function = address.rpartition(":")
    match scheme:
        case "zoo" if rest:
            name, options = zoo.parse(rest)
            return FromZoo(name, dict(options))
        case "hf" if rest:
            return _from_hub(rest)
        case "torchvision" | "timm" if rest:
            return FromLibrary(scheme, *_options(address, rest))
    if path.endswith(".py") and function:
        return FromFile(Path(path), function)
    if scheme in _SCHEMES or address.removesuffix(":").endswith(".py"):
        raise SettingsError(f"{address!r} is incomplete; write {', '.join(FORMS[:-1])} or {FORMS[-1]}.")
    raise UnknownNameError("model address", f"{scheme}:" if colon else address, FORMS)


def filled_in(address: str, shape: Mapping[str, int | None]) -> str:
    """The address with what the data knows where the model asks and the address is silent.

    The data may know `features`, `outputs`, and of images the pixels along a `side`, which choose the form of a network
    that there is for several data sets. Those that know a `vocabulary` are texts, for which models of transformers get
    a head where they have none.
    """
    match parse(address):
        case FromZoo(name, options):
            found: dict[str, str | int | None] = dict(known(shape))
            found["data"] = None if shape.get("side") is None else zoo.form_for(name, shape["side"] or 0)
            asked = [key for key in zoo.options_of(name) if key not in options and found.get(key) is not None]
            written = options | {key: str(found[key]) for key in asked}
            tail = "&".join(f"{key}={quote(value, safe=',')}" for key, value in written.items())
            return f"zoo:{name}?{tail}" if tail else f"zoo:{name}"
        case FromHub(name, kind, None) if shape.get("vocabulary") and not huggingface.is_ours(name):
            outputs = shape.get("outputs")
            written = {} if outputs is None else huggingface.head_for(name, kind, outputs)
            tail = "&".join(f"{key}={value}" for key, value in (({_CLASS: kind} if kind else {}) | written).items())
            return f"hf:{name}?{tail}" if written else address
    return address


def is_address(text: str) -> bool:
    """Whether a text begins as an address does, so that it is no path of a file with weights."""
    return text.partition(":")[0] in _SCHEMES or text.rpartition(":")[0].endswith(".py")


def runs_code(address: str) -> bool:
    """Whether building the model runs code of a file."""
    return isinstance(parse(address), FromFile)


def known(shape: Mapping[str, int | None]) -> dict[str, int]:
    """What is known of a shape."""
    return {key: size for key, size in shape.items() if size is not None}


def _from_hub(rest: str) -> FromHub:
    name, options = _options(f"hf:{rest}", rest)
    for option in options:
        if option not in (_CLASS, _OUTPUTS):
            raise UnknownNameError("option of hf:", option, [_CLASS, _OUTPUTS])
    return FromHub(name, options.get(_CLASS), query.whole("hf", options, _OUTPUTS, 1))


def _options(address: str, rest: str) -> tuple[str, dict[str, str]]:
    name, _, query = rest.partition("?")
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        option, equals, value = part.partition("=")
        if not equals or not value or option in options:
            found = "is given twice" if option in options else "has no value"
            raise SettingsError(f"{address}: {option} {found}; write {option}=VALUE once.")
        options[option] = unquote(value)
    return name, options
