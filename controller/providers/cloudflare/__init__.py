from controller.providers.cloudflare.client import BULK_DEADLINE, KVEntry, KVKey, WorkersKV

__all__ = ["BULK_DEADLINE", "KVEntry", "KVKey", "WorkersKV"]
