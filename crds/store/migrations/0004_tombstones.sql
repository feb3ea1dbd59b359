-- migrate:up

-- What became of rows that are gone. The collector removes what such a row stood for, if some of it
-- is left outside, and nothing that it finds neither a row nor a tombstone of.
CREATE TABLE tombstones (
  uid uuid PRIMARY KEY,
  kind text NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  -- `Deleted` when the row went in order; else why somebody let it go before that.
  reason text NOT NULL,
  forced boolean NOT NULL DEFAULT false,
  details jsonb NOT NULL DEFAULT '{}',
  at timestamptz NOT NULL DEFAULT now(),
  -- Since when nothing of it is left outside.
  gone_at timestamptz
);
CREATE INDEX tombstones_standing ON tombstones (uid) WHERE gone_at IS NULL;
CREATE INDEX tombstones_age ON tombstones (gone_at);

CREATE FUNCTION bury_object() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO tombstones (uid, kind, namespace, name, reason)
    VALUES (OLD.uid, OLD.kind, OLD.namespace, OLD.name, 'Deleted')
    ON CONFLICT (uid) DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER bury AFTER DELETE ON objects FOR EACH ROW EXECUTE FUNCTION bury_object();

INSERT INTO tombstones (uid, kind, namespace, name, reason, at)
  SELECT uid, kind, namespace, name, 'Deleted', max(logged_at) FROM object_log
  WHERE type = 'DELETED' GROUP BY uid, kind, namespace, name
  ON CONFLICT (uid) DO NOTHING;

-- A row that an open transaction holds, an operator's perhaps, is waited for only this long: whoever
-- waits has one of the process's few connections. Returns what held before, to be put back before
-- anything else is waited for.
CREATE FUNCTION lock_briefly() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  usual text := current_setting('lock_timeout');
BEGIN
  PERFORM set_config('lock_timeout', '250ms', true);
  RETURN usual;
END $$;

-- The fence comes after the row's lock from here on: who waits for a row must not hold the lease,
-- whose holder could not renew it meanwhile.

