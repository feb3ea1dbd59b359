-- migrate:up

-- Events are also read and posted by Kubernetes' clients: they have names there and are watched.
ALTER TABLE events
  -- Where they are listed: those about cluster objects are in `default`, as in Kubernetes.
  ADD COLUMN place text NOT NULL
    GENERATED ALWAYS AS (CASE WHEN namespace = '' THEN 'default' ELSE namespace END) STORED,
  ADD COLUMN event_name text,
  -- Its place in the order of all changes of events, and the one at which it was made.
  ADD COLUMN version bigint,
  ADD COLUMN made bigint,
  -- What somebody posted beside the columns; null for what our controllers recorded.
  ADD COLUMN details jsonb CHECK (jsonb_typeof(details) = 'object');

CREATE SEQUENCE event_versions AS bigint;
UPDATE events SET event_name = left(name, 236) || '.' || lpad(to_hex(id), 16, '0'),
  version = nextval('event_versions');
UPDATE events SET made = version;
ALTER TABLE events
  ALTER COLUMN event_name SET NOT NULL,
  ALTER COLUMN version SET NOT NULL,
  ALTER COLUMN made SET NOT NULL;

CREATE UNIQUE INDEX events_name ON events (place, event_name);
CREATE UNIQUE INDEX events_order ON events (version);
-- Only what we record is aggregated by its words: what is posted has its own name.
DROP INDEX events_same;
CREATE UNIQUE INDEX events_same ON events (uid, type, reason, md5(message)) WHERE details IS NULL;
CREATE INDEX events_about ON events (uid);

-- The newest version that expired: a version is never given back.
CREATE TABLE event_horizon (
  the_one boolean PRIMARY KEY DEFAULT true CHECK (the_one),
  expired bigint NOT NULL DEFAULT 0
);
INSERT INTO event_horizon DEFAULT VALUES;

-- Under this transaction lock the order of versions is the order in which commits become visible,
-- so a reader may just ask for versions above its cursor.
-- A statement takes it before any row's lock: two writers cannot wait for each other.
CREATE FUNCTION lock_order_of_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7309454);
  RETURN NULL;
END $$;
CREATE FUNCTION stamp_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := nextval('event_versions');
  IF TG_OP = 'INSERT' THEN
    NEW.made := NEW.version;
    NEW.event_name :=
      coalesce(NEW.event_name, left(NEW.name, 236) || '.' || lpad(to_hex(NEW.id), 16, '0'));
  ELSE
    NEW.made := OLD.made;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER in_order BEFORE INSERT OR UPDATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION lock_order_of_events();
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON events
  FOR EACH ROW EXECUTE FUNCTION stamp_event();

-- migrate:down
DROP TRIGGER in_order ON events;
DROP TRIGGER stamp ON events;
DROP FUNCTION lock_order_of_events, stamp_event;
DROP TABLE event_horizon;
DROP INDEX events_same, events_name, events_order, events_about;
DELETE FROM events WHERE details IS NOT NULL;
CREATE UNIQUE INDEX events_same ON events (uid, type, reason, md5(message));
ALTER TABLE events DROP COLUMN place, DROP COLUMN event_name, DROP COLUMN version,
  DROP COLUMN made, DROP COLUMN details;
DROP SEQUENCE event_versions;
