"""Any config and any variations end in a plan that holds together or in an error that was made for people.

``TRIALIST_EXAMPLES=10000 pytest tests/sweep/test_fuzz.py`` tries more of them.
"""

from __future__ import annotations

import io
import os

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from trialist.config import dump_yaml, load_yaml_text
from trialist.config.marks import FixedValue
from trialist.core.errors import TrialistError
from trialist.sweep.making import RunMaker
from trialist.sweep.options import SweepOptions
from trialist.sweep.plan import make_plan
from trialist.sweep.record import SweepRecord
from trialist.sweep.render import plan_json, render
from trialist.sweep.unexecuted import params_of

EXAMPLES = int(os.environ.get("TRIALIST_EXAMPLES", "150"))
fuzz = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers()
    | st.floats()
    | st.sampled_from(["adam", "relu", "no", "1e-7", "", "{config}", "a,b", "é", "../x", "=1", "uniform", "min"])
    | st.text(max_size=6)
)
keys = st.sampled_from(
    ["lr", "p", "type", "low", "high", "min", "max", "q", "values", "value", "command", "metric", "mode", "model", "data",
     "training", "name", "a.b", "0", "", "+x", "=", "trialist_space"]
) | st.text(max_size=4)  # fmt: skip
words = st.sampled_from(
    [
        "uniform",
        "loguniform",
        "quniform",
        "randint",
        "qrandint",
        "lograndint",
        "choice",
        "fixed",
        "normal",
        "loguniforn",
        "hard",
    ]
)
bounds = st.integers(-3, 10) | st.floats(-1, 10) | scalars
distributions = st.fixed_dictionaries(
    {"type": words},
    optional=dict.fromkeys(("low", "high", "min", "max", "q", "log"), bounds)
    | {"values": st.lists(scalars, max_size=4), "value": scalars, "extra": scalars},
)
trees = st.recursive(
    scalars | distributions,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.lists(scalars, min_size=2, max_size=3)
        | inner.map(lambda value: FixedValue(_plain(value)))
    ),
    max_leaves=12,
)


def _plain(value):
    if isinstance(value, FixedValue):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


configs = st.dictionaries(keys, trees, min_size=1, max_size=5)
path_texts = st.lists(keys, min_size=1, max_size=3).map(".".join)
value_texts = st.text("12.e-,[]{}'\":abtrue #=\\\n", max_size=12) | st.sampled_from(
    ["1e-3,1e-4", "[1,2],[3]", "{type: uniform, low: 0, high: 1}", "{type: choice, values: [a]}", "'a,b',c", "null"]
)
variations = st.lists(
    st.builds(lambda plus, path, values: f"{plus}{path}={values}", st.sampled_from(["", "+"]), path_texts, value_texts)
    | st.text(max_size=8),
    max_size=3,
)
python_variations = st.dictionaries(
    path_texts | st.integers(), st.lists(scalars | trees, max_size=3) | trees, max_size=3
)
optional_counts = st.none() | st.integers(1, 5)
options = st.fixed_dictionaries(
    {
        "param_variations": variations | python_variations,
        "search": st.sampled_from([None, None, "grid", "random", "sobol"]),
        "num_trials": optional_counts,
        "metric": st.sampled_from([None, None, "loss", "x"]),
        "mode": st.sampled_from([None, None, "min", "up"]),
        "scheduler": st.sampled_from([None, None, "asha", "median"]),
        "run_prefix": st.sampled_from([None, "lr"]),
    }
)


def try_out(text, given_options):
    """A sweep as far as it goes without a file being made."""
    try:
        document = load_yaml_text(text, "config/c.yaml")
        chosen = SweepOptions(**given_options)
        plan = make_plan(document.marked, chosen, source="config/c.yaml", line_of=document.line_of)
        runs = list(params_of(plan, chosen.seed)) if plan.num_runs <= 20 else []
    except TrialistError as error:
        said = str(error)
    else:
        said = None
    if said is not None:
        assert said.strip()
        assert len(said) < 2000, said
        return
    assert plan.num_runs >= 1
    assert render(plan, width=80).startswith("config/c.yaml: ")
    assert plan_json(plan)["runs"] == plan.num_runs
    if plan.searcher == "grid" and plan.num_runs <= 20:
        assert len(runs) == plan.num_runs
    maker = RunMaker(
        SweepRecord(
            stem="lr_123045",
            source="config/c.yaml",
            text=text,
            paths=tuple(param.path for param in plan.params),
            runs="/nowhere/runs",
            cwd="/nowhere",
            command=plan.command,
        ),
        document,
    )
    names = set()
    for number, params in enumerate(runs[:5]):
        name = maker.name(number, params)
        assert len(name.encode()) < 200
        assert "/" not in name
        names.add(name.casefold())
        written = load_yaml_text(maker.config_text(params)).data
        assert repr(written) == repr(plan.values_at(params)), (
            "a run's config holds its values and all that does not vary"
        )
    assert len(names) == len(runs[:5])


@given(config=configs, chosen=options)
@example(config={"lr": {"type": "uniform", "low": 0, "high": 1}}, chosen={"num_trials": 3})
@example(config={"x": [1, 2], "y": {"type": "choice", "values": []}}, chosen={})
@example(config={"": [1, 2]}, chosen={})
@example(config={"a": [1, 2], "": {"a": [1, 2]}}, chosen={})
@fuzz
def test_any_config_makes_a_plan_or_an_error_for_people(config, chosen):
    text = io.StringIO()
    try:
        dump_yaml(config, text)
    except TrialistError:
        return
    try_out(text.getvalue(), chosen)


@given(text=st.text("ab:-[]{}&*!?#,'\"\n 1.e|>%@`", max_size=60), chosen=options)
@fuzz
def test_any_text_makes_a_plan_or_an_error_for_people(text, chosen):
    try_out(text, chosen)
