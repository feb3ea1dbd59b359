"""Plans: what the next reconciles would do, found out by letting them.

The real reconcilers run on virtual time, against clouds in memory that hold what the rows' statuses
say exists, on a copy of the rows that is dropped afterwards.
"""

from deploy.plan.documents import DocumentError, Wish, parse
from deploy.plan.known import Known
from deploy.plan.outcomes import Outcome
from deploy.plan.rehearsal import Rehearsal, rehearse
from deploy.plan.scratch import ScratchError
from deploy.plan.steps import Step

__all__ = [
    "DocumentError",
    "Known",
    "Outcome",
    "Rehearsal",
    "ScratchError",
    "Step",
    "Wish",
    "parse",
    "rehearse",
]
