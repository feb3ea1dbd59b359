"""Who owns which field of an object: the ownership that Kubernetes' server-side apply keeps.

Pure functions over JSON, without I/O: who writes an object asks here what `metadata.managedFields`
becomes, and what an applied configuration makes of the object.
The rules are those of the Kubernetes documentation ("Server-Side Apply") and of its library
structured-merge-diff; where ours differ on purpose, the docstrings say so.
"""

from crds.managed_fields.conflicts import ApplyConflictError, Conflict
from crds.managed_fields.entries import accept_entries
from crds.managed_fields.fields import Json
from crds.managed_fields.ownership import apply, record_update

__all__ = ["ApplyConflictError", "Conflict", "Json", "accept_entries", "apply", "record_update"]
