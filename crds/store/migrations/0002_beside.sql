-- migrate:up

-- What machines report, outside the log of changes: a heartbeat wakes nobody.
CREATE TABLE heartbeats (
  machine uuid PRIMARY KEY,
  state text NOT NULL DEFAULT 'unknown',
  version text NOT NULL DEFAULT '',
  last_seen_at timestamptz,
  last_heartbeat_at timestamptz,
  last_activity_at timestamptz,
  healthy_since timestamptz,
  unreachable_since timestamptz
);

-- What happened to an object, aggregated: the same words again raise the count.
CREATE TABLE events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace text NOT NULL,
  kind text NOT NULL,
  name text NOT NULL,
  uid uuid NOT NULL,
  type text NOT NULL CHECK (type IN ('Normal', 'Warning')),
  reason text NOT NULL,
  message text NOT NULL,
  count int NOT NULL DEFAULT 1,
  first_at timestamptz NOT NULL,
  last_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX events_same ON events (uid, type, reason, md5(message));
CREATE INDEX events_age ON events (last_at);

-- Encrypted by the application (crds/secrets.py); `key_id` tells which key, for rotation.
CREATE TABLE secrets (
  namespace text NOT NULL,
  name text NOT NULL,
  ciphertext bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (namespace, name)
);

-- The requirements' tables, for people who think in SQL.
CREATE VIEW machine_registry AS
SELECT
  m.uid AS id,
  m.spec->>'account' AS user_id,
  m.status->'instance'->>'id' AS fly_machine_id,
  CASE
    WHEN m.status->>'phase' = 'Running' THEN 'running'
    -- What has not answered for ten minutes counts as stopped.
    WHEN m.status->>'phase' IN ('Asleep', 'Stopped', 'Unreachable') THEN 'stopped'
    WHEN m.status->>'phase' IN ('Crashed', 'Failed') THEN 'error'
    ELSE 'creating'
  END AS status,
  m.status->>'phase' AS phase,
  w.spec->>'subdomain' AS subdomain,
  m.status->>'url' AS public_url,
  m.spec->>'region' AS region,
  m.creation_timestamp AS created_at,
  h.last_seen_at,
  h.last_heartbeat_at
FROM objects m
LEFT JOIN objects w
  ON w.kind = 'Workspace' AND w.namespace = m.namespace AND w.name = m.name
LEFT JOIN heartbeats h ON h.machine = m.uid
WHERE m.kind = 'Machine';

CREATE VIEW routing_table AS
SELECT
  r.name AS subdomain,
  r.status->'entry'->>'instance' AS fly_machine_id,
  r.status->'entry'->>'target' AS fly_url,
  r.status->'entry'->>'state' AS state,
  (r.status->>'publishedAt')::timestamptz AS updated_at
FROM objects r
WHERE r.kind = 'Route' AND r.status->'entry' IS NOT NULL;

-- Desired state by kind: these can be updated, and the rules of `objects` hold.
CREATE VIEW platforms AS
  SELECT name, spec, status, annotations, generation, resource_version, deletion_timestamp, uid
  FROM objects WHERE kind = 'Platform';
CREATE VIEW accounts AS
  SELECT name, spec, status, annotations, generation, resource_version, deletion_timestamp, uid
  FROM objects WHERE kind = 'Account';
CREATE VIEW workspaces AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'Workspace';
CREATE VIEW machines AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'Machine';
CREATE VIEW routes AS
  SELECT name, spec, status, annotations, generation, resource_version, deletion_timestamp, uid
  FROM objects WHERE kind = 'Route';

-- migrate:down
DROP VIEW machine_registry, routing_table, platforms, accounts, workspaces, machines, routes;
DROP TABLE heartbeats, events, secrets;
