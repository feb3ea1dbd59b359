"""Rows of buckets and objects, read and written under the role of the caller."""

import json
from dataclasses import dataclass
from typing import Any

from deploy.local.services.database import Connection


@dataclass(frozen=True, slots=True)
class Object:
    """What is known of an object.

    Attributes:
        version: Which version its file is.
        metadata: Size, type and ETag.
    """

    version: str
    metadata: dict[str, Any]


async def buckets(connection: Connection) -> list[dict[str, Any]]:
    """The buckets that the caller sees."""
    cursor = await connection.execute(
        "select id, name, coalesce(owner::text, ''), public, file_size_limit, allowed_mime_types,"
        " created_at, updated_at from storage.buckets order by id"
    )
    names = ("id", "name", "owner", "public", "file_size_limit", "allowed_mime_types")
    return [
        {
            **dict(zip(names, row, strict=False)),
            "created_at": row[6].isoformat(),
            "updated_at": row[7].isoformat(),
        }
        for row in await cursor.fetchall()
    ]


async def add_bucket(
    connection: Connection, name: str, owner: str | None, *, is_public: bool
) -> None:
    """Make a bucket."""
    await connection.execute(
        "insert into storage.buckets (id, name, owner, public) values (%s, %s, %s, %s)",
        [name, name, owner, is_public],
    )


async def remove_bucket(connection: Connection, name: str) -> None:
    """Delete a bucket that has no objects."""
    await connection.execute("delete from storage.buckets where id = %s", [name])


async def find_object(
    connection: Connection, bucket: str, name: str, *, only_public: bool = False
) -> Object | None:
    """The object, if the caller sees it."""
    cursor = await connection.execute(
        "select version, metadata from storage.objects where bucket_id = %s and name = %s"
        " and (not %s or bucket_id in (select id from storage.buckets where public))",
        [bucket, name, only_public],
    )
    row = await cursor.fetchone()
    return None if row is None else Object(*row)


async def add_object(
    connection: Connection, bucket: str, name: str, row: Object, owner: str | None
) -> str:
    """Make an object; returns its id."""
    # The id is not read back: whoever may write need not be allowed to read.
    cursor = await connection.execute("select gen_random_uuid()::text")
    (made,) = await cursor.fetchone() or ("",)
    await connection.execute(
        "insert into storage.objects (id, bucket_id, name, owner, version, metadata)"
        " values (%s, %s, %s, %s, %s, %s)",
        [made, bucket, name, owner, row.version, json.dumps(row.metadata)],
    )
    return str(made)


async def replace_object(
    connection: Connection, bucket: str, name: str, row: Object, owner: str | None
) -> str:
    """Give an object another version; returns its id.

    Raises:
        psycopg.errors.InsufficientPrivilege: The caller sees it and may not change it.
    """
    cursor = await connection.execute(
        "update storage.objects set version = %s, metadata = %s, owner = coalesce(%s, owner),"
        " updated_at = now() where bucket_id = %s and name = %s returning id::text",
        [row.version, json.dumps(row.metadata), owner, bucket, name],
    )
    found = await cursor.fetchone()
    if found is None:
        # The database leaves such rows out in silence; Storage tells it as a refusal.
        return await add_object(connection, bucket, name, row, owner)
    return str(found[0])


async def remove_object(connection: Connection, bucket: str, name: str) -> str | None:
    """Delete an object.

    Returns:
        The version it had; None when the caller sees no such object or may not delete it.
    """
    cursor = await connection.execute(
        "delete from storage.objects where bucket_id = %s and name = %s returning version",
        [bucket, name],
    )
    found = await cursor.fetchone()
    return None if found is None else str(found[0])
