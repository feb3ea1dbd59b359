from controller.providers.cloudflare.client import KVEntry, KVKey, WorkersKV

__all__ = ["KVEntry", "KVKey", "WorkersKV"]
