"""TrainingEngine's sections, aliases and registration, without any library."""

from __future__ import annotations

from typing import Any

import pytest

from trialist.core.errors import ConfigError, UnknownName
from trialist.core.records import Metric, Mode
from trialist.train.engine import TrainingEngine
from trialist.train.model_type import Config, Declaration, Job

DATA = {"dataset": "digits"}


class Recorder:
    """A model type that keeps the job it was given."""

    jobs: list[Job] = []

    def describe(self, model: Config) -> Declaration:
        return Declaration(
            model=frozenset({"width"}), data=frozenset({"dataset"}), training=frozenset({"lr", "epochs", "batch_size"}),
            metrics=("val_loss", "score"), primary=Metric(name="val_loss", mode=Mode.MIN),
        )  # fmt: skip

    def train(self, job: Job) -> dict[str, float]:
        self.jobs.append(job)
        job.report(step=1, val_loss=0.5)
        return {"val_loss": 0.5, "score": -0.5}


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    monkeypatch.setattr(TrainingEngine, "_added", {})
    Recorder.jobs = []
    TrainingEngine.register("recorder")(Recorder)
    return Recorder


def test_a_job_arrives_flat_and_canonical() -> None:
    seen: list[Any] = []
    metrics = TrainingEngine().train(
        {"type": "recorder", "hyperparameters": {"width": 3}},
        DATA,
        {"learning_rate": 0.1, "num_epochs": 4, "batch_size": 8},
        report=lambda *, step, **values: seen.append((step, values)),
    )
    (job,) = Recorder.jobs
    assert job.model == {"width": 3}
    assert job.training == {"lr": 0.1, "epochs": 4, "batch_size": 8}
    assert job.path("model", "width") == "model.hyperparameters.width"
    assert job.path("training", "lr") == "training.learning_rate"
    assert (metrics, seen) == ({"val_loss": 0.5, "score": -0.5}, [(1, {"val_loss": 0.5})])


@pytest.mark.parametrize(
    ("model", "data", "training", "message"),
    [
        ({"type": "recorder", "widht": 3}, DATA, {}, r"^model\.widht: nothing reads this name.*Did you mean 'width'"),
        ({"type": "recorder", "hyperparameters": {"w": 3}}, DATA, {}, r"^model\.hyperparameters\.w: nothing reads"),
        ({"type": "recorder"}, {"dataset": "digits", "x": 1}, {}, r"^data\.x: nothing reads"),
        ({"type": "recorder"}, DATA, {"epoch": 1}, r"^training\.epoch: .*Did you mean 'epochs'"),
        (
            {"type": "recorder", "width": 1, "hyperparameters": {"width": 2}},
            DATA,
            {},
            "given twice, also as model.width",
        ),
        ({"type": "recorder"}, DATA, {"lr": 1, "learning_rate": 2}, "same setting as training.lr"),
        (
            {"type": "recorder", "hyperparameters": [1]},
            DATA,
            {},
            "model.hyperparameters: must be a mapping, not a list",
        ),
        ({"type": "recorder"}, [1], {}, "data: must be a mapping, not a list"),
        ({"type": "recorder"}, DATA, "fast", "training: must be a mapping, not a text"),
        ({"type": 3}, DATA, {}, "model.type: must be the name of a model type, not a number"),
        ({"type": ["recorder", "other"]}, DATA, {}, "no model type is called 'other'"),
        ({"type": ["recorder", "recorder"]}, DATA, {}, "model.type: must be one name here"),
        ({"type": []}, DATA, {}, "model.type: must be the name"),
        ({"width": 3}, DATA, {}, r"model\.type: is missing. Give one of: .*recorder"),
        ({}, DATA, {}, "no 'model' section"),
        (None, DATA, {}, "no 'model' section"),
    ],
)
def test_what_is_wrong_with_a_section_is_said_with_its_path(model: Any, data: Any, training: Any, message: str) -> None:
    with pytest.raises((ConfigError, UnknownName), match=message):
        TrainingEngine().train(model, data, training)
    assert Recorder.jobs == []


def test_no_data_names_the_four_ways_out() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingEngine.check({"model": {"type": "recorder"}}, file="config/a.yaml")
    message = str(caught.value)
    assert message.startswith("config/a.yaml: data: ")
    assert all(word in message for word in ("data.dataset", "data.path", "command:", "--no-execute"))


def test_check_takes_a_config_that_is_yet_to_vary() -> None:
    assert TrainingEngine.check({"model": {"type": "recorder", "width": [1, 2]}, "data": DATA}) == "recorder"
    assert TrainingEngine.check({"model": {"type": ["recorder", "sklearn"]}, "data": DATA}) == "recorder, sklearn"


def test_a_named_encoder_with_a_head_is_a_text_classifier() -> None:
    model = {"name": "bert-base-uncased", "classification_head": {"architecture": []}}
    TrainingEngine.register("text_classifier")(Recorder)
    assert TrainingEngine.check({"model": model, "data": DATA}) == "text_classifier"


def test_an_unknown_type_lists_what_is_there() -> None:
    with pytest.raises(UnknownName, match=r"'recorderr'.*Did you mean 'recorder'"):
        TrainingEngine().train({"type": "recorderr"}, DATA)


def test_a_function_is_a_model_type() -> None:
    @TrainingEngine.register("line", metric="val_loss", mode="min")
    def line(model: Config, data: Config, training: Config, report: Any, checkpoint: Any) -> dict[str, float]:
        report(step=1, val_loss=model["slope"])
        return {"val_loss": model["slope"] * training["learning_rate"], "lr": training["lr"]}

    engine = TrainingEngine()
    assert engine.train({"type": "line", "slope": 2.0}, DATA, {"lr": 0.5}) == {"val_loss": 1.0, "lr": 0.5}
    declared = engine.describe({"type": "line"})
    assert declared.primary == Metric(name="val_loss", mode=Mode.MIN)
    assert declared.section_of("anything") == "model"


def test_a_declaration_knows_which_section_reads_a_name() -> None:
    declared = TrainingEngine().describe({"type": "recorder"})
    assert [declared.section_of(name) for name in ("width", "lr", "dataset", "nobody")] == [
        "model",
        "training",
        "data",
        None,
    ]
