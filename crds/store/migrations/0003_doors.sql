-- migrate:up

-- Which manager owns which field (server-side apply); part of the metadata, but it wakes nobody.
ALTER TABLE objects ADD COLUMN managed_fields jsonb NOT NULL DEFAULT '[]'
  CHECK (jsonb_typeof(managed_fields) = 'array');

-- Tokens of our own: `id` is public, of the secret part only a digest is kept.
-- A session is a token that somebody's browser holds; it ends with the token it was opened with.
CREATE TABLE access_tokens (
  id text PRIMARY KEY,
  name text NOT NULL,
  digest bytea NOT NULL,
  role text NOT NULL CHECK (role IN ('platform-admin', 'support', 'account-owner', 'metrics')),
  account text NOT NULL DEFAULT '',
  parent text REFERENCES access_tokens (id) ON DELETE CASCADE,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz,
  last_used_at timestamptz,
  CHECK ((role = 'account-owner') = (account <> ''))
);
CREATE INDEX access_tokens_parent ON access_tokens (parent);
CREATE INDEX access_tokens_age ON access_tokens (expires_at);

-- Who wrote what. Controllers are not people: what they write is in the log and in the events.
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  subject text NOT NULL,
  role text NOT NULL,
  via text NOT NULL,
  request text NOT NULL DEFAULT '',
  verb text NOT NULL,
  kind text NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  uid uuid,
  resource_version bigint,
  before jsonb,
  after jsonb
);
CREATE INDEX audit_of_object ON audit (uid, id);
CREATE INDEX audit_age ON audit (at);

CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND coalesce(current_setting('invoker.retention', true), '') = 'on' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the audit is only added to' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE ON audit
  FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();

-- What the audit shows of a row: the status only when the write was about it.
CREATE FUNCTION audited(of_row objects, with_status boolean) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
    'labels', of_row.labels, 'annotations', of_row.annotations, 'finalizers', of_row.finalizers,
    'ownerReferences', of_row.owner_references, 'deletionTimestamp', of_row.deletion_timestamp,
    'spec', of_row.spec, 'status', CASE WHEN with_status THEN of_row.status END))
$$;

-- Writes down a write. The store's callers say who they are in `invoker.actor`; a write by plain SQL
-- is its database user's.
CREATE FUNCTION write_audit(operation text, before objects, after objects) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  actor jsonb := nullif(current_setting('invoker.actor', true), '')::jsonb;
  what objects := CASE WHEN operation = 'DELETE' THEN before ELSE after END;
  of_status boolean := operation = 'UPDATE' AND before.status IS DISTINCT FROM after.status;
BEGIN
  IF actor IS NULL THEN
    IF coalesce(current_setting('invoker.rings', true), '') = 'on' THEN
      RETURN;
    END IF;
    actor := jsonb_build_object(
      'subject', session_user, 'role', 'database', 'via', 'sql',
      'request', current_setting('application_name', true));
  END IF;
  INSERT INTO audit
    (subject, role, via, request, verb, kind, namespace, name, uid, resource_version, before, after)
  VALUES (
    actor->>'subject', actor->>'role', actor->>'via', coalesce(actor->>'request', ''),
    CASE
      WHEN operation = 'INSERT' THEN 'create'
      WHEN operation = 'DELETE' OR (before.deletion_timestamp IS NULL
        AND after.deletion_timestamp IS NOT NULL) THEN 'delete'
      ELSE 'update'
    END,
    what.kind, what.namespace, what.name, what.uid, what.resource_version,
    CASE WHEN operation <> 'INSERT' THEN audited(before, of_status) END,
    CASE WHEN operation <> 'DELETE' THEN audited(after, of_status) END
  );
END $$;

CREATE OR REPLACE FUNCTION admit_object() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.generation := 1;
    NEW.resource_version := 0;
    NEW.deletion_timestamp := NULL;
    RETURN NEW;
  END IF;

  IF coalesce(current_setting('invoker.stamping', true), '') = 'on' THEN
    RETURN NEW;
  END IF;
  IF (NEW.uid, NEW.kind, NEW.namespace, NEW.name, NEW.creation_timestamp)
     IS DISTINCT FROM (OLD.uid, OLD.kind, OLD.namespace, OLD.name, OLD.creation_timestamp) THEN
    RAISE EXCEPTION 'uid, kind, namespace, name and creation_timestamp are immutable'
      USING ERRCODE = 'check_violation';
  END IF;
  IF OLD.deletion_timestamp IS NOT NULL THEN
    NEW.deletion_timestamp := OLD.deletion_timestamp;
    IF NOT NEW.finalizers <@ OLD.finalizers THEN
      RAISE EXCEPTION 'no finalizer may be added to an object that is being deleted'
        USING ERRCODE = 'check_violation', COLUMN = 'finalizers';
    END IF;
  END IF;
  -- A write that changes nothing has no version and wakes nobody.
  IF (NEW.spec, NEW.status, NEW.labels, NEW.annotations, NEW.finalizers, NEW.owner_references,
      NEW.managed_fields, NEW.deletion_timestamp)
     IS NOT DISTINCT FROM
     (OLD.spec, OLD.status, OLD.labels, OLD.annotations, OLD.finalizers, OLD.owner_references,
      OLD.managed_fields, OLD.deletion_timestamp) THEN
    RETURN NULL;
  END IF;
  NEW.generation := OLD.generation;
  IF NEW.spec IS DISTINCT FROM OLD.spec
     OR NEW.deletion_timestamp IS DISTINCT FROM OLD.deletion_timestamp THEN
    NEW.generation := OLD.generation + 1;
  END IF;
  NEW.resource_version := CASE WHEN writes_directly() THEN take_place_in_log() ELSE 0 END;
  RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  what objects%ROWTYPE;
  metadata_or_spec boolean := true;
