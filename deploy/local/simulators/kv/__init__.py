"""Cloudflare Workers KV: one store behind the REST API and behind workerd's binding."""

from deploy.local.simulators.kv.binding import KVBinding, kv_binding
from deploy.local.simulators.kv.rest import KVRest, kv_api
from deploy.local.simulators.kv.store import KV, Entry, KVNamespace

__all__ = ["KV", "Entry", "KVBinding", "KVNamespace", "KVRest", "kv_api", "kv_binding"]
