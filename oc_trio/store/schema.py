"""The tables as the first migrations create them; later changes are further entries of `migrations.MIGRATIONS`.

Times are integer milliseconds since the epoch, 0 means never. Tuples of ids are written by `columns`. `<serial>` is the
driver's auto-increment primary key: the order of insertion. `doubts` holds `pending_edits.PendingEdits`.
"""

LEDGER = (
    """CREATE TABLE seen (
        account TEXT NOT NULL, trigger TEXT NOT NULL, channel_id TEXT NOT NULL, user_id TEXT NOT NULL,
        root_id TEXT NOT NULL, create_at BIGINT NOT NULL, source TEXT NOT NULL, decision TEXT NOT NULL,
        reason TEXT NOT NULL, session TEXT, at BIGINT NOT NULL,
        PRIMARY KEY (account, trigger))""",
    "CREATE INDEX seen_at ON seen (at)",
    """CREATE TABLE obligations (
        serial <serial>, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, trigger TEXT NOT NULL,
        channel_id TEXT NOT NULL, user_id TEXT NOT NULL, root_id TEXT NOT NULL, session TEXT NOT NULL,
        source TEXT NOT NULL, reason TEXT NOT NULL, payload TEXT NOT NULL, admitted_at BIGINT NOT NULL,
        state TEXT NOT NULL, turn TEXT, attempts BIGINT NOT NULL, outcome_posts TEXT NOT NULL,
        outcome_reason TEXT NOT NULL, ended_at BIGINT NOT NULL,
        UNIQUE (account, trigger))""",
    # Partial: only the few open rows are in it, however many have ended.
    "CREATE INDEX obligations_open ON obligations (account, serial) WHERE state = 'open'",
    "CREATE INDEX obligations_turn ON obligations (turn)",
    "CREATE INDEX obligations_ended ON obligations (ended_at)",
    """CREATE TABLE turns (
        serial <serial>, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, session TEXT NOT NULL,
        channel_id TEXT NOT NULL, root_id TEXT NOT NULL, draft TEXT, drafts TEXT NOT NULL, final TEXT NOT NULL,
        begun_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, outcome TEXT NOT NULL, outcome_posts TEXT NOT NULL,
        outcome_reason TEXT NOT NULL)""",
    "CREATE INDEX turns_unfinished ON turns (account, serial) WHERE ended_at = 0",
    "CREATE INDEX turns_ended ON turns (ended_at)",
    """CREATE TABLE outbox (
        serial <serial>, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, channel_id TEXT NOT NULL,
        root_id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, pending_post_id TEXT NOT NULL,
        created_at BIGINT NOT NULL, turn TEXT, seq BIGINT NOT NULL, to_user TEXT NOT NULL, state TEXT NOT NULL,
        sending_at BIGINT NOT NULL, attempts BIGINT NOT NULL, post_id TEXT, error TEXT NOT NULL,
        ended_at BIGINT NOT NULL,
        UNIQUE (account, pending_post_id))""",
    "CREATE INDEX outbox_unfinished ON outbox (account, serial) WHERE state IN ('queued', 'sending')",
    "CREATE INDEX outbox_turn ON outbox (turn)",
    "CREATE INDEX outbox_post ON outbox (post_id)",
    "CREATE INDEX outbox_ended ON outbox (ended_at)",
    """CREATE TABLE watermarks (
        account TEXT NOT NULL, channel_id TEXT NOT NULL, post_id TEXT NOT NULL, create_at BIGINT NOT NULL,
        PRIMARY KEY (account, channel_id))""",
    """CREATE TABLE resume_points (
        account TEXT NOT NULL PRIMARY KEY, connection_id TEXT NOT NULL, next_seq BIGINT NOT NULL,
        at BIGINT NOT NULL)""",
)

