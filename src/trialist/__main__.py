"""``python -m trialist``: the same as the command ``trialist``."""

from __future__ import annotations

from trialist.cli import main

if __name__ == "__main__":
    main()
