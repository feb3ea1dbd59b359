"""Supabase Auth: users, sessions, ES256 tokens."""

from deploy.local.simulators.auth.api import AuthAPI, auth_api
from deploy.local.simulators.auth.state import AuthError, Session, User
from deploy.local.simulators.auth.users import SupabaseAuth

__all__ = ["AuthAPI", "AuthError", "Session", "SupabaseAuth", "User", "auth_api"]
