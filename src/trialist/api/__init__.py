"""The Python API under every door: make, load, list and delete studies, and hold one."""

from trialist.api.checking import Finding, Fsck, Severity, fsck
from trialist.api.importing import Moved, import_studies
from trialist.api.opening import create_study, delete_study, list_studies, load_study
from trialist.api.study import Study
from trialist.api.trials import AskedTrial, TrialHandle

__all__ = [
    "AskedTrial",
    "Finding",
    "Fsck",
    "Moved",
    "Severity",
    "Study",
    "TrialHandle",
    "create_study",
    "delete_study",
    "fsck",
    "import_studies",
    "list_studies",
    "load_study",
]
