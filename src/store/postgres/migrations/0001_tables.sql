-- The tables of a store. Ids are 16 bytes in order of time, times are milliseconds since 1970.
-- What was sent or received is kept as it came: text and bytea, never jsonb, which changes digits.

CREATE TABLE postrider.events (
    id uuid PRIMARY KEY,
    account text NOT NULL,
    event_type text NOT NULL,
    key text,
    occurred_at bigint NOT NULL,
    received_at bigint NOT NULL,
    -- To whom delivery number n is owed: 16 bytes each.
    subscriptions bytea NOT NULL,
    data text NOT NULL
) PARTITION BY RANGE (id);

CREATE TABLE postrider.deliveries (
    id uuid PRIMARY KEY,
    subscription uuid NOT NULL,
    -- 0 pending, 1 delivered, 2 dead, 3 cancelled
    state smallint NOT NULL,
    -- When it is due, or when it was decided.
    state_at bigint NOT NULL,
    dead_reason smallint,
    attempts bigint NOT NULL,
    last_outcome smallint,
    template_version bigint NOT NULL,
    created_at bigint NOT NULL,
    account text NOT NULL,
    event_type text NOT NULL,
    order_key uuid,
    -- It has no row in `due`: an earlier one with its order key is undecided.
    parked boolean NOT NULL
) PARTITION BY RANGE (id);

CREATE INDEX ON postrider.deliveries (subscription, id);

CREATE TABLE postrider.attempts (
    delivery uuid NOT NULL,
    number bigint NOT NULL,
    id uuid NOT NULL,
    started_at bigint NOT NULL,
    duration_ms bigint NOT NULL,
    outcome smallint NOT NULL,
    reason text NOT NULL,
    request_method text,
    request_url text,
    -- JSON: a list of pairs.
    request_headers text,
    request_body bytea,
    response_status integer,
    response_headers text,
    response_body bytea,
    response_truncated boolean,
    possible_repeat boolean NOT NULL,
    next_due_at bigint,
    PRIMARY KEY (delivery, number)
) PARTITION BY RANGE (delivery);

-- What lanes read again and again: kept small, and clean.
CREATE TABLE postrider.due (
    subscription uuid NOT NULL,
    due_at bigint NOT NULL,
    delivery uuid NOT NULL,
    attempts bigint NOT NULL,
    template_version bigint NOT NULL,
    PRIMARY KEY (subscription, due_at, delivery)
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

CREATE TABLE postrider.orders (
    subscription uuid NOT NULL,
    order_key uuid NOT NULL,
    delivery uuid NOT NULL,
    due_at bigint NOT NULL,
    PRIMARY KEY (subscription, order_key, delivery)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE postrider.keys (
    digest uuid PRIMARY KEY,
    event uuid NOT NULL,
    deliveries integer NOT NULL,
    fingerprint uuid NOT NULL,
    expires_at bigint NOT NULL
);

CREATE INDEX ON postrider.keys (expires_at);

-- A subscription's counts are the sums over its slots. A node writes to one slot.
CREATE TABLE postrider.counts (
    subscription uuid NOT NULL,
    slot smallint NOT NULL,
    account text NOT NULL,
    waiting bigint NOT NULL,
    delivered bigint NOT NULL,
    dead bigint NOT NULL,
    cancelled bigint NOT NULL,
    attempts bigint NOT NULL,
    PRIMARY KEY (subscription, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE postrider.configuration (
    kind smallint NOT NULL,
    id text COLLATE "C" NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE postrider.documents (
    kind smallint NOT NULL,
    id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE postrider.revision (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint NOT NULL
);

INSERT INTO postrider.revision (number) VALUES (1);

CREATE TABLE postrider.nodes (
    name text PRIMARY KEY,
    opened_at bigint NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Which node sends for which subscription. Times here are the database's own.
CREATE TABLE postrider.cluster_nodes (
    id uuid PRIMARY KEY,
    address text NOT NULL,
    roles text NOT NULL,
    version text NOT NULL,
    lanes bigint NOT NULL,
    in_flight bigint NOT NULL,
    leaving boolean NOT NULL,
    beat_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE SEQUENCE postrider.epochs;

CREATE TABLE postrider.lanes (
    subscription uuid PRIMARY KEY,
    -- None: it was given back.
    owner uuid,
    epoch bigint NOT NULL,
    until timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 0);

-- Requests that were about to be made and are not settled, by the claim of the lane under which they were.
CREATE TABLE postrider.in_flight (
    subscription uuid NOT NULL,
    delivery uuid NOT NULL,
    epoch bigint NOT NULL,
    due_at bigint NOT NULL,
    attempt uuid NOT NULL,
    number bigint NOT NULL,
    at bigint NOT NULL,
    PRIMARY KEY (subscription, delivery)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
