"""``report.html``: one self-contained page, light or dark as its reader likes, that fits a telephone and a printer.

No script, no font and no picture from elsewhere; everything that came from a study is escaped. Knows no file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from trialist._version import __version__
from trialist.analysis.axes import number
from trialist.analysis.draw.layout import short
from trialist.analysis.draw.with_svg import draw, style_sheet
from trialist.analysis.plots.record import Plot
from trialist.analysis.series import flat
from trialist.analysis.snapshot import Snapshot

_STYLE = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--text);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:44px 0 2px;overflow-wrap:anywhere}
p{margin:4px 0 12px}.soft,.sub{color:var(--soft)}.sub{font-size:13px;margin:0 0 12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:24px 0 8px}
.tile{border:1px solid var(--grid);border-radius:10px;padding:12px 16px;min-width:0}
.tile b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.tile span{color:var(--soft);font-size:13px;display:block;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{font-weight:600;color:var(--soft);text-align:left;white-space:nowrap}
th,td{padding:6px 14px 6px 0;border-bottom:1px solid var(--grid);vertical-align:top}
td.num,th.num{text-align:right;white-space:nowrap}td.key{color:var(--soft)}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.best td{width:50%}tr.first td{font-weight:600}
.bad{color:var(--bad)}
details{border-bottom:1px solid var(--grid);padding:6px 0}summary{cursor:pointer;overflow-wrap:anywhere}
pre{overflow-x:auto;background:color-mix(in srgb,var(--text) 5%,transparent);padding:12px;border-radius:8px;
font:12px/1.5 ui-monospace,Menlo,Consolas,monospace;max-height:420px}
footer{margin-top:56px;color:var(--soft);font-size:13px}
@media (max-width:640px){main{padding:20px 14px 40px}h1{font-size:23px}.figure{overflow-x:auto}.figure .plot{min-width:620px}}
@media print{main{max-width:none;padding:0}section{break-inside:avoid}}
"""
_MOST_DETAILS = 5
_MOST_COLUMNS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What a page is made from."""

    snapshot: Snapshot
    analysis: Mapping[str, Any]
    plots: Sequence[Plot]
    files: Sequence[str] = ()
    """Beside it, by their names."""
    note: str = ""


def render_page(page: Page) -> str:
    """The whole page as text."""
    name = escape(_one_line(page.snapshot.name, 200))
    body = [*_head(page), *_tiles(page), *_best(page)]
    body += map(_section, page.plots)
    body += [*_top(page), *_failures(page), *_foot(page)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{name}</title><style>{style_sheet()}{_STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _section(plot: Plot) -> str:
    return (
        f'<section><h2>{escape(short(plot.title, 160))}</h2><p class="sub">{escape(_explained(plot))}</p>'
        f'<div class="figure">{draw(plot)}</div></section>'
    )


_EXPLAINED = {
    "history": "Each point is a trial; the line is the best value until then.",
    "importance": "How much of what tells good trials from others each parameter accounts for.",
    "slice": "Each point is a trial, stronger where it came later.",
    "parallel-coordinates": "Each line is a trial, from its parameters to its value; strong lines are good trials.",
    "distributions": "Where the best tenth of the trials lies among all of them.",
    "learning-curves": "The metric as trials went on.",
    "timeline": "When each trial ran.",
    "pareto": "Trials that no other one beats in every metric.",
}


def _explained(plot: Plot) -> str:
    tail = plot.subtitle.partition(" · ")[2] if plot.kind in ("importance", "timeline", "pareto") else ""
    return " ".join(filter(None, (_EXPLAINED.get(plot.kind, ""), f"{tail[:1].upper()}{tail[1:]}." if tail else "")))


def _head(page: Page) -> Iterable[str]:
    snapshot, told = page.snapshot, page.analysis
    way = "lower" if told["mode"] == "min" else "higher"
    parts = [
        f"searched by {snapshot.searcher}" if snapshot.searcher else "",
        f"scheduler {snapshot.scheduler}" if snapshot.scheduler else "",
        f"seed {snapshot.seed}" if snapshot.seed is not None else "",
        f"{told['metric']}, {way} is better",
    ]
    yield f"<h1>{escape(_one_line(snapshot.name, 200))}</h1>"
    why = f": {snapshot.reason}" if snapshot.reason else ""
    status = f"{snapshot.status}{why}" if snapshot.status else ""
    yield f'<p class="soft">{escape(" · ".join(filter(None, [_one_line(status, 200), *parts])))}</p>'


def _tiles(page: Page) -> Iterable[str]:
    told = page.analysis
    trials, best, spent = told["trials"], told["best_trial"], told["duration"]
    counts = [f"{trials[status]:,} {status}" for status in trials if status != "total" and trials[status]]
    yield '<div class="tiles">'
    if best["number"] is None:
        yield _tile("none", "no trial has a value that counts")
    else:
        yield _tile(number(best["score"]), f"best {told['metric']}, trial {best['number']}")
    yield _tile(f"{trials['total']:,}", " · ".join(counts) or "trials")
    each = spent["median_trial_s"]
    yield _tile(
        _duration(spent["wall_s"]),
        "from first to last trial" + ("" if each is None else f" · {_duration(each)} a trial"),
    )
    saved = told["early_stopping_savings"]
    if saved["stopped_trials"]:
        yield _tile(f"{saved['share']:.0%}", f"of the steps saved by stopping {saved['stopped_trials']:,} trials early")
    if told["failures"]["total"]:
        share = told["failures"]["share"]
        yield _tile(f"{told['failures']['total']:,}", f"failed, {share:.0%} of all trials", bad=True)
    yield "</div>"


def _tile(value: str, label: str, *, bad: bool = False) -> str:
    mark = ' class="bad"' if bad else ""
    return f'<div class="tile"><b{mark}>{escape(value)}</b><span>{escape(_one_line(label, 200))}</span></div>'


def _best(page: Page) -> Iterable[str]:
    best = page.analysis["best_trial"]
    if best["number"] is None:
        return
    shares = page.analysis["parameter_importance"]
    rows = sorted(flat(best["params"]).items(), key=lambda item: -shares.get(item[0], 0.0))
    yield f'<section><h2>Best configuration</h2><p class="sub">Trial {best["number"]}</p>'
    yield '<div class="scroll"><table class="best"><tr><th>parameter</th><th>value</th></tr>'
    for name, value in rows:
        yield f'<tr><td class="key"><code>{escape(_one_line(name, 200))}</code></td><td><code>{escape(_value(value, 400))}</code></td></tr>'
    yield "</table></div></section>"


def _top(page: Page) -> Iterable[str]:
    top = page.analysis["top_k_trials"]
    if not top:
        return
    shares = page.analysis["parameter_importance"]
    names = sorted(
        {name for one in top for name in flat(one["params"])}, key=lambda name: (-shares.get(name, 0.0), name)
    )
    shown = names[:_MOST_COLUMNS]
    more = f" {len(names) - len(shown)} more parameters are in trials.csv." if len(names) > len(shown) else ""
    yield f'<section><h2>Best trials</h2><p class="sub">The {len(top)} best, with their most important parameters.{more}</p>'
    yield '<div class="scroll"><table><tr><th class="num">trial</th>'
    yield f'<th class="num">{escape(short(page.analysis["metric"], 30))}</th>'
    yield "".join(f"<th>{escape(short(name, 30))}</th>" for name in shown)
    yield '<th class="num">time</th><th>status</th></tr>'
    for place, one in enumerate(top):
        values = flat(one["params"])
        cells = "".join(
            f"<td><code>{escape(_value(values[name], 40)) if name in values else '–'}</code></td>" for name in shown
        )
        looks = "first" if place == 0 else "next"
        yield (
            f'<tr class="{looks}"><td class="num">{one["number"]}</td>'
            f'<td class="num">{escape(number(one["score"]))}</td>{cells}'
            f'<td class="num">{_duration(one["seconds"])}</td><td>{escape(one["status"])}</td></tr>'
        )
    yield "</table></div></section>"


def _failures(page: Page) -> Iterable[str]:
    told = page.analysis["failures"]
    if not told["commonest"]:
        return
    details = {trial.number: trial.error.detail for trial in page.snapshot.trials if trial.error is not None}
    yield f'<section><h2>Failures</h2><p class="sub">{told["total"]:,} trials, by what they said</p>'
    for place, group in enumerate(told["commonest"]):
        first = group["trials"][0]
        message = f"{group['times']:,} × {_one_line(group['message'], 300)}"
        where = f' <span class="soft">{escape(group["reason"])}, first in trial {first}</span>'
        detail = details.get(first, "").strip() if place < _MOST_DETAILS else ""
        if detail:
            yield f"<details><summary>{escape(message)}{where}</summary><pre>{escape(_printable(detail))}</pre></details>"
        else:
            yield f"<details><summary>{escape(message)}{where}</summary><p>trial {first} left no traceback</p></details>"
    yield "</section>"


def _foot(page: Page) -> Iterable[str]:
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(page.snapshot.at)) if page.snapshot.at else ""
    files = ", ".join(f"<code>{escape(name)}</code>" for name in page.files)
    yield "<footer>"
    if files:
        yield f"<p>Beside this page: {files}.</p>"
    if page.note:
        yield f"<p>No PNGs: {escape(page.note)}</p>"
    yield f"<p>Trialist {escape(__version__)}{f', as of {at}' if at else ''}</p></footer>"


def _value(value: Any, most: int) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _one_line(text, most)


def _one_line(text: str, most: int) -> str:
    flat_text = " ".join(_printable(text).split())
    return flat_text if len(flat_text) <= most else flat_text[: most - 1] + "…"


def _printable(text: str) -> str:
    """Text that may stand in a file: lone surrogates and control characters are shown as question marks."""
    return "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
