-- migrate:up

-- One row an object. Desired state is `spec`, observed state is `status`.
CREATE TABLE objects (
  uid uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  kind text NOT NULL,
  namespace text NOT NULL DEFAULT '',
  name text NOT NULL,
  -- 0 while the row is changed but its transaction has not been given its place in the log.
  resource_version bigint NOT NULL DEFAULT 0,
  generation bigint NOT NULL DEFAULT 1,
  creation_timestamp timestamptz NOT NULL DEFAULT now(),
  deletion_timestamp timestamptz,
  labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
  annotations jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(annotations) = 'object'),
  finalizers text[] NOT NULL DEFAULT '{}',
  owner_references jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(owner_references) = 'array'),
  spec jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(spec) = 'object'),
  status jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(status) = 'object'),
  UNIQUE (kind, namespace, name),
  CHECK (name ~ '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$' AND length(name) <= 253),
  CHECK (namespace ~ '^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$' AND length(namespace) <= 63)
);
CREATE INDEX objects_namespace ON objects (namespace, kind);
CREATE INDEX routes_of_account ON objects ((spec->>'account')) WHERE kind = 'Route';
CREATE INDEX objects_age ON objects (kind, creation_timestamp, uid);

-- The order of all changes. The row at the horizon and everything before it is compacted.
CREATE TABLE object_log (
  resource_version bigint PRIMARY KEY,
  type text NOT NULL CHECK (type IN ('ADDED', 'MODIFIED', 'DELETED')),
  kind text NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  uid uuid NOT NULL,
  -- Whether anything but the status changed.
  spec_changed boolean NOT NULL,
  object jsonb NOT NULL,
  previous jsonb,
  logged_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX object_log_age ON object_log (logged_at);

CREATE TABLE log_horizon (
  the_one boolean PRIMARY KEY DEFAULT true CHECK (the_one),
  compacted bigint NOT NULL DEFAULT 0
);
INSERT INTO log_horizon DEFAULT VALUES;

CREATE SEQUENCE resource_versions AS bigint;

-- A place in the log. Under this transaction lock the order of versions is the order in which
-- commits become visible, so a reader may just ask for versions above its cursor.
-- It is taken last, after every row lock: whoever holds it waits for nobody.
CREATE FUNCTION take_place_in_log() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7309453);
  RETURN nextval('resource_versions');
END $$;

-- The store's own functions take their row locks and then the log's lock by themselves, and say so
-- here; edits by plain SQL are given their place when they commit.
CREATE FUNCTION writes_directly() RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce(current_setting('invoker.direct', true), '') = 'on'
$$;

CREATE FUNCTION write_directly() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('invoker.direct', 'on', true), set_config('invoker.rings', 'on', true);
END $$;

-- The rules that every write obeys, whoever makes it.
CREATE FUNCTION admit_object() RETURNS trigger LANGUAGE plpgsql AS $$
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
        USING ERRCODE = 'check_violation';
    END IF;
  END IF;
  -- A write that changes nothing has no version and wakes nobody.
  IF (NEW.spec, NEW.status, NEW.labels, NEW.annotations, NEW.finalizers, NEW.owner_references,
      NEW.deletion_timestamp)
     IS NOT DISTINCT FROM
     (OLD.spec, OLD.status, OLD.labels, OLD.annotations, OLD.finalizers, OLD.owner_references,
      OLD.deletion_timestamp) THEN
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

-- DELETE asks for deletion as long as somebody holds a finalizer.
CREATE FUNCTION defer_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.finalizers = '{}' THEN
    RETURN OLD;
  END IF;
  UPDATE objects SET deletion_timestamp = coalesce(deletion_timestamp, now()) WHERE uid = OLD.uid;
  RETURN NULL;
END $$;

CREATE FUNCTION log_change() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER admit BEFORE INSERT OR UPDATE ON objects
  FOR EACH ROW EXECUTE FUNCTION admit_object();
CREATE TRIGGER defer_deletion BEFORE DELETE ON objects
  FOR EACH ROW EXECUTE FUNCTION defer_deletion();
-- A change of our own functions has its version already; any other is given one at commit.
-- (A row trigger that ran at once would take the log's lock before the statement's other row
-- locks; a deferred one runs when all of them are held.)
CREATE TRIGGER log_directly AFTER UPDATE ON objects
  FOR EACH ROW WHEN (NEW.resource_version <> 0 AND writes_directly())
  EXECUTE FUNCTION log_change();
CREATE CONSTRAINT TRIGGER log_at_commit AFTER INSERT OR UPDATE ON objects
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.resource_version = 0) EXECUTE FUNCTION log_change();
CREATE CONSTRAINT TRIGGER log_deletion AFTER DELETE ON objects
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION log_change();

