-- migrate:up

-- Who writes, and how, is said in settings. They end with the function that says them: what else is
-- in its transaction, an edit by plain SQL perhaps, is neither its actor's nor direct.
-- (Not by a function's own SET: only superusers may have one of a setting that nobody declared.)
CREATE FUNCTION forget_writer() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('invoker.actor', '', true), set_config('invoker.direct', '', true),
    set_config('invoker.rings', '', true);
END $$;

-- Edits by plain SQL before this point of the transaction are given their places in the log, in
-- their own name: what follows may change the same rows, and comes after them.
CREATE OR REPLACE FUNCTION finish_earlier_writes() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  SET CONSTRAINTS log_at_commit, log_deletion IMMEDIATE;
  SET CONSTRAINTS log_at_commit, log_deletion DEFERRED;
END $$;

-- Deletions by our own functions are logged while these run, as their updates are.
DROP TRIGGER log_deletion ON objects;
CREATE TRIGGER log_deletion_directly AFTER DELETE ON objects
  FOR EACH ROW WHEN (writes_directly()) EXECUTE FUNCTION log_change();
CREATE CONSTRAINT TRIGGER log_deletion AFTER DELETE ON objects
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NOT writes_directly()) EXECUTE FUNCTION log_change();

-- Writes many statuses under one lock of the log. Outcome a row: ok, conflict, fenced or missing.
-- A row that somebody else has locked counts as moved: the batch must not wait for an operator's open
-- transaction while it holds the leases.
CREATE OR REPLACE FUNCTION write_statuses(wishes jsonb)
RETURNS TABLE (ord int, outcome text, resource_version bigint) LANGUAGE plpgsql AS $$
DECLARE
  locked uuid[];
BEGIN
  PERFORM write_directly();
  PERFORM 1 FROM leases l
    WHERE l.name IN (SELECT w->>'lease' FROM jsonb_array_elements(wishes) w)
    ORDER BY l.name FOR SHARE;
  locked := ARRAY(
    SELECT o.uid FROM objects o
    WHERE o.uid IN (SELECT (w->>'uid')::uuid FROM jsonb_array_elements(wishes) w)
    ORDER BY o.uid FOR UPDATE SKIP LOCKED
  );
  PERFORM pg_advisory_xact_lock(7309453);
  RETURN QUERY
    WITH wish AS (
      SELECT * FROM jsonb_to_recordset(wishes)
        AS w(ord int, uid uuid, status jsonb, expected bigint, lease text, epoch bigint)
    ), judged AS (
      SELECT wish.*, o.resource_version AS present,
        CASE
          WHEN o.uid IS NULL THEN 'missing'
          WHEN wish.lease IS NOT NULL AND l.name IS NULL THEN 'fenced'
          WHEN o.uid <> ALL (locked) THEN 'conflict'
          WHEN wish.expected <> 0 AND o.resource_version <> wish.expected THEN 'conflict'
          ELSE 'ok'
        END AS verdict
      FROM wish
      LEFT JOIN objects o ON o.uid = wish.uid
      LEFT JOIN leases l
        ON l.name = wish.lease AND l.epoch = wish.epoch AND l.holder IS NOT NULL
    ), written AS (
      UPDATE objects o SET status = judged.status
      FROM judged WHERE o.uid = judged.uid AND judged.verdict = 'ok'
      RETURNING o.uid, o.resource_version
    )
    SELECT judged.ord, judged.verdict, coalesce(written.resource_version, judged.present)
    FROM judged LEFT JOIN written ON written.uid = judged.uid;
  PERFORM forget_writer();
END $$;

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
  PERFORM finish_earlier_writes();
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
    PERFORM forget_writer();
    RETURN QUERY SELECT 'conflict', NULL::jsonb;
    RETURN;
  END;
  PERFORM set_config('lock_timeout', usual, true);
  SET CONSTRAINTS log_at_commit IMMEDIATE;
  SET CONSTRAINTS log_at_commit DEFERRED;
  PERFORM forget_writer();
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
  usual text;
BEGIN
  PERFORM finish_earlier_writes();
  usual := lock_briefly();
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
  PERFORM forget_writer();
  RETURN QUERY SELECT 'ok', to_jsonb(found_row);
END $$;

-- Asks for deletion. Outcome: ok, conflict, fenced or missing; the object as it is then, if it is.
CREATE OR REPLACE FUNCTION delete_object(
  of_kind text, of_namespace text, of_name text, expected_uid uuid, expected bigint,
  at timestamptz, fence_lease text, fence_epoch bigint, actor jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
DECLARE
  found_row objects%ROWTYPE;
  usual text;
BEGIN
  PERFORM finish_earlier_writes();
  usual := lock_briefly();
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
  PERFORM forget_writer();
  RETURN QUERY SELECT 'ok', (SELECT to_jsonb(o) FROM objects o WHERE o.uid = found_row.uid);
END $$;

-- migrate:down
-- The functions that call what is new here stay, and so does it.
DROP TRIGGER log_deletion ON objects;
DROP TRIGGER log_deletion_directly ON objects;
CREATE CONSTRAINT TRIGGER log_deletion AFTER DELETE ON objects
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION log_change();
