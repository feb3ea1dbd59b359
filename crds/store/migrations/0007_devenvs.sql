-- migrate:up

-- What the provider's metrics say of a machine, beside what it says of itself.
ALTER TABLE heartbeats
  ADD COLUMN cpu_percent real,
  ADD COLUMN memory_mb real,
  ADD COLUMN usage_at timestamptz;

CREATE VIEW devenvs AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'DevEnv';

-- migrate:down
DROP VIEW devenvs;
ALTER TABLE heartbeats DROP COLUMN cpu_percent, DROP COLUMN memory_mb, DROP COLUMN usage_at;
