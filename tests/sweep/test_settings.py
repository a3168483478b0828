"""Which way a metric is better, as far as its name tells."""

from __future__ import annotations

import pytest

from trialist.config.metric_names import infer_mode


@pytest.mark.parametrize(
    "name", ["loss", "val_loss", "val/loss", "valLoss", "mean_squared_error", "rmse", "MAE", "perplexity", "wer", "nll"]
)
def test_smaller_is_better(name):
    assert infer_mode(name) == "min"


@pytest.mark.parametrize(
    "name", ["acc", "val_acc1", "accuracy", "f1", "f1_score", "eval_f1_macro", "roc_auc", "r2", "reward", "score", "BLEU", "NDCG@10"]
)  # fmt: skip
def test_larger_is_better(name):
    assert infer_mode(name) == "max"


@pytest.mark.parametrize("name", ["x", "neg_log_loss", "negative_loss", "time_to_accuracy", "topk", "", "lossy"])
def test_a_name_that_leaves_doubt_says_nothing(name):
    assert infer_mode(name) is None
