"""Which way a metric is better, as its name tells. Knows words only."""

from __future__ import annotations

import re

from trialist.core.records import Mode


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SMALLER = _words(
    "loss losses error errors err rmse mse mae mape smape rmsle msle perplexity ppl nll bpb bpc bpp wer cer ter latency "
    "time seconds duration runtime regret cost brier ece deviance divergence fid kid lpips distance penalty residual "
    "entropy hinge crossentropy ce bce memory"
)
_LARGER = _words(
    "acc accuracy accuracies f1 fbeta auc auroc auprc rocauc ap map r2 score scores reward rewards return returns "
    "precision recall sensitivity specificity bleu rouge meteor iou miou dice jaccard mcc kappa ndcg mrr hits psnr ssim "
    "throughput likelihood elbo success win winrate gain profit correlation corr spearman pearson exact em"
)
_TURNED = frozenset({"neg", "negative", "minus", "inverse", "inv", "non", "not"})
_WORD = re.compile(r"[A-Z]?[a-z]+\d*|[A-Z]+\d*(?![a-z])|[a-z]\d")


def infer_mode(name: str) -> Mode | None:
    """Which way a metric of this name is better, where the name leaves no doubt.

    >>> infer_mode("val_loss"), infer_mode("top1_accuracy"), infer_mode("neg_log_loss"), infer_mode("x")
    (<Mode.MIN: 'min'>, <Mode.MAX: 'max'>, None, None)
    """
    words = {word.lower() for word in _WORD.findall(name)}
    words |= {word.rstrip("0123456789") for word in words}
    if words & _TURNED:
        return None
    smaller, larger = bool(words & _SMALLER), bool(words & _LARGER)
    if smaller == larger:
        return None
    return Mode.MIN if smaller else Mode.MAX
