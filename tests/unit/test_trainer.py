"""Users of transformers' Trainer: a task from theirs, and cuts in the middle of its training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from secateur import find_sites, from_pretrained, methods, save_pretrained
from secateur.budget import Latency, Share
from secateur.errors import DataError, SettingsError
from secateur.huggingface import task_of
from secateur.huggingface.callbacks import CompressionCallback
from secateur.recipe import Stage

ROWS, INNER = 24, 24
STAGE = Stage(method=methods.get("magnitude"), budget=Share(0.5), protect=("bert.embeddings*",))


def texts(rows: int = ROWS) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 8, (rows,), generator=generator).tolist()
    found = [torch.randint(1, 50, (length,), generator=generator) for length in lengths]
    return [{"input_ids": ids, "labels": int(ids.sum()) % 2, "unused": 3} for ids in found]


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    ids = nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    labels = torch.tensor([row["labels"] for row in rows])
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels}


def metrics(given: Any) -> dict[str, float]:
    hits = given.predictions.argmax(-1) == given.label_ids
    return {"accuracy": float(hits.mean()), "ones": float(np.mean(given.label_ids))}


def trainer_of(folder: Path, **given: Any) -> Trainer:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=INNER
    )
    settings = {
        "per_device_train_batch_size": 6,
        "per_device_eval_batch_size": 6,
        "num_train_epochs": 2,
        "use_cpu": True,
    }
    settings |= {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "learning_rate": 1e-2, "seed": 1}
    arguments = TrainingArguments(str(folder), **(settings | given.pop("arguments", {})))
    usual = {"data_collator": collate, "train_dataset": texts(), "eval_dataset": texts(12), "compute_metrics": metrics}
    return Trainer(BertForSequenceClassification(config), arguments, **(usual | given))


def test_a_task_has_the_trainers_loss_and_quality(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    task = task_of(trainer, scoring=10)
    model = trainer.model.eval()
    batch = next(task.batches("validation"))
    args, kwargs = task.arguments(batch)
    torch.testing.assert_close(task.loss(model(*args, **kwargs), batch), trainer.compute_loss(model, dict(batch)))
    found = task.evaluate("validation", lambda given: model(*given[0], **given[1]))
    wanted = trainer.evaluate()
    assert found["metric"] == found["accuracy"] == pytest.approx(100 * wanted["eval_accuracy"])
    assert found["ones"] == pytest.approx(100 * wanted["eval_ones"])
    assert torch.equal(
        torch.cat([batch["labels"] for batch in task.batches("calibration")]),
        torch.tensor([row["labels"] for row in texts()[:10]]),
    )


@pytest.mark.parametrize(
    "given",
    [
        {"compute_loss_func": lambda output, labels, **_: output.logits.square().mean() + labels.sum()},
        {"arguments": {"label_smoothing_factor": 0.2}},
    ],
)
def test_a_loss_of_the_users_own_is_kept(tmp_path: Path, given: dict[str, Any]) -> None:
    trainer = trainer_of(tmp_path, **given)
    task = task_of(trainer)
    batch = next(task.batches("calibration"))
    output = trainer.model.eval()(**task.arguments(batch)[1])
    torch.testing.assert_close(task.loss(output, batch), trainer.compute_loss(trainer.model, dict(batch)))


def test_without_metrics_the_loss_decides_and_lower_is_better(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, compute_metrics=None)
    found = task_of(trainer).evaluate("validation", lambda given: trainer.model.eval()(**given[1]))
    assert found["negative_loss"] == pytest.approx(-trainer.evaluate()["eval_loss"], rel=1e-5)


class Watching(TrainerCallback):
    """What the training looked like after every step."""

    def __init__(self) -> None:
        self.widths: list[int] = []
        self.rates: list[float] = []

    def on_step_end(self, _args: Any, _state: Any, _control: Any, **given: Any) -> None:
        self.widths.append(given["model"].bert.encoder.layer[0].intermediate.dense.out_features)
        self.rates.append(given["optimizer"].param_groups[0]["lr"])


@pytest.mark.parametrize("when", [{"steps": (2, 5)}, {"epochs": (1, 2)}])
def test_the_model_is_cut_in_training_and_optimizer_and_schedule_go_on(tmp_path: Path, when: dict[str, Any]) -> None:
    trainer, whole = trainer_of(tmp_path), trainer_of(tmp_path)
    callback, seen, usual = CompressionCallback(task_of(trainer), STAGE, **when), Watching(), Watching()
    trainer.add_callback(callback)
    trainer.add_callback(seen)
    whole.add_callback(usual)
    trainer.train()
    whole.train()
    once = round(INNER * 0.5**0.5)
    if "steps" in when:
        assert seen.widths == [INNER, once, once, once, *[INNER // 2] * 4]
    else:
        assert seen.widths == [INNER] * 4 + [once] * 4
        assert trainer.model.bert.encoder.layer[0].intermediate.dense.out_features == INNER // 2
    assert seen.rates == usual.rates
    optimizer = trainer.optimizer.optimizer
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in trainer.model.parameters()}
    for parameter in held:
        state = optimizer.state[parameter]
        assert state["exp_avg"].shape == parameter.shape and int(state["step"]) == 8


def test_what_was_cut_in_training_is_saved_and_loads_back(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path / "training")
    callback = CompressionCallback(task_of(trainer), STAGE, steps=(3,))
    trainer.add_callback(callback)
    before = {name: parameter.numel() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    save_pretrained(trainer.model, tmp_path / "small", plan=callback.plan)
    loaded, batch = from_pretrained(tmp_path / "small"), collate(texts(4))
    torch.testing.assert_close(loaded(**batch).logits, trainer.model.eval()(**batch).logits)
    assert sum(p.numel() for p in loaded.parameters()) < sum(before.values())
    assert trainer.evaluate()["eval_loss"] > 0  # the Trainer still evaluates the model that it holds


def test_dead_units_that_go_leave_the_training_as_it_would_have_been(tmp_path: Path) -> None:
    def dead(trainer: Trainer) -> Trainer:
        layer = trainer.model.bert.encoder.layer[0]
        with torch.no_grad():
            layer.intermediate.dense.weight[: INNER // 2] = 0.0
            layer.intermediate.dense.bias[: INNER // 2] = 0.0
            layer.output.dense.weight[:, : INNER // 2] = 0.0
        for module in trainer.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return trainer

    trainer, whole = dead(trainer_of(tmp_path)), dead(trainer_of(tmp_path))
    others = [name for name in find_sites(trainer.model, task_of(trainer)).names if "intermediate" not in name]
    stage = Stage(method=methods.get("magnitude"), budget=Share(0.5), protect=tuple(others), compensate="none")
    trainer.add_callback(CompressionCallback(task_of(trainer), stage, steps=(3,)))
    trainer.train()
    whole.train()
    batch = collate(texts(5))
    cut, uncut = (one.model.eval()(**batch).logits for one in (trainer, whole))
    torch.testing.assert_close(cut, uncut, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (Stage(methods.get("easier")), "easier, which takes layers out: a callback only cuts units"),
        (replace(STAGE, budget=Latency(0.5, "x")), "Latency: a callback .* has no clock"),
    ],
)
def test_a_stage_that_a_callback_cannot_do_is_refused_at_once(tmp_path: Path, odd: Stage, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        CompressionCallback(task_of(trainer_of(tmp_path)), odd, steps=(1,))


@pytest.mark.parametrize("when", [{}, {"steps": (1,), "epochs": (1,)}, {"steps": (0,)}])
def test_one_kind_of_times_is_needed(tmp_path: Path, when: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="steps="):
        CompressionCallback(task_of(trainer_of(tmp_path)), STAGE, **when)


def test_what_a_cut_would_break_is_refused(tmp_path: Path) -> None:
    best = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
    trainer = trainer_of(tmp_path, arguments=best)
    trainer.add_callback(CompressionCallback(task_of(trainer), STAGE, steps=(1,)))
    with pytest.raises(SettingsError, match="load_best_model_at_end"):
        trainer.train()

    class Own(Trainer):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            return super().compute_loss(*args, **kwargs)

    own = Own(trainer.model, trainer.args, data_collator=collate, train_dataset=texts(), eval_dataset=texts())
    with pytest.raises(SettingsError, match="compute_loss"):
        task_of(own)
    with pytest.raises(DataError, match="train_dataset"):
        task_of(trainer_of(tmp_path, train_dataset=None))
