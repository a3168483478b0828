"""The command line: parse, call a front door or the api, print.

``main`` is the console entry point, and the one place that turns errors into words and exit codes. A verb's module is
loaded when it is called, so ``trialist --help`` loads none of them.
"""

from __future__ import annotations

from trialist.cli.entry import main as main

__all__ = ["main"]
