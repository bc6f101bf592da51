"""Checks that what each scheduled job has to say stands once."""

from collections.abc import Iterator

from tests.simulation.gateway_process import JOBS
from tests.simulation.intents import JOBS_DUE_SECONDS
from tests.simulation.observations import Observations, key_of
from tests.simulation.scenario import EPOCH_MS

KEY = "cron."


def jobs(observed: Observations) -> Iterator[str]:
    """Each job ran once and its post stands, whatever broke then; where Mattermost refuses posts, it stands at most
    once, and the history says that it failed.
    """
    if not observed.plan.has_jobs or observed.scenario.bot.username != "helper":
        return
    states = {str(id_): str(state) for id_, state in observed.process.rows("SELECT id, state FROM cron_runs")}
    for name in JOBS["jobs"]:
        run = f"{KEY}{name}.{EPOCH_MS + int(JOBS_DUE_SECONDS * 1000)}"
        posts = [post for post in observed.posts if key_of(post) == f"{run}.0"]
        live_posts = [post for post in posts if not post.delete_at]
        is_gone = bool(observed.scenario.deleted_bot_posts & {post.id for post in posts})
        state = states.pop(run, "missing")
        if state == "failed" and observed.plan.has_network_faults and len(live_posts) <= 1:
            continue
        if state not in ("delivered", "queued"):
            yield f"the run of {name} is {state}"
        elif len(live_posts) != 1 and not is_gone:
            yield f"what {name} has to say stands {len(live_posts)} times"
    if states:
        yield f"a job ran when nothing was due: {', '.join(states)}"
