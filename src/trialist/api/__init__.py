"""The Python API under every door: make, load, list and delete studies, and hold one."""

from trialist.api.checking import Finding, Fsck, Severity, fsck
from trialist.api.importing import Moved, import_studies
from trialist.api.opening import create_study, delete_study, list_studies, list_workers, load_study
from trialist.api.study import Study
from trialist.api.trials import AskedTrial, TrialHandle
from trialist.api.workforce import Leads, Presence, Staff

__all__ = [
    "AskedTrial",
    "Finding",
    "Fsck",
    "Leads",
    "Moved",
    "Presence",
    "Severity",
    "Staff",
    "Study",
    "TrialHandle",
    "create_study",
    "delete_study",
    "fsck",
    "import_studies",
    "list_studies",
    "list_workers",
    "load_study",
]
