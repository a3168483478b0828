"""Encoder and head of model type ``text_classifier``. Knows transformers and tokens, and no config."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trialist import registry
from trialist.core.errors import ConfigError
from trialist.train.data import Split
from trialist.train.learning import Learning
from trialist.train.model_type import Job
from trialist.train.text import TINY, WHAT, Layer, Reader
from trialist.train.text_data import Texts
from trialist.train.torch_fit import Course, device_of, fit, own_randomness

torch = registry.optional("torch", WHAT)
transformers = registry.optional("transformers", WHAT)

VOCABULARY = "vocabulary.json"
_PAD, _UNKNOWN, _FIRST = 0, 1, 2
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]")
_WORDS = re.compile(r"\w+|[^\w\s]")
_ACTIVATIONS = {"relu": "ReLU", "gelu": "GELU", "tanh": "Tanh"}
_AT_ONCE = 64
"""Texts that are validated together."""


class _Encoder(NamedTuple):
    module: Any
    tokens: Callable[[str], list[int]]
    pad: int
    width: int
    keep: Callable[[Path], None] | None
    """Writes what a checkpoint needs to read texts the same way."""


def train(job: Job, reader: Reader, learning: Learning, texts: Texts, split: Split) -> dict[str, float]:
    """Train encoder and head on texts; see ``torch_fit.fit``."""
    device = device_of(learning)
    with own_randomness(learning.seed, device):
        if reader.name == TINY:
            encoder = _tiny(reader, job, [texts.texts[row] for row in split.train])
        else:
            encoder = _pretrained(reader)
        head = _head(reader, encoder.width, len(texts.classes))
        module = torch.nn.ModuleDict({"encoder": encoder.module, "head": head}).to(device)
        module["encoder"].requires_grad_(not reader.freeze)
        tokens = [encoder.tokens(text) for text in texts.texts]
        targets = torch.as_tensor(texts.y, dtype=torch.long, device=device)

        def outputs(rows: np.ndarray) -> Any:
            if reader.freeze:
                module["encoder"].eval()
            ids, mask = _together([tokens[row] for row in rows], encoder.pad, device)
            told = module["encoder"](input_ids=ids, attention_mask=mask).last_hidden_state
            return module["head"](_pooled(told, mask, reader.pooling))

        return fit(job, learning, _course(module, outputs, targets, split, learning, encoder.keep))


def _course(
    module: Any,
    outputs: Callable[[np.ndarray], Any],
    targets: Any,
    split: Split,
    learning: Learning,
    keep: Callable[[Path], None] | None,
) -> Course:
    cross_entropy = torch.nn.functional.cross_entropy

    def loss(rows: np.ndarray) -> Any:
        chosen = split.train[rows]
        right = targets[torch.from_numpy(chosen).to(targets.device)]
        return cross_entropy(outputs(chosen), right, label_smoothing=learning.label_smoothing)

    def evaluate() -> dict[str, float]:
        parts = [outputs(split.val[start : start + _AT_ONCE]) for start in range(0, len(split.val), _AT_ONCE)]
        told, right = torch.cat(parts), targets[torch.from_numpy(split.val).to(targets.device)]
        accuracy = float((told.argmax(dim=1) == right).double().mean())
        return {"val_loss": float(cross_entropy(told, right)), "val_accuracy": accuracy, "score": accuracy}

    return Course(module=module, rows=len(split.train), loss=loss, evaluate=evaluate, keep=keep)


def _together(tokens: list[list[int]], pad: int, device: Any) -> tuple[Any, Any]:
    """A batch as long as its longest text, and a mask of what is text in it."""
    longest = max(len(one) for one in tokens)
    ids = torch.tensor([one + [pad] * (longest - len(one)) for one in tokens], device=device)
    mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in tokens], device=device)
    return ids, mask


def _pooled(told: Any, mask: Any, pooling: str) -> Any:
    if pooling == "first":
        return told[:, 0]
    weights = mask.unsqueeze(2).to(told.dtype)
    return (told * weights).sum(dim=1) / weights.sum(dim=1)


def _head(reader: Reader, width: int, num_classes: int) -> Any:
    layers: list[Any] = []
    for place, layer in enumerate(reader.head):
        last = place == len(reader.head) - 1
        if last and layer.out_features not in (None, num_classes):
            raise ConfigError(
                f"is {layer.out_features}, and the data has {num_classes} classes; leave it out, or make it {num_classes}",
                path=f"{reader.head_path}.{place}.out_features",
            )
        layers.append(_made(layer, width, num_classes))
        width = width if layer.kind != "linear" else layer.out_features or num_classes
    return torch.nn.Sequential(*layers)


def _made(layer: Layer, width: int, num_classes: int) -> Any:
    if layer.kind == "linear":
        return torch.nn.Linear(width, layer.out_features or num_classes)
    if layer.kind == "dropout":
        return torch.nn.Dropout(layer.p)
    return torch.nn.LayerNorm(width) if layer.kind == "layernorm" else getattr(torch.nn, _ACTIVATIONS[layer.kind])()


# --- encoders --------------------------------------------------------------------------------------------------------


def _tiny(reader: Reader, job: Job, texts: Sequence[str]) -> _Encoder:
    """A small encoder with random weights, whose vocabulary is the words of the training texts, or the checkpoint's."""
    vocabulary = _vocabulary_of(job) or _words(texts, reader.vocab_size)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=reader.width,
        num_hidden_layers=reader.depth,
        num_attention_heads=reader.heads,
        intermediate_size=4 * reader.width,
        max_position_embeddings=reader.max_length,
        pad_token_id=_PAD,
    )

    def tokens(text: str) -> list[int]:
        words = _WORDS.findall(text.lower())[: reader.max_length - 1]
        return [_FIRST, *(numbers.get(word, _UNKNOWN) for word in words)]

    def keep(folder: Path) -> None:
        (folder / VOCABULARY).write_text(json.dumps(vocabulary), encoding="utf-8")

    return _Encoder(transformers.BertModel(config, add_pooling_layer=False), tokens, _PAD, reader.width, keep)


