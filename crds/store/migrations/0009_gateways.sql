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

-- migrate:down
DROP TABLE gateway_observations;
