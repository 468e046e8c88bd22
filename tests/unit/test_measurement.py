"""What a measurement promises: parameters, multiply-adds, bytes, quality."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from measured import batches, net
from secateur.errors import DataError, ModelError, UnknownNameError
from secateur.measurement import measure, size_bytes
from secateur.task import Task

pytestmark = pytest.mark.usefixtures("quick")


def test_parameters_and_multiply_adds_are_those_of_the_formula() -> None:
    found = measure(net(), Task.classification(train=batches()), latency=False)
    assert found.parameters == (4 * 8 + 8) + (8 + 8) + 8 * 3
    assert found.macs == 4 * 8 + 8 * 3
    assert found.macs_by_operator == {"linear": found.macs}
    assert found.peak_activation_bytes == 4 * (4 + 8 + 8)  # into the norm; later ones are smaller
    assert found.uncounted == ()
    assert found.latency == ()


def test_multiply_adds_that_are_not_counted_are_named() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x[:, None])[0][:, 0])

    found = measure(Recurrent(), Task.classification(train=batches()), latency=False)
    assert (found.macs, found.uncounted) == (8 * 3, ("gru",))


def test_tied_parameters_count_once_and_work_twice() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    found = measure(model, Task.regression(train=[(torch.randn(5, 4), torch.randn(5, 4))]), latency=False)
    assert found.parameters == 16 + 4 + 4
    assert found.macs == 2 * 16


def test_size_is_that_of_the_file_that_safetensors_writes(tmp_path: Path) -> None:
    model = net()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "plain")
    assert size_bytes(model) == (tmp_path / "plain").stat().st_size

    tied = nn.Sequential(nn.Linear(40, 40), nn.Linear(40, 40))
    tied[1].weight = tied[0].weight
    once = {name: value for name, value in tied.state_dict().items() if name != "1.weight"}
    safetensors.torch.save_file(once, tmp_path / "tied")
    assert size_bytes(tied) == (tmp_path / "tied").stat().st_size


def test_size_counts_memory_that_different_tensors_share_for_each() -> None:
    def model(left: Tensor, right: Tensor) -> nn.Module:
        found = nn.Module()
        found.register_buffer("left", left)
        found.register_buffer("right", right)
        return found

    whole = torch.zeros(6, 4)
    assert size_bytes(model(whole[:3], whole[3:])) == size_bytes(model(torch.zeros(3, 4), torch.ones(3, 4)))
    assert size_bytes(model(whole.t(), whole[:0])) == size_bytes(model(torch.zeros(4, 6), torch.zeros(0, 4)))


def test_a_model_without_state_has_the_size_of_an_empty_file(tmp_path: Path) -> None:
    safetensors.torch.save_file({}, tmp_path / "empty")
    assert size_bytes(nn.Flatten()) == (tmp_path / "empty").stat().st_size


def test_quality_is_that_of_the_asked_split_in_eval_mode() -> None:
    model = net().train()
    task = Task.classification(train=batches(), validation=batches(), test=batches(16))
    found = measure(model, task, split="test", latency=False).quality
    assert model.training
    model.eval()
    hits = torch.cat([model(inputs).argmax(1) == targets for inputs, targets in task.test or ()])
    assert found == {"accuracy": pytest.approx(100.0 * hits.double().mean().item())}


def test_a_split_that_the_task_lacks_has_no_quality() -> None:
    task = Task.classification(train=batches())
    assert measure(net(), task, latency=False).quality == {}
    assert measure(net(), task, split="test", latency=False).quality == {}
    assert measure(net(), task, split="calibration", latency=False).quality.keys() == {"accuracy"}


def test_the_measured_split_serves_as_example_where_there_is_no_other_data() -> None:
    found = measure(net(), Task.classification(test=batches()), split="test", batch_sizes=(3,))
    assert (found.macs, found.latency[0].batch_size) == (4 * 8 + 8 * 3, 3)
    assert found.quality.keys() == {"accuracy"}


def test_a_task_without_data_cannot_be_measured_on() -> None:
    with pytest.raises(DataError, match="no calibration data"):
        measure(net(), Task.classification(), latency=False)


def test_a_model_with_nan_is_refused() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(ModelError):
        measure(model, Task.classification(train=batches()), latency=False)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_split_brings_the_nearest_known_one() -> None:
    with pytest.raises(UnknownNameError, match="'tests' is not a known split; did you mean test"):
        measure(net(), Task.classification(train=batches()), split="tests")  # type: ignore[arg-type]
