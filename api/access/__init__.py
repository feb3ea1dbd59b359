"""Who comes in through the operators' doors, and what they may do."""

from api.access.authenticate import Authenticator, UnauthenticatedError
from api.access.identity import ANONYMOUS, Identity
from api.access.policy import Attributes, allows, is_unlimited, may_change, may_read_path

__all__ = [
    "ANONYMOUS",
    "Attributes",
    "Authenticator",
    "Identity",
    "UnauthenticatedError",
    "allows",
    "is_unlimited",
    "may_change",
    "may_read_path",
]
