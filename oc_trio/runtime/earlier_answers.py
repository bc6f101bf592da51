"""After the journal was restored from a backup: finds the answers that were given after the backup was made.

Nothing in the journal tells of them, but each post of ours says in its marker which messages it answers.
"""

from oc_trio.classes import frozen
from oc_trio.core.earlier_answers import answers_to
from oc_trio.core.events import Post
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, PostId, UserId
from oc_trio.mattermost.client import Api

ANSWERED = "answered before the journal was restored"
# The server's clock and ours may differ by this much.
_SKEW_MS = 60_000


@frozen(eq=False)
class EarlierAnswers:
    """`restored_at` is in milliseconds; 0 for a journal that was never restored, and then no server is asked."""

    api: Api
    bot: UserId
    restored_at: int = 0

    async def to_post(self, post: Post) -> tuple[PostId, ...]:
        """The posts that answer `post`."""
        return await self.find(post.id, post.channel_id, post.root_id, post.create_at)

    async def find(self, post_id: PostId, channel: ChannelId, root_id: str, at: int) -> tuple[PostId, ...]:
        """The posts that answer the message `post_id`, which was posted at `at` (milliseconds).

        Looks in its thread, then among the channel's next posts. Raises MattermostUnavailable.
        """
        if at > self.restored_at + _SKEW_MS or not self.restored_at:
            return ()
        try:
            thread = await self.api.posts.thread(PostId(root_id or post_id))
            if answers := answers_to(post_id, thread, self.bot):
                return answers
            return answers_to(post_id, (await self.api.posts.after(channel, post_id)).posts, self.bot)
        except MattermostRejected:
            return ()  # it was deleted, or can't be read any more: whoever asks next finds that out, too
