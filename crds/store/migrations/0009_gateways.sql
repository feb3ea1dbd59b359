-- migrate:up

-- What gateways report, outside the log of changes: the newest of each subject.
CREATE TABLE gateway_observations (
  gateway uuid NOT NULL,
  subject text NOT NULL,
  sequence bigint NOT NULL,
  kind text NOT NULL,
  observed_at timestamptz NOT NULL,
  reported_at timestamptz NOT NULL,
  message jsonb,
  PRIMARY KEY (gateway, subject)
);
-- Health comes every half a minute and wakes nobody.
CREATE INDEX gateway_observations_news ON gateway_observations (reported_at)
  WHERE subject <> 'health';

-- The users' own clouds, for people with psql.
CREATE VIEW cloud_connections AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'CloudConnection';
CREATE VIEW vpses AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'Vps';
CREATE VIEW terminal_sessions AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'Session';
CREATE VIEW authorized_keys AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'AuthorizedKey';

-- migrate:down
DROP VIEW cloud_connections, vpses, terminal_sessions, authorized_keys;
DROP TABLE gateway_observations;
