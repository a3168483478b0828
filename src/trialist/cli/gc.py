"""``trialist gc``."""

from __future__ import annotations

from trialist.api.cleaning import find_garbage, remove
from trialist.cli.options import DryRunOption, JsonOption, StoreOption, nothing_yet, opened_store
from trialist.cli.output import Column, clean, console, emit, plural, print_table, say, size


def gc(dry_run: DryRunOption = False, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Remove files that no study needs any more.

    What deleted studies left behind, freed checkpoints, half-written ones. Looks only beside the store; studies that a
    process leads, and what a sweep wrote into runs/, are left alone.
    """
    rows: list[dict[str, object]] = []
    total = 0
    if not nothing_yet(store):
        with opened_store(store) as there:
            for garbage in find_garbage(there):
                error = ""
                if not dry_run:
                    try:
                        remove(garbage)
                    except OSError as problem:
                        error = f"cannot be removed: {problem.strerror}"
                total += 0 if error else garbage.num_bytes
                rows.append(
                    {"path": str(garbage.path), "num_bytes": garbage.num_bytes, "why": garbage.why, "error": error}
                )
    if as_json:
        emit({"dry_run": dry_run, "num_bytes": total, "items": rows})
        return
    to = console()
    if not rows:
        say(to, "Nothing to remove.")
        return
    columns = [Column("SIZE", right=True), Column("WHY"), Column("PATH", gives_way=True)]
    print_table(
        to,
        columns,
        [
            (size(int(str(row["num_bytes"]))), clean(str(row["error"] or row["why"])), clean(str(row["path"])))
            for row in rows
        ],
    )
    done = "Would remove" if dry_run else "Removed"
    say(to, f"\n{done} {plural(len([r for r in rows if not r['error']]), 'item')}, {size(total)}.")
