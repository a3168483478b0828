"""``import trialist`` and ``trialist --help`` load no heavy library: asserted on what is loaded, never on a clock."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "numpy", "scipy", "pandas", "sqlalchemy", "alembic", "rich", "typer", "ruamel", "PIL", "sklearn", "torch", "pydantic",
)  # fmt: skip
LIGHT_ON_HELP = ("numpy", "scipy", "pandas", "sqlalchemy", "alembic", "ruamel", "PIL", "sklearn", "torch")


def loaded_after(code: str, watched: tuple[str, ...]) -> set[str]:
    """Which of the watched packages are loaded once ``code`` has run in a fresh process."""
    probe = f"{code}\nimport sys\nprint('LOADED', *sorted({{m.partition('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.rsplit("LOADED", 1)[1].split()) & set(watched)


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded_after("import numpy", HEAVY) == {"numpy"}


@pytest.mark.parametrize(
    "code",
    [
        "import trialist",
        "import trialist; dir(trialist); trialist.__version__",
        "from trialist import report, params, emit_progress, checkpoint_dir, Stopped, Paused",
        "from trialist import TrialistError, ConfigError",
        "from trialist import TrainingEngine",
        "import trialist.core.ports, trialist.core.fold, trialist.core.wire",
        "from trialist import SearchSpace, Float, Int, Choice, Fixed",
    ],
)
def test_the_light_names_load_nothing_heavy(code: str) -> None:
    assert loaded_after(code, HEAVY) == set()


def test_help_loads_no_database_and_no_numbers() -> None:
    code = (
        "import sys\nsys.argv = ['trialist', '--help']\nfrom trialist.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, None), end.code"
    )
    assert loaded_after(code, LIGHT_ON_HELP) == set()
