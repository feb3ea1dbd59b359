-- migrate:up

-- What the provider's metrics say of a machine, beside what it says of itself.
ALTER TABLE heartbeats
  ADD COLUMN cpu_percent real,
  ADD COLUMN memory_mb real,
  ADD COLUMN usage_at timestamptz;

-- The roles of agents are each bound to one account, as its owner's is.
ALTER TABLE access_tokens
  DROP CONSTRAINT access_tokens_role_check,
  DROP CONSTRAINT access_tokens_check,
  ADD CONSTRAINT access_tokens_role_check CHECK (role IN (
    'platform-admin', 'support', 'account-owner', 'devops', 'security-auditor',
    'dev-orchestrator', 'dev-worker', 'clientele', 'metrics')),
  ADD CONSTRAINT access_tokens_check
    CHECK ((role IN ('platform-admin', 'support', 'metrics')) = (account = ''));

-- Reads of what is secret are written down too: the names of what was given, or why nothing was.
ALTER TABLE audit
  ADD COLUMN given text[],
  ADD COLUMN refused text NOT NULL DEFAULT '';

CREATE VIEW devenvs AS
  SELECT namespace, name, spec, status, annotations, generation, resource_version,
    deletion_timestamp, uid
  FROM objects WHERE kind = 'DevEnv';

-- migrate:down
DROP VIEW devenvs;
ALTER TABLE audit DROP COLUMN given, DROP COLUMN refused;
DELETE FROM access_tokens
  WHERE role NOT IN ('platform-admin', 'support', 'account-owner', 'metrics');
ALTER TABLE access_tokens
  DROP CONSTRAINT access_tokens_role_check,
  DROP CONSTRAINT access_tokens_check,
  ADD CONSTRAINT access_tokens_role_check
    CHECK (role IN ('platform-admin', 'support', 'account-owner', 'metrics')),
  ADD CONSTRAINT access_tokens_check CHECK ((role = 'account-owner') = (account <> ''));
ALTER TABLE heartbeats DROP COLUMN cpu_percent, DROP COLUMN memory_mb, DROP COLUMN usage_at;
