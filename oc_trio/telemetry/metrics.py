"""The Prometheus metrics of the gateway. Label sets are bounded: no user, channel or post ids.

One `Metrics` per process, passed explicitly; `render` gives the text format that `/metrics` serves.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from oc_trio.telemetry.minute_counts import MinuteCounts

# From the first words of a quick model to a turn with many tools; each bucket is a series for each account and outcome.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """All metric families, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"oc_trio_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"oc_trio_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"oc_trio_{name}", text, labels, registry=self.registry, buckets=_SECONDS)

        self.ws_state = gauge("ws_state", "1 for the connection state the account is in", "account", "state")
        self.reconnects = counter("ws_reconnects", "Dials after the first, by why", "account", "reason")
        self.resumes = counter("ws_resume", "Connections that were resumed or fresh", "account", "result")
        self.catchup_posts = counter("catchup_posts", "Posts read by catch-up", "account")
        self.catchup_capped = counter("catchup_capped", "Channels whose catch-up hit the cap", "account")
        self.admissions = counter("admission", "Decisions on inbound posts", "account", "decision", "reason")
        self.dedupe_hits = counter("dedupe_hits", "Posts that were already admitted", "account")
        self.obligations = counter("obligations", "Obligations that ended, by state", "account", "state")
        self.sessions = gauge("sessions", "Live session tasks", "account")
        self.live_drafts = gauge("live_drafts", "Previews being written", "account")
        self.turn_seconds = histogram("turn_seconds", "From the start of a turn to its end", "account", "outcome")
        self.queue_seconds = histogram("queue_seconds", "From taking a message in to the start of its turn", "account")
        self.first_text_seconds = histogram(
            "first_text_seconds", "From the start of a turn to the first words of its answer in the channel", "account"
        )
        self.draft_edits = counter("draft_edits", "Edits of previews", "account")
        self.recent_edits = MinuteCounts()
        self.outbox_ambiguous = counter("outbox_ambiguous", "Writes whose outcome had to be found out", "account")
        self.rest_retries = counter("rest_retries", "REST calls made again, by why", "account", "why")
        self.callbacks = counter("callbacks", "HTTP callbacks by kind and result", "kind", "result")
        self.relayed = counter("relayed", "Callbacks left to another process, by kind and result", "kind", "result")
        self.relayed_handled = counter(
            "relayed_handled", "Callbacks that another process took in, by kind and result", "account", "kind", "result"
        )
        self.restarts = counter("account_restarts", "Account tasks started again after a failure", "account")
        self.lease_held = gauge("lease_held", "1 while this process serves the account", "account")
        self.lease_epoch = gauge(
            "lease_epoch", "How many holders the account has had, as of its last one here", "account"
        )
        self.lease_seconds_left = gauge(
            "lease_seconds_left", "Until this process has to stop serving the account unless it renews", "account"
        )
        self.lease_renewal_failures = counter("lease_renewal_failures", "Times that leases could not be renewed")
        self.takeovers = counter("takeovers", "Times that a former holder's lease had ended, and was taken", "account")
        self.second_gateway = counter(
            "second_gateway", "Signs that somebody else uses the bot: posts, moved commands", "account", "kind"
        )
        self.defects = counter("defects", "Errors of the program, by what they failed", "account", "kind")
        self.tokens = counter("model_tokens", "Tokens used, by direction", "account", "direction")
        self.model_requests = counter("model_requests", "Times that a model was asked, by result", "model", "result")
        self.journal_up = gauge("journal_up", "1 while the journal answers")
        self.journal_read_seconds = gauge("journal_read_seconds", "How long the newest small read of the journal took")
        self.otel_dropped = counter("otel_dropped_spans", "Spans that were not exported, by why", "why")

    def render(self) -> bytes:
        """The Prometheus text exposition of every family."""
        return generate_latest(self.registry)
