"""How the user's function is called, and what its result means."""

from decimal import Decimal

import numpy as np
import pytest

from trialist.core.errors import ObjectiveError
from trialist.runtime.context import TrialContext
from trialist.runtime.objective import Objective, failed
from trialist.runtime.process import NoChannel


def trial(tmp_path, params=None):
    return TrialContext(
        NoChannel(),
        number=0,
        params={"lr": 0.1, "depth": 3} if params is None else params,
        seed=1,
        run_dir=str(tmp_path),
    )


def result(function, tmp_path, params=None, names=("loss",)):
    return Objective(function, names).run(trial(tmp_path, params))


class Model:
    def fit(self, lr, depth):
        return lr * depth

    def __call__(self, trial):
        return trial.params["lr"]


class TestCalling:
    @pytest.mark.parametrize(
        "function",
        [
            lambda trial: trial.params["lr"],
            lambda lr, depth: lr,
            lambda **params: params["lr"],
            lambda lr, **rest: lr,
            lambda lr, depth, verbose=False: lr,
            lambda *, lr, depth: lr,
            lambda context: context.params["lr"],
            lambda context, verbose=False: context.params["lr"],
            lambda trial, verbose=False: trial.params["lr"],
            lambda trial, lr, depth: trial.params["lr"],
            lambda trial, **params: params["lr"],
            lambda context, /: context.params["lr"],
            Model(),
        ],
    )
    def test_what_fits(self, function, tmp_path):
        assert result(function, tmp_path).metrics == {"loss": 0.1}

    def test_methods(self, tmp_path):
        assert result(Model().fit, tmp_path).metrics["loss"] == pytest.approx(0.3)

    def test_a_param_called_trial(self, tmp_path):
        assert result(lambda trial, lr: trial * lr, tmp_path, {"trial": 3.0, "lr": 2.0}).metrics == {"loss": 6.0}

    def test_names_that_no_function_can_have_go_to_keywords(self, tmp_path):
        assert result(lambda **p: p["model.lr"], tmp_path, {"model.lr": 2.0}).metrics == {"loss": 2.0}

    def test_without_params(self, tmp_path):
        assert result(lambda: 1.5, tmp_path, {}).metrics == {"loss": 1.5}

    @pytest.mark.parametrize(
        ("function", "words"),
        [
            (lambda lr: 0, "no parameter 'depth'"),
            (lambda lr, depth, width: 0, "lacks 'width'"),
            (lambda lr, width: 0, "lacks 'width' and it has no parameter 'depth'"),
            (lambda: 0, "no parameter 'lr', 'depth'"),
            (lambda a, b: 0, "lacks 'a', 'b'"),
        ],
    )
    def test_what_does_not_fit(self, function, words):
        with pytest.raises(ObjectiveError, match=words):
            Objective(function).check(("lr", "depth"))

    def test_async_functions_are_refused(self):
        async def objective(trial): ...

        with pytest.raises(ObjectiveError, match=r"asyncio\.run"):
            Objective(objective)

    def test_the_function_may_change_its_params(self, tmp_path):
        params = {"layers": [1, {"units": [2]}]}

        def objective(layers):
            layers[1]["units"].append(3)
            layers.clear()

        result(objective, tmp_path, params)
        assert params == {"layers": [1, {"units": [2]}]}


class TestResults:
    @pytest.mark.parametrize(
        "value",
        [
            2,
            2.0,
            True + 1,
            np.float32(2),
            np.int64(2),
            np.array(2.0),
            np.array([2.0]),
            Decimal(2),
            {"loss": np.float64(2)},
        ],
    )
    def test_numbers_of_all_kinds(self, value, tmp_path):
        ended = result(lambda lr, depth: value, tmp_path)
        assert ended.metrics == {"loss": 2.0}
        assert type(ended.metrics["loss"]) is float

    @pytest.mark.parametrize(
        "value", ["0.5", [1.0], (1.0, 2.0), np.array([1.0, 2.0]), 1j, object(), {"loss": "x"}, {3: 1.0}]
    )
    def test_what_is_no_number_is_a_bad_result(self, value, tmp_path):
        ended = result(lambda lr, depth: value, tmp_path)
        assert ended.reason == "bad_result"
        assert 'return a number, a mapping such as {"loss": …}' in ended.message

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), {"loss": np.nan}])
    def test_a_final_value_must_be_finite(self, value, tmp_path):
        ended = result(lambda lr, depth: value, tmp_path)
        assert ended.reason == "not_finite"
        assert "'loss'" in ended.message

    def test_other_metrics_may_be_what_they_are(self, tmp_path):
        assert result(lambda lr, depth: {"loss": 1.0, "grad": float("inf")}, tmp_path).reason is None

    def test_one_number_is_not_enough_for_two_metrics(self, tmp_path):
        ended = result(lambda lr, depth: 1.0, tmp_path, names=("loss", "size"))
        assert ended.reason == "bad_result"
        assert "2 metrics" in ended.message

    def test_huge_integers_are_infinite(self, tmp_path):
        assert result(lambda lr, depth: 10**400, tmp_path).reason == "not_finite"


class TestFailures:
    def test_messages_are_one_line(self):
        ended = failed(ValueError("two\nlines"))
        assert "\n" not in ended.message

    def test_details_are_bounded(self):
        ended = failed(ValueError("x" * 100000))
        assert len(ended.detail.encode()) <= 16 * 1024
        assert len(ended.message) <= 500

    def test_a_library_that_runs_out_of_memory(self):
        class OutOfMemoryError(RuntimeError):
            pass

        assert failed(OutOfMemoryError("CUDA out of memory. Tried to allocate")).reason == "out_of_memory"

    def test_an_exception_that_cannot_be_shown(self):
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no")

        assert failed(Odd()).message