def _words(texts: Sequence[str], size: int) -> list[str]:
    """The most frequent words, those of equal count in alphabetical order."""
    counted = Counter(word for text in texts for word in _WORDS.findall(text.lower()))
    ordered = sorted(counted, key=lambda word: (-counted[word], word))
    return [*_SPECIAL, *ordered[: size - len(_SPECIAL)]]


def _vocabulary_of(job: Job) -> list[str] | None:
    """The words that the weights to start from were learned with."""
    start = None if job.checkpoints is None else job.checkpoints.checkpoint
    if start is None or not (Path(start) / VOCABULARY).exists():
        return None
    words: list[str] = json.loads((Path(start) / VOCABULARY).read_text(encoding="utf-8"))
    return words


def _pretrained(reader: Reader) -> _Encoder:
    """An encoder and its tokenizer from a directory, from the local cache, or from the hub.

    Raises:
        ConfigError: There is none of that name, or what is there cannot be read.
    """
    folder = Path(reader.name).expanduser()
    name = str(folder) if folder.is_dir() else reader.name
    try:
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, local_files_only=True)
            module = transformers.AutoModel.from_pretrained(name, local_files_only=True)
        except OSError:
            if folder.is_dir():
                raise
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
            module = transformers.AutoModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"'{reader.name}' is no directory with a model and its tokenizer, and the hub gives none of that name here "
            f"({first}). Give the directory that save_pretrained wrote, or '{TINY}' for a small encoder made on the spot",
            path="model.name",
        ) from error
    pad = tokenizer.pad_token_id
    most = min(reader.max_length, getattr(module.config, "max_position_embeddings", reader.max_length))

    def tokens(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, truncation=True, max_length=most)["input_ids"]
        return ids

    return _Encoder(module.float(), tokens, 0 if pad is None else pad, module.config.hidden_size, None)