CONVERSATIONS = (
    """CREATE TABLE sessions (
        key TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL, channel_id TEXT NOT NULL, root_id TEXT NOT NULL,
        agent TEXT NOT NULL, created_at BIGINT NOT NULL, last_at BIGINT NOT NULL, generation BIGINT NOT NULL,
        settings TEXT NOT NULL)""",
    "CREATE INDEX sessions_last ON sessions (last_at)",
    """CREATE TABLE transcripts (
        serial <serial>, session TEXT NOT NULL, generation BIGINT NOT NULL, turn TEXT NOT NULL,
        entry TEXT NOT NULL, at BIGINT NOT NULL)""",
    "CREATE INDEX transcripts_session ON transcripts (session, generation, serial)",
    "CREATE INDEX transcripts_turn ON transcripts (turn, serial)",
    "CREATE INDEX transcripts_at ON transcripts (at)",
    """CREATE TABLE context (
        serial <serial>, session TEXT NOT NULL, post_id TEXT NOT NULL, payload TEXT NOT NULL, at BIGINT NOT NULL,
        UNIQUE (session, post_id))""",
    "CREATE INDEX context_at ON context (at)",
    """CREATE TABLE participation (
        account TEXT NOT NULL, channel_id TEXT NOT NULL, root_id TEXT NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (account, channel_id, root_id))""",
    """CREATE TABLE usage (
        turn TEXT NOT NULL, model TEXT NOT NULL, account TEXT NOT NULL, session TEXT NOT NULL,
        input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (turn, model))""",
    "CREATE INDEX usage_at ON usage (at)",
)

DOUBTS = (
    """CREATE TABLE doubts (
        account TEXT NOT NULL, post_id TEXT NOT NULL, text TEXT NOT NULL, until BIGINT NOT NULL,
        PRIMARY KEY (account, post_id))""",
    "CREATE INDEX doubts_until ON doubts (until)",
)

ACCESS = (
    """CREATE TABLE pairing (
        account TEXT NOT NULL, user_id TEXT NOT NULL, name TEXT NOT NULL, code TEXT NOT NULL,
        requested_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, approved_at BIGINT NOT NULL,
        PRIMARY KEY (account, user_id))""",
    """CREATE TABLE commands (
        account TEXT NOT NULL, team_id TEXT NOT NULL, trigger TEXT NOT NULL, command_id TEXT NOT NULL,
        token TEXT NOT NULL, url TEXT NOT NULL, method TEXT NOT NULL, creator_id TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (account, team_id, trigger))""",
    """CREATE TABLE claims (
        scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        PRIMARY KEY (scope, key))""",
    "CREATE INDEX claims_expiry ON claims (expires_at)",
    "CREATE TABLE cron (job TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, result TEXT NOT NULL)",
)

# Jobs by the clock that commands have added, and the history of all jobs.
CRON = (
    "CREATE TABLE cron_jobs (serial <serial>, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL, created_at BIGINT NOT NULL)",
    """CREATE TABLE cron_runs (
        serial <serial>, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, account TEXT NOT NULL, due_at BIGINT NOT NULL,
        by_hand BIGINT NOT NULL, state TEXT NOT NULL, ran_at BIGINT NOT NULL, ended_at BIGINT NOT NULL,
        channel_id TEXT NOT NULL, posts TEXT NOT NULL, reason TEXT NOT NULL)""",
    "CREATE INDEX cron_runs_job ON cron_runs (job, serial)",
    "CREATE INDEX cron_runs_ran ON cron_runs (ran_at)",
    "CREATE INDEX cron_runs_wanted ON cron_runs (serial) WHERE state = 'wanted'",
)

# Requests that one process takes in for another, and notices to all processes.
RELAYED = (
    """CREATE TABLE relayed (
        serial <serial>, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
        process TEXT NOT NULL, created_at BIGINT NOT NULL, state TEXT NOT NULL, given_up_at BIGINT NOT NULL,
        answer TEXT NOT NULL, ended_at BIGINT NOT NULL)""",
    "CREATE INDEX relayed_open ON relayed (account, serial) WHERE state <> 'ended'",
    "CREATE INDEX relayed_ended ON relayed (ended_at)",
    # Notices have no account.
    "CREATE INDEX relayed_notices ON relayed (serial) WHERE account = ''",
)

# Processes that share a journal (PostgreSQL), and which of them serves which account. Times are the database's.
LEASES = (
    """CREATE TABLE leases (
        account TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, epoch BIGINT NOT NULL, deadline BIGINT NOT NULL,
        since BIGINT NOT NULL)""",
    """CREATE TABLE processes (
        id TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, pid BIGINT NOT NULL, version TEXT NOT NULL,
        schema BIGINT NOT NULL, url TEXT NOT NULL, started_at BIGINT NOT NULL, deadline BIGINT NOT NULL,
        draining BIGINT NOT NULL, accounts TEXT NOT NULL)""",
)