BEGIN
  IF TG_OP = 'DELETE' THEN
    what := OLD;
  ELSE
    what := NEW;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    metadata_or_spec := NEW.generation <> OLD.generation
      OR (NEW.labels, NEW.annotations, NEW.finalizers, NEW.owner_references)
         IS DISTINCT FROM (OLD.labels, OLD.annotations, OLD.finalizers, OLD.owner_references);
  END IF;

  IF TG_OP = 'UPDATE' AND what.resource_version <> 0 THEN
    place := what.resource_version;
  ELSE
    place := take_place_in_log();
    what.resource_version := place;
  END IF;
  INSERT INTO object_log
    (resource_version, type, kind, namespace, name, uid, spec_changed, object, previous)
  VALUES (
    place,
    CASE TG_OP WHEN 'INSERT' THEN 'ADDED' WHEN 'UPDATE' THEN 'MODIFIED' ELSE 'DELETED' END,
    what.kind, what.namespace, what.name, what.uid, metadata_or_spec, to_jsonb(what),
    CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END
  );
  IF TG_OP = 'INSERT' THEN
    PERFORM write_audit(TG_OP, NULL::objects, what);
  ELSIF TG_OP = 'UPDATE' THEN
    PERFORM write_audit(TG_OP, OLD, what);
  ELSE
    PERFORM write_audit(TG_OP, what, NULL::objects);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    IF what.deletion_timestamp IS NOT NULL AND what.finalizers = '{}' THEN
      DELETE FROM objects WHERE uid = what.uid;
    ELSIF NEW.resource_version = 0 THEN
      PERFORM set_config('invoker.stamping', 'on', true);
      UPDATE objects SET resource_version = place WHERE uid = what.uid;
      PERFORM set_config('invoker.stamping', '', true);
    END IF;
  END IF;
  -- The store rings for its own writes: notifying here would serialise its commits.
  IF coalesce(current_setting('invoker.rings', true), '') <> 'on' THEN
    PERFORM pg_notify('invoker', '');
  END IF;
  RETURN NULL;
END $$;

DROP FUNCTION create_object(uuid, text, text, text, timestamptz, text, bigint, jsonb, jsonb, jsonb,
  jsonb, text[], jsonb);
DROP FUNCTION write_object(uuid, bigint, text, bigint, jsonb, jsonb, jsonb, text[], jsonb);
DROP FUNCTION delete_object(text, text, text, uuid, bigint, timestamptz, text, bigint);

-- Makes an object. Outcome: ok, fenced; a taken key is a unique violation.
-- It goes by way of the deferred trigger: taking the log's lock before the insert could wait for an
-- insert of the same key by plain SQL that in its turn waits for the lock.
CREATE FUNCTION create_object(
  of_uid uuid, of_kind text, of_namespace text, of_name text, at timestamptz,
  fence_lease text, fence_epoch bigint, actor jsonb, new_spec jsonb, new_status jsonb,
  new_labels jsonb, new_annotations jsonb, new_finalizers text[], new_owner_references jsonb,
  new_managed_fields jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
BEGIN
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN QUERY SELECT 'fenced', NULL::jsonb;
    RETURN;
  END IF;
  PERFORM set_config('invoker.rings', 'on', true),
    set_config('invoker.actor', coalesce(actor::text, ''), true);
  INSERT INTO objects (uid, kind, namespace, name, creation_timestamp, spec, status, labels,
      annotations, finalizers, owner_references, managed_fields)
    VALUES (coalesce(of_uid, gen_random_uuid()), of_kind, of_namespace, of_name, at, new_spec,
      new_status, new_labels, new_annotations, new_finalizers, new_owner_references,
      new_managed_fields);
  SET CONSTRAINTS log_at_commit IMMEDIATE;
  RETURN QUERY SELECT 'ok', to_jsonb(o) FROM objects o
    WHERE o.kind = of_kind AND o.namespace = of_namespace AND o.name = of_name;
END $$;

-- Writes spec and metadata, and the status too when one is given.
-- Outcome: ok, conflict, fenced or missing.
CREATE FUNCTION write_object(
  of_uid uuid, expected bigint, fence_lease text, fence_epoch bigint, actor jsonb,
  new_spec jsonb, new_status jsonb, new_labels jsonb, new_annotations jsonb,
  new_finalizers text[], new_owner_references jsonb, new_managed_fields jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
DECLARE
  found_row objects%ROWTYPE;
BEGIN
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN QUERY SELECT 'fenced', NULL::jsonb;
    RETURN;
  END IF;
  SELECT * INTO found_row FROM objects WHERE uid = of_uid FOR UPDATE;
  IF NOT FOUND THEN
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
CREATE FUNCTION delete_object(
  of_kind text, of_namespace text, of_name text, expected_uid uuid, expected bigint,
  at timestamptz, fence_lease text, fence_epoch bigint, actor jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
DECLARE
  found_row objects%ROWTYPE;
BEGIN
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN QUERY SELECT 'fenced', NULL::jsonb;
    RETURN;
  END IF;
  SELECT * INTO found_row FROM objects
    WHERE kind = of_kind AND namespace = of_namespace AND name = of_name FOR UPDATE;
  IF NOT FOUND THEN
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
DROP TABLE audit, access_tokens;
