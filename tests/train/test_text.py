"""Model type ``text_classifier``: encoders made here or saved in a directory, heads from a list, exact resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trialist.core.errors import ConfigError
from trialist.core.records import Metric, Mode
from trialist.train.engine import TrainingEngine
from trialist.train.text_data import load_texts, reviews

REVIEWS = {"dataset": "reviews"}
SMALL = {"dataset": "reviews", "size": 80}
LINEAR = {"type": "linear"}


def text(**values: Any) -> dict[str, Any]:
    return {"type": "text_classifier", "name": "tiny", **values}


def headed(*layers: Any) -> dict[str, Any]:
    return text(classification_head={"architecture": list(layers)})


SHALLOW = text(width=16, depth=1, dropout=0.2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory as ``save_pretrained`` leaves it: a small encoder and its tokenizer."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    folder = str(tmp_path_factory.mktemp("encoder"))
    words = sorted({word for one in reviews(200).texts for word in one.split()})
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", *words])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
    ).save_pretrained(folder)
    config = transformers.DistilBertConfig(
        vocab_size=len(vocabulary), dim=32, n_layers=1, n_heads=2, hidden_dim=64, max_position_embeddings=64
    )
    transformers.DistilBertModel(config).save_pretrained(folder)
    return folder


@pytest.mark.extras
def test_it_learns_to_tell_reviews_apart() -> None:
    seen: list[float] = []
    training = {"num_epochs": 4, "learning_rate": 0.003, "batch_size": 32}
    metrics = TrainingEngine().train(
        text(), REVIEWS, training, report=lambda *, step, val_accuracy, **_: seen.append(val_accuracy)
    )
    assert len(seen) == 4
    assert metrics["val_accuracy"] == metrics["score"] == seen[-1] > 0.8
    assert set(metrics) == set(TrainingEngine().describe(text()).metrics)


@pytest.mark.extras
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_an_encoder_from_a_directory_is_fine_tuned_or_frozen(saved: str, pooling: str, trainings: Any) -> None:
    model = {"name": saved, "classification_head": {"architecture": ["layernorm", LINEAR]}, "pooling": pooling}
    training = {"epochs": 2, "lr": 0.003}
    assert trainings.whole(model, SMALL, training) == trainings.whole(
        {**model, "type": "text_classifier"}, SMALL, training
    )
    weights = {}
    for freeze in (False, True):
        kept = trainings.left_at(2, {**model, "freeze": freeze}, SMALL, training)
        shape = json.loads((kept / "state.json").read_text())["weights"]
        name = next(one for one in shape if one.startswith("encoder.") and one.endswith("word_embeddings.weight"))
        with np.load(kept / "state.npz") as arrays:
            weights[freeze] = arrays[f"a{shape[name]['$array']}"]
    transformers = pytest.importorskip("transformers")
    before = transformers.AutoModel.from_pretrained(saved).embeddings.word_embeddings.weight.detach().numpy()
    assert np.array_equal(weights[True], before)
    assert not np.array_equal(weights[False], before)


@pytest.mark.extras
def test_a_resumed_training_ends_like_a_whole_one_and_forks_obey_their_values(trainings: Any) -> None:
    sections = (SHALLOW, SMALL, {"epochs": 3, "schedule": "linear", "lr": 0.01})
    steps, whole = trainings.whole(*sections)
    assert trainings.whole(*sections) == (steps, whole)
    kept: Path = trainings.left_at(2, *sections)
    assert sorted(file.name for file in kept.iterdir()) == ["state.json", "state.npz", "vocabulary.json"]
    assert trainings.resumed(kept, 2, *sections) == ([3], whole)

    done = trainings.left_at(3, *sections)
    other_words = {**SMALL, "seed": 5}  # another split has other training texts; the weights keep their own words
    still = (SHALLOW, other_words, {"epochs": 1, "lr": 0.0})
    assert (
        trainings.warm(done, "weights", *still)[1]["val_loss"]
        == trainings.warm(done, "optimizer", *still)[1]["val_loss"]
    )
    assert trainings.resumed(done, 3, *sections[:2], {"epochs": 4, "lr": 0.0})[1]["val_loss"] == whole["val_loss"]
    assert trainings.resumed(done, 3, *sections[:2], {"epochs": 4, "lr": 0.01})[1]["val_loss"] != whole["val_loss"]


@pytest.mark.extras
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (headed(), r"classification_head: must hold 'architecture'"),
        (text(classification_head=[1]), r"classification_head: must hold 'architecture'"),
        (text(classification_head={"architecture": [LINEAR], "p": 1}), r"classification_head\.p: nothing reads"),
        (headed({"type": "liner"}), r"architecture\.0\.type: no layer is called 'liner'.*Did you mean 'linear'"),
        (headed({"p": 1}), r"architecture\.0: must be a mapping with the 'type'"),
        (headed({"type": "linear", "out": 2}), r"architecture\.0\.out: a linear layer has no 'out'"),
        (headed({"type": "dropout", "p": 1.5}, LINEAR), r"architecture\.0\.p: must be a number from 0 and below 1"),
        (headed({"type": "linear", "out_features": 0}), r"architecture\.0\.out_features: must be a whole number"),
        (headed(LINEAR, "relu"), r"architecture: the last layer must be linear"),
        (headed(LINEAR, LINEAR), r"architecture\.0: needs out_features"),
        (headed({"type": "linear", "out_features": 3}), r"architecture\.0\.out_features: is 3, and the data has 2 classes"),
        (text(pooling="max"), r"model\.pooling: must be one of mean, first"),
        (text(width=10, heads=3), r"model\.heads: must divide the width 10"),
        (text(name=""), r"model\.name: must be 'tiny', a directory"),
        ({"type": "text_classifier", "name": "some/dir", "width": 8}, r"model\.width: nothing reads this name"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_model_is_named_where_it_was_made(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingEngine().train(model, SMALL, {"epochs": 1})


@pytest.mark.extras
def test_a_directory_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model\.name: .* is no directory with a model and its tokenizer"):
        TrainingEngine().train({"type": "text_classifier", "name": str(tmp_path)}, SMALL)


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ("review,label\n" + "good,1\nbad,0\n" * 4, {"target": None}, r"^data\.target: say which column"),
        ("review,label\n" + "good,1\nbad,0\n" * 4, {"text": "reviw"}, r"^data\.text: .*Did you mean 'review'"),
        ("review,label\n" + "good,1\nbad,0\n" * 4, {"text": "label"}, r"^data\.text: 'label' is the target"),
        ("a,b,label\n" + "x,y,1\nz,v,0\n" * 4, {}, r"^data\.text: say which column .* it may be one of a, b"),
        ("a,b,label\n" + "1,2,1\n1,2,0\n" * 4, {}, r"^data\.text: say which column .* it is none of a, b, label"),
        ("a,label\n" + "1,1\n2,0\n" * 4, {"text": "a"}, r"^data\.text: column 'a' .* in row 1, which is no text"),
        ("review,label\n" + "good,1\n" * 8, {}, r"^data\.target: is '1' in every row"),
        ("review,label\n" + "good,1\n,0\n" * 4, {}, r"4 of 8 rows .* have no value .* in 'review' \(4\)"),
        ("review,label\ngood,1\nbad,0\n", {}, "only 2 rows are left"),
        ("review,label\n" + "good,1\nbad,0\n" * 4, {"size": 30}, r"^data\.size: is for texts that are made"),
    ],
)
def test_what_is_wrong_with_texts_is_said(tmp_path: Path, content: str, more: dict[str, Any], message: str) -> None:
    (tmp_path / "d.csv").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_texts({"path": str(tmp_path / "d.csv"), "target": "label", **more})


def test_texts_come_from_a_file_or_are_made_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("label,stars,review\n" + 'no,1,"dull, long"\nyes,5,fine\n' * 4)
    texts = load_texts({"path": str(tmp_path / "d.csv"), "target": "label"})
    assert (texts.texts[0], texts.classes, texts.y.tolist()) == ("dull, long", ("no", "yes"), [0, 1] * 4)
    assert reviews(50).texts == reviews(80).texts[:50]
    assert 0.4 < reviews(800).y.mean() < 0.6
    for data, message in (
        ({"dataset": "digits"}, "no bundled texts are called 'digits'"),
        ({"dataset": "reviews", "size": 3}, r"data\.size: must be a whole number from 20"),
        ({"dataset": "reviews", "path": "x"}, "not both"),
        ({}, "give data.dataset or data.path"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_texts(data)


@pytest.mark.extras
def test_what_it_declares() -> None:
    declared = TrainingEngine().describe(text())
    assert declared.primary == Metric(name="val_accuracy", mode=Mode.MAX)
    named = [declared.section_of(name) for name in ("dropout", "learning_rate", "batch_size", "width", "text", "gamma")]
    assert named == ["model", "training", "training", "model", "data", None]