-- Shards, memberships and leaders. `renewals` grows so that others can see that the holder lives.
CREATE TABLE leases (
  name text PRIMARY KEY,
  holder text,
  epoch bigint NOT NULL DEFAULT 1,
  renewals bigint NOT NULL DEFAULT 0,
  duration_seconds double precision NOT NULL CHECK (duration_seconds > 0)
);

-- Refuses a writer whose lease has moved on; the row stays locked until the write is committed,
-- so that the lease cannot move in between.
CREATE FUNCTION check_fence(fence_lease text, fence_epoch bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  IF fence_lease IS NULL THEN
    RETURN true;
  END IF;
  PERFORM 1 FROM leases
    WHERE name = fence_lease AND epoch = fence_epoch AND holder IS NOT NULL FOR SHARE;
  RETURN FOUND;
END $$;

-- Makes an object. Outcome: ok, fenced; a taken key is a unique violation.
-- It goes by way of the deferred trigger: taking the log's lock before the insert could wait for an
-- insert of the same key by plain SQL that in its turn waits for the lock.
CREATE FUNCTION create_object(
  of_uid uuid, of_kind text, of_namespace text, of_name text, at timestamptz,
  fence_lease text, fence_epoch bigint, new_spec jsonb, new_status jsonb, new_labels jsonb,
  new_annotations jsonb, new_finalizers text[], new_owner_references jsonb
) RETURNS TABLE (outcome text, object jsonb) LANGUAGE plpgsql AS $$
BEGIN
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN QUERY SELECT 'fenced', NULL::jsonb;
    RETURN;
  END IF;
  PERFORM set_config('invoker.rings', 'on', true);
  INSERT INTO objects (uid, kind, namespace, name, creation_timestamp, spec, status, labels,
      annotations, finalizers, owner_references)
    VALUES (coalesce(of_uid, gen_random_uuid()), of_kind, of_namespace, of_name, at, new_spec,
      new_status, new_labels, new_annotations, new_finalizers, new_owner_references);
  SET CONSTRAINTS log_at_commit IMMEDIATE;
  RETURN QUERY SELECT 'ok', to_jsonb(o) FROM objects o
    WHERE o.kind = of_kind AND o.namespace = of_namespace AND o.name = of_name;
END $$;

-- Writes spec and metadata. Outcome: ok, conflict, fenced or missing.
CREATE FUNCTION write_object(
  of_uid uuid, expected bigint, fence_lease text, fence_epoch bigint,
  new_spec jsonb, new_labels jsonb, new_annotations jsonb, new_finalizers text[],
  new_owner_references jsonb
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
  UPDATE objects SET spec = new_spec, labels = new_labels, annotations = new_annotations,
    finalizers = new_finalizers, owner_references = new_owner_references
    WHERE uid = of_uid RETURNING * INTO found_row;
  IF NOT FOUND THEN  -- nothing changed
    SELECT * INTO found_row FROM objects WHERE uid = of_uid;
  END IF;
  RETURN QUERY SELECT 'ok', to_jsonb(found_row);
END $$;

-- Writes many statuses under one lock of the log. Outcome a row: ok, conflict, fenced or missing.
-- A row that somebody else has locked counts as moved: the batch must not wait for an operator's open
-- transaction while it holds the leases.
CREATE FUNCTION write_statuses(wishes jsonb)
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
END $$;

-- Asks for deletion. Outcome: ok, conflict, fenced or missing.
CREATE FUNCTION delete_object(
  of_kind text, of_namespace text, of_name text, expected_uid uuid, expected bigint,
  at timestamptz, fence_lease text, fence_epoch bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  found_row objects%ROWTYPE;
BEGIN
  IF NOT check_fence(fence_lease, fence_epoch) THEN
    RETURN 'fenced';
  END IF;
  SELECT * INTO found_row FROM objects
    WHERE kind = of_kind AND namespace = of_namespace AND name = of_name FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  END IF;
  IF (expected_uid IS NOT NULL AND found_row.uid <> expected_uid)
     OR (expected <> 0 AND found_row.resource_version <> expected) THEN
    RETURN 'conflict';
  END IF;
  PERFORM write_directly();
  IF found_row.finalizers = '{}' THEN
    DELETE FROM objects WHERE uid = found_row.uid;
  ELSE
    UPDATE objects SET deletion_timestamp = coalesce(deletion_timestamp, at)
      WHERE uid = found_row.uid;
  END IF;
  RETURN 'ok';
END $$;

-- migrate:down
DROP TABLE objects, object_log, log_horizon, leases CASCADE;
