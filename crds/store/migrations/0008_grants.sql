-- migrate:up

-- What a browser was sent out with to ask for a user's consent; good for one way back.
-- Both are digests of random values: whoever reads the table can come back in nobody's place.
CREATE TABLE grant_states (
  digest bytea PRIMARY KEY,
  browser bytea NOT NULL,
  account text NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);
CREATE INDEX grant_states_expiry ON grant_states (expires_at);

-- migrate:down
DROP TABLE grant_states;
