"""How long an exported network takes in ONNX Runtime."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from secateur.errors import CompressionError, FileError, SettingsError
from secateur.measurement.latency import check_positive, in_turns, latency_of, milliseconds, of_size
from secateur.result import Latency
from secateur.task import Arguments, tensors_in
from secateur.tracing import Example, arguments_of_example


def measure_onnx_latency(path: str | Path, example: Example, batch_size: int = 1, *, threads: int = 1) -> Latency:
    """How long one call of an exported network takes on the CPU; the example is what the original is called with.

    Raises:
        CompressionError: ONNX Runtime is not installed.
        FileError: the file is missing, or ONNX Runtime refuses it.
        SettingsError: the network takes other inputs or batches, or a number is below 1.
    """
    check_positive(batch_size=batch_size, threads=threads)
    arguments = of_size(arguments_of_example(example), batch_size)
    with _explained(Path(path)) as runtime:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = _feed(session.get_inputs(), arguments, Path(path))
        (times,) = in_turns([lambda: milliseconds(lambda: session.run(None, feed))])
    return replace(latency_of(times, batch_size, threads), engine="onnxruntime")


@contextmanager
def _explained(path: Path) -> Iterator[Any]:
    """ONNX Runtime; what it refuses becomes an error that names the file."""
    try:
        import onnxruntime as runtime
        from onnxruntime.capi import onnxruntime_pybind11_state as refusals
    except ModuleNotFoundError as error:
        raise CompressionError("ONNX Runtime is not installed; pip install secateur[onnx].") from error
    if not path.is_file():
        raise FileError(f"{path}: there is no such file; export the network first, or check the path.")
    try:
        yield runtime
    except (
        refusals.Fail,
        refusals.InvalidArgument,
        refusals.InvalidGraph,
        refusals.InvalidProtobuf,
        refusals.NotImplemented,
        refusals.RuntimeException,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise FileError(f"{path}: ONNX Runtime refuses it: {reason}; export it again, for inputs as given.") from error


def _feed(inputs: list[Any], arguments: Arguments, path: Path) -> dict[str, Any]:
    """The arrays for a network's inputs: by name where the names agree, else in order."""
    tensors = tensors_in(arguments)
    names = [place.name for place in inputs]
    if len(tensors) != len(names):
        raise SettingsError(f"{path}: it takes {len(names)} inputs, the example has {len(tensors)}; give one for each.")
    named = {name: value for name, value in arguments[1].items() if isinstance(value, Tensor)}
    fed = named if set(named) == set(names) else dict(zip(names, tensors, strict=True))
    for place in inputs:
        _check_rows(place, fed[place.name], path)
    # ONNX Runtime would copy what is not contiguous at every call.
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in fed.items()}


def _check_rows(place: Any, tensor: Tensor, path: Path) -> None:
    if place.shape and tensor.dim() and isinstance(place.shape[0], int) and place.shape[0] != len(tensor):
        taken = f"{path}: its input {place.name} takes {place.shape[0]} rows, not {len(tensor)}"
        raise SettingsError(f"{taken}; set batch_size={place.shape[0]}, or export it for any number of rows.")