-- Makes an object. Outcome: ok, conflict, fenced; a taken key is a unique violation.
-- A key that somebody's open transaction is taking is a conflict: see `lock_briefly`.
-- It goes by way of the deferred trigger: taking the log's lock before the insert could wait for an
-- insert of the same key by plain SQL that in its turn waits for the lock.
CREATE OR REPLACE FUNCTION create_object(
  of_uid uuid, of_kind text, of_namespace text, of_name text, at timestamptz,
  fence_lease text, fence_epoch bigint, actor jsonb, new_spec jsonb, new_status jsonb,
  new_labels jsonb, new_annotations jsonb, new_finalizers text[], new_owner_references jsonb,
  new_managed_fields jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
DECLARE
  usual text;
BEGIN
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN QUERY SELECT 'fenced', NULL::jsonb;
    RETURN;
  END IF;
  PERFORM set_config('invoker.rings', 'on', true),
    set_config('invoker.actor', coalesce(actor::text, ''), true);
  usual := lock_briefly();
  BEGIN
    INSERT INTO objects (uid, kind, namespace, name, creation_timestamp, spec, status, labels,
        annotations, finalizers, owner_references, managed_fields)
      VALUES (coalesce(of_uid, gen_random_uuid()), of_kind, of_namespace, of_name, at, new_spec,
        new_status, new_labels, new_annotations, new_finalizers, new_owner_references,
        new_managed_fields);
  EXCEPTION WHEN lock_not_available THEN
    RETURN QUERY SELECT 'conflict', NULL::jsonb;
    RETURN;
  END;
  PERFORM set_config('lock_timeout', usual, true);
  SET CONSTRAINTS log_at_commit IMMEDIATE;
  RETURN QUERY SELECT 'ok', to_jsonb(o) FROM objects o
    WHERE o.kind = of_kind AND o.namespace = of_namespace AND o.name = of_name;
END $$;

-- Writes spec and metadata, and the status too when one is given.
-- Outcome: ok, conflict, fenced or missing.
CREATE OR REPLACE FUNCTION write_object(
  of_uid uuid, expected bigint, fence_lease text, fence_epoch bigint, actor jsonb,
  new_spec jsonb, new_status jsonb, new_labels jsonb, new_annotations jsonb,
  new_finalizers text[], new_owner_references jsonb, new_managed_fields jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
DECLARE
  found_row objects%ROWTYPE;
  usual text := lock_briefly();
BEGIN
  BEGIN
    SELECT * INTO found_row FROM objects WHERE uid = of_uid FOR UPDATE;
  EXCEPTION WHEN lock_not_available THEN
    RETURN QUERY SELECT 'conflict', NULL::jsonb;
    RETURN;
  END;
  PERFORM set_config('lock_timeout', usual, true);
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN QUERY SELECT 'fenced', NULL::jsonb;
    RETURN;
  END IF;
  IF found_row.uid IS NULL THEN
    RETURN QUERY SELECT 'missing', NULL::jsonb;
    RETURN;
  END IF;
  IF expected <> 0 AND found_row.resource_version <> expected THEN
    RETURN QUERY SELECT 'conflict', NULL::jsonb;
    RETURN;
  END IF;
  PERFORM write_directly();
  PERFORM set_config('invoker.actor', coalesce(actor::text, ''), true);
  UPDATE objects SET spec = new_spec, status = coalesce(new_status, status), labels = new_labels,
    annotations = new_annotations, finalizers = new_finalizers,
    owner_references = new_owner_references, managed_fields = new_managed_fields
    WHERE uid = of_uid RETURNING * INTO found_row;
  IF NOT FOUND THEN  -- nothing changed
    SELECT * INTO found_row FROM objects WHERE uid = of_uid;
  END IF;
  RETURN QUERY SELECT 'ok', to_jsonb(found_row);
END $$;

-- Asks for deletion. Outcome: ok, conflict, fenced or missing; the object as it is then, if it is.
CREATE OR REPLACE FUNCTION delete_object(
  of_kind text, of_namespace text, of_name text, expected_uid uuid, expected bigint,
  at timestamptz, fence_lease text, fence_epoch bigint, actor jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
DECLARE
  found_row objects%ROWTYPE;
  usual text := lock_briefly();
BEGIN
  BEGIN
    SELECT * INTO found_row FROM objects
      WHERE kind = of_kind AND namespace = of_namespace AND name = of_name FOR UPDATE;
  EXCEPTION WHEN lock_not_available THEN
    RETURN QUERY SELECT 'conflict', NULL::jsonb;
    RETURN;
  END;
  PERFORM set_config('lock_timeout', usual, true);
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN QUERY SELECT 'fenced', NULL::jsonb;
    RETURN;
  END IF;
  IF found_row.uid IS NULL THEN
    RETURN QUERY SELECT 'missing', NULL::jsonb;
    RETURN;
  END IF;
  IF (expected_uid IS NOT NULL AND found_row.uid <> expected_uid)
     OR (expected <> 0 AND found_row.resource_version <> expected) THEN
    RETURN QUERY SELECT 'conflict', NULL::jsonb;
    RETURN;
  END IF;
  PERFORM write_directly();
  PERFORM set_config('invoker.actor', coalesce(actor::text, ''), true);
  IF found_row.finalizers = '{}' THEN
    DELETE FROM objects WHERE uid = found_row.uid;
  ELSE
    UPDATE objects SET deletion_timestamp = coalesce(deletion_timestamp, at)
      WHERE uid = found_row.uid;
  END IF;
  RETURN QUERY SELECT 'ok', (SELECT to_jsonb(o) FROM objects o WHERE o.uid = found_row.uid);
END $$;

-- migrate:down
DROP TRIGGER bury ON objects;
DROP FUNCTION bury_object, lock_briefly;
DROP TABLE tombstones;
