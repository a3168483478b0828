"""Tuning a training pipeline from Python: search, early stopping, presets, results of an earlier day, a report.

    python examples/hpo_example.py            # about a minute on a laptop, offline; leaves ./hpo_example/

Needs scikit-learn. Optuna and matplotlib are used where they are installed, and named where they are not.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import trialist
from trialist import ConfigLoader, HPOptimizer, HPOResults, MissingExtra, TrainingEngine, load_results

OUT = Path("hpo_example")
STORE = f"sqlite:///{OUT / 'trials.db'}"
DATA = {"dataset": "digits"}
MODEL = {"type": "sklearn", "estimator": "SGDClassifier"}


def random_search(hpo: HPOptimizer) -> HPOResults:
    """A space, a number of trials: the rest follows from the model type."""
    print("\n1. Random search")
    results = hpo.optimize(
        model_config=MODEL,
        data_config=DATA,
        training_config={"epochs": 4},
        param_space={
            "alpha": {"type": "loguniform", "low": 1e-6, "high": 1e-1},
            "lr": {"type": "loguniform", "low": 1e-4, "high": 1.0},
        },
        num_trials=8,
        max_concurrent_trials=2,
        study_name="example-random",
        store=STORE,
        seed=0,
        resume=True,
    )
    print(f"best {results.metric.name} {results.best_score:.4f} with {results.best_params}")
    print(f"the config to go on with: {hpo.get_best_model_config(MODEL)}")
    return results


def optuna_with_asha(hpo: HPOptimizer) -> HPOResults:
    """Optuna proposes, ASHA ends what lags behind. Two kinds of models are searched, each with what it alone has."""
    print("\n2. Optuna's sampler with ASHA, over two kinds of models")
    return hpo.optimize(
        model_config={"type": "sklearn"},
        data_config=DATA,
        training_config={"epochs": 9},
        param_space={
            "which": {
                "type": "choice",
                "values": [
                    {
                        "estimator": "SGDClassifier",
                        "alpha": {"type": "loguniform", "low": 1e-6, "high": 1e-1},
                        "penalty": {"type": "choice", "values": ["l2", "l1"]},
                    },
                    {
                        "estimator": "MLPClassifier",
                        "learning_rate_init": {"type": "loguniform", "low": 1e-4, "high": 1e-1},
                        "alpha": {"type": "loguniform", "low": 1e-6, "high": 1e-1},
                    },
                ],
            }
        },
        num_trials=8,
        search_algorithm="optuna",
        scheduler={"name": "asha", "eta": 3, "min_steps": 1, "max_steps": 9},
        study_name="example-optuna",
        store=STORE,
        resume=True,
    )


def preset(hpo: HPOptimizer) -> HPOResults:
    """A space and a budget from the configs that ship with the package."""
    print("\n3. A preset")
    config = ConfigLoader().load_config("hpo")
    return hpo.optimize(
        MODEL,
        DATA,
        {"epochs": 4},
        config["search_spaces"]["sgd"],
        **config["experiments"]["quick_test"],
        study_name="example-preset",
        store=STORE,
        resume=True,
    )


def an_earlier_day(results: HPOResults) -> dict:
    """Results in another process: from a file, or from the store by the study's name."""
    print("\n4. Loading and analysing what was found before")
    file = results.save(OUT / "random.results")
    code = f"from trialist import load_results; print(load_results({str(file)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    stored = load_results("example-random", store=STORE)
    analysis = HPOptimizer().analyze_results(stored)
    for name, share in analysis["parameter_importance"].items():
        print(f"  {name:<8} {'█' * round(30 * share):<30} {share:.0%}")
    print(f"  near the best after {analysis['convergence']['trials_to_near_best']} trials")
    return analysis


def report(results: HPOResults, analysis: dict) -> None:
    """One page that works offline, and the pictures on it."""
    print("\n5. A report")
    visualizer = trialist.HPOVisualizer()
    visualizer.create_summary_report(results, analysis, OUT / "report")
    print(f"open {OUT / 'report' / 'report.html'} in a browser")


def optional(step: Callable[[], object]) -> None:
    """Run a step that needs a library which may be missing."""
    try:
        step()
    except MissingExtra as missing:
        print(f"skipped: {missing}")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    hpo = HPOptimizer(training_engine=TrainingEngine())
    results = random_search(hpo)
    optional(lambda: print(optuna_with_asha(hpo)))
    print(preset(hpo))
    analysis = an_earlier_day(results)
    optional(lambda: report(results, analysis))
    print(f"\nEvery study is in the store too: trialist list --store {OUT / 'trials.db'}")


if __name__ == "__main__":
    main()
