"""pytest for the suites that cannot do without it, or else the line that installs it.

Whatever else this package offers imports without it, so that plugins may lean on the fakes in programs of their own.
"""

from __future__ import annotations

from trialist.core.errors import MissingExtra

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingExtra("the contract suite of stores", "dev", "pytest") from error

__all__ = ["pytest"]
