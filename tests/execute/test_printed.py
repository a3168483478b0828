"""What counts as a printed metric, and what does not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialist.execute import printed
from trialist.execute.printed import MAX_LINE, MAX_METRICS, Lines, parse

METRICS = [
    ("val_loss=0.21 val_acc=0.9", None, {"val_loss": 0.21, "val_acc": 0.9}),
    ("Epoch 3/10 - loss: 0.3 - acc: 0.8", 3, {"loss": 0.3, "acc": 0.8}),
    ("Epoch [3/10], Loss: 0.1234", 3, {"Loss": 0.1234}),
    ("Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300024", 1, {"Loss": 2.300024}),
    (" 10%|# | 1/10 [00:01<00:09,  1.20it/s, loss=0.3]", None, {"loss": 0.3}),
    ("2026-01-02 10:11:12,123 INFO loss=0.3", None, {"loss": 0.3}),
    (
        "{'loss': '0.5', 'learning_rate': 5e-05, 'epoch': 0.1}",
        None,
        {"loss": 0.5, "learning_rate": 5e-05, "epoch": 0.1},
    ),
    ('{"step": 3, "loss": 0.5, "ok": true, "name": "x", "inner": {"a": 1}}', 3, {"loss": 0.5}),
    ('{"epoch": 2.0, "loss": -1e-3}', 2, {"loss": -0.001}),
    ("global_step=12 epoch=2 loss=0.1", 12, {"epoch": 2.0, "loss": 0.1}),
    ("step: 3, epoch: 1, loss: 0.1", 3, {"epoch": 1.0, "loss": 0.1}),
    ("[step 7] map@50=0.3 val/loss=.5", 7, {"map@50": 0.3, "val/loss": 0.5}),
    ("loss      = 0.33", None, {"loss": 0.33}),
    ("step=5 loss = 0.3.", 5, {"loss": 0.3}),
    ("accuracy: 93.5%", None, {"accuracy": 93.5}),
    ("a=1;b=2|c=3", None, {"a": 1.0, "b": 2.0, "c": 3.0}),
    ("\x1b[32mloss\x1b[0m=\x1b[1m0.2\x1b[0m", None, {"loss": 0.2}),
    ("x=1e999 y=-inf", None, {"x": math.inf, "y": -math.inf}),
    ('{"big": 1' + "0" * 400 + "}", None, {"big": math.inf}),
    ("epochs=10 lr=0.1", None, {"epochs": 10.0, "lr": 0.1}),
]

NOTHING = [
    "",
    "no metrics here",
    "12:30:01",
    "time: 12:30:01",
    "version: 1.2.3",
    "ip=10.0.0.1",
    "speed=3.2it/s",
    "took: 0.5s",
    "x=1,5",
    "batch: 10/200",
    "date=2026-01-02",
    "hex=0x1f",
    "n=1_000",
    "ERROR: 5",
    "http://localhost:8080/?x=3",
    "x==3 y>=2 z<=1 w!=1 a += 1",
    "step=3",
    "Epoch 3/10",
    'File "x.py", line 12: x',
    "loss=",
    "=0.3",
    "loss=abc",
    "{not json: }",
    "[1, 2, 3]",
    "[" * 10000 + "=",
    '{"a":' * 10000 + "=}",
]


@pytest.mark.parametrize(("line", "step", "metrics"), METRICS)
def test_metrics(line, step, metrics):
    assert parse(line.encode()) == (step, metrics)


def test_nan():
    found = parse(b"loss=nan")
    assert math.isnan(found.metrics["loss"])


@pytest.mark.parametrize("line", NOTHING)
def test_no_metrics(line):
    assert parse(line.encode()) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(data):
    parse(data)
    parse(b"a=1 " + data)


@given(name=st.from_regex(r"[A-Za-z_][\w./@-]{0,20}", fullmatch=True), value=st.floats(allow_nan=False))
def test_what_python_prints_is_read_back(name, value):
    if name.lower() in ("step", "global_step", "iteration", "iter", "epoch"):
        return
    assert parse(f"{name}={value!r}".encode()).metrics == {name: value}


def test_a_line_holds_a_bounded_number_of_metrics():
    assert len(parse(b" ".join(b"m%d=1" % i for i in range(5000))).metrics) == MAX_METRICS


@pytest.mark.parametrize(
    ("part", "before", "after"),
    [(b"a", b"", b"="), (b"a ", b"", b"="), (b"step ", b"", b"="), (b" ", b"a:", b""), (b"'a'", b"", b":")],
)
def test_reading_takes_no_more_than_in_proportion_to_the_line(part, before, after, monkeypatch):
    """Where the time grew with the square of the length, these 2 MiB would take hours: the suite's timeout would end it."""
    monkeypatch.setattr(printed, "MAX_LINE", 4 << 20)
    assert parse(before + part * ((2 << 20) // len(part)) + after) is None


def test_a_line_that_is_too_long_is_not_read():
    line = b"loss=1 " + b"x" * MAX_LINE
    assert parse(line) is None
    assert parse(line[:MAX_LINE]).metrics == {"loss": 1.0}


class TestLines:
    def test_lines_are_put_together_across_pieces(self):
        lines = Lines()
        assert [*lines.feed(b"val_lo"), *lines.feed(b"ss=0.2"), *lines.feed(b"1\nnext=")] == [b"val_loss=0.21"]
        assert lines.end() == b"next="

    def test_carriage_returns_end_lines_too(self):
        assert list(Lines().feed(b"a\rb\r\nc\n")) == [b"a", b"b", b"", b"c"]

    def test_a_line_that_is_too_long_is_left_out_and_the_next_one_counts(self):
        lines = Lines()
        got = [line for _ in range(100) for line in lines.feed(b"x" * 10000)]
        assert got == []
        assert list(lines.feed(b"y\nnext\n")) == [b"next"]

    @given(st.lists(st.binary(max_size=50)))
    def test_pieces_do_not_matter(self, pieces):
        lines = Lines()
        got = [line for piece in pieces for line in lines.feed(piece)] + [lines.end()]
        assert got == b"".join(pieces).replace(b"\r", b"\n").split(b"\n")
