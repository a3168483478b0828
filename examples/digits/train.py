"""An ordinary training script: a small neural network that reads handwritten digits (1,797 images of 8 × 8 pixels).

Nothing in it knows of a sweep. ``trialist.report`` tells how it goes; run alone, it does nothing:

    python examples/digits/train.py --config examples/digits/one.yaml
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import trialist

parser = argparse.ArgumentParser()
parser.add_argument("--config", required=True)
config = YAML(typ="safe").load(Path(parser.parse_args().config))
model_config, training = config["model"], config["training"]

images, labels = load_digits(return_X_y=True)
train_x, val_x, train_y, val_y = train_test_split(
    images / 16.0, labels, test_size=0.25, random_state=0, stratify=labels
)

warnings.simplefilter("ignore", ConvergenceWarning)  # one pass at a time never converges, and need not
model = MLPClassifier(
    hidden_layer_sizes=(model_config["width"],),
    alpha=model_config["weight_decay"],
    learning_rate_init=training["learning_rate"],
    batch_size=training["batch_size"],
    random_state=0,
)

for epoch in range(1, training["epochs"] + 1):
    model.partial_fit(train_x, train_y, classes=np.arange(10))
    probabilities = model.predict_proba(val_x)
    accuracy = float((probabilities.argmax(axis=1) == val_y).mean())
    loss = float(log_loss(val_y, probabilities, labels=np.arange(10)))
    print(f"epoch {epoch}: val_loss={loss:.4f} val_accuracy={accuracy:.4f}")
    trialist.report(step=epoch, val_loss=loss, val_accuracy=accuracy)
