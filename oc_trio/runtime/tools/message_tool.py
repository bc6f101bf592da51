"""The agent's `message` tool: sends, reacts and reads as the bot, within what the account's operator allows.

Its parameters are OpenClaw's. Messages go through the journal. Files come from addresses only, never from the gateway's
disk. Only the account itself can be used, no other one.
"""

import json
from collections.abc import Mapping
from typing import Any

import trio

from oc_trio.agent.port import ToolResult, ToolSpec
from oc_trio.agent.toolbox import Function, ToolFailed
from oc_trio.classes import define, frozen
from oc_trio.config.accounts import normalize_account_id
from oc_trio.core.access import GroupPolicy
from oc_trio.core.context import ContextVisibility, clock
from oc_trio.core.emoji import UnknownEmoji, emoji_name
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.core.presentation import BadPresentation, Presentation, read_buttons, read_presentation
from oc_trio.errors import MattermostError, MattermostRejected, TargetError
from oc_trio.ids import PostId
from oc_trio.runtime.delivery.compose import EmptyMessage, MessageRequest, OutboundClient
from oc_trio.runtime.delivery.message_sender import MessageSender
from oc_trio.runtime.delivery.targets import Place
from oc_trio.runtime.people import People
from oc_trio.runtime.policies import Policies
from oc_trio.runtime.tools.asker_places import Asked, AskersPlaces, askers_of
from oc_trio.runtime.tools.channel_history import DEFAULT_LIMIT, BadRange, post_fields, read_page
from oc_trio.runtime.tools.message_permissions import MessagePermissions, require_allowed
from oc_trio.runtime.tools.post_names import PostNames

# After this the agent is told that the message is on its way; the delivery goes on without it.
WAIT_SECONDS = 30.0
# The most that one call may post: nobody reads more at once, and every post counts against the server's rate limit.
MAX_CHARS = 40_000
MAX_POSTS = 10
NAME = "message"

# Names that OpenClaw's tool takes, and models that know it use.
_MEDIA = ("media", "mediaUrl", "fileUrl", "url", "path", "filePath")
_REPLY = ("replyTo", "replyToId", "threadId")
_OPEN_KINDS = frozenset({ChannelType.OPEN, ChannelType.PRIVATE})


@frozen(eq=False)
class MessageTool:
    """One account's; `tool` makes it for one turn."""

    outbound: OutboundClient
    sender: MessageSender
    permissions: MessagePermissions
    policies: Policies
    people: People

    def tool(self, here: InboundMessage, asked: Asked, names: PostNames) -> tuple[ToolSpec, Function]:
        """The tool for a turn that runs where `here` was written, and answers what `asked` gives at each call."""
        # For the turn and not for the call: a model in a loop calls again and again.
        budget = _PostBudget(self.policies.reply.bounds.posts)

        async def call(arguments: Mapping[str, Any]) -> str | ToolResult:
            try:
                return await _Call(self, here, asked, arguments, names.next(NAME, arguments), budget).run()
            except (TargetError, EmptyMessage, BadPresentation, BadRange, UnknownEmoji, MattermostError) as problem:
                raise ToolFailed(str(problem)) from problem

        return self._spec(), call

    def _spec(self) -> ToolSpec:
        actions = ["send", *(["react"] if self.permissions.reactions else []), "read"]
        text = {"type": "string"}
        properties: dict[str, Any] = {
            "action": {"type": "string", "enum": actions},
            "target": {**text, "description": "channel:<id>, #name, user:<id> or @username; default: where you are"},
            "message": {**text, "description": "send: the text, in Mattermost Markdown"},
            "media": {**text, "description": "send: an https address of a file to attach"},
            "presentation": {
                "type": "object",
                "description": 'send: {"title", "blocks": [text|divider|buttons|select]}',
            },
            "replyTo": {**text, "description": "send: the id of a post to reply to in its thread"},
            "topLevel": {"type": "boolean", "description": "send: not in the current thread"},
            "limit": {"type": "integer", "description": f"read: posts at most; default {DEFAULT_LIMIT}"},
            "before": {**text, "description": "read: only posts older than this one"},
            "after": {**text, "description": "read: only posts newer than this one"},
            "around": {**text, "description": "read: this post, with older and newer ones"},
        }
        if self.permissions.reactions:
            properties["messageId"] = {**text, "description": "react: the post's id; default: the current message"}
            properties["emoji"] = {**text, "description": "react: a name such as thumbsup, or the character"}
            properties["remove"] = {"type": "boolean", "description": "react: take the reaction off"}
        if self.permissions.buttons:
            description = (
                'send: rows of buttons, [[{"text": "Yes", "callback_data": "yes"}]]; a click comes back to you'
            )
            properties["buttons"] = {"type": "array", "items": {"type": "array"}, "description": description}
        description = (
            "Send a message somewhere else than in your answer, react to a message, or read messages. "
            "Your answer itself is posted without this tool."
        )
        return ToolSpec(NAME, description, {"type": "object", "properties": properties, "required": ["action"]})


@define
class _PostBudget:
    """How many posts the calls of one turn may still make."""

    left: int


@frozen(eq=False)
class _Call:
    """One call of the tool."""

    tool: MessageTool
    here: InboundMessage
    asked: Asked
    arguments: Mapping[str, Any]
    # The outbox posts a message of this name once, however often the turn is run again.
    name: str
    budget: _PostBudget

    async def run(self) -> str | ToolResult:
        account = self._text("accountId", "account")
        if account and normalize_account_id(account) != self.tool.outbound.account:
            raise ToolFailed(f"Only the account {self.tool.outbound.account} can be used here.")
        # OpenClaw's word for the platform. Left aside, a message for elsewhere would be posted in this conversation.
        platform = self._text("channel")
        if platform and platform.lower() != "mattermost":
            raise ToolFailed(
                f"channel is the platform, which is mattermost here, not {platform!r}: name the place in target."
            )
        # The schema requires it; a model that leaves it out means the usual one.
        match self._text("action") or "send":
            case "send":
                return await self._send()
            case "react" if self.tool.permissions.reactions:
                return await self._react()
            case "react":
                raise ToolFailed("Reactions are disabled (actions.reactions).")
            case "read":
                return await self._read()
            case other:
                raise ToolFailed(f"There is no action {other!r}; known are send, react and read.")

    async def _send(self) -> ToolResult:
        outbound, place = self.tool.outbound, await self._place()
        root_id, reply_to = self._thread(is_here=self._is_here(place))
        message = MessageRequest(
            self._text("message", "text", "caption"), self._media(), self._presentation(), reply_to
        )
        self._require_short(message)
        composed = await outbound.compose(place, message, root_id=root_id)
        refused = [f"{each.source}: {each.problem}" for each in composed.attachments if each.problem]
        # Every file was refused and there is no text; with a text, the refusals are told beside what was sent.
        if not composed.parts:
            raise ToolFailed(f"Nothing was sent: {'; '.join(refused)}")
        # Before sending: a call that was cut off by the time limit still posts, and has to count.
        self._spend(len(composed.parts))
        result = None
        with trio.move_on_after(WAIT_SECONDS):
            result = await self.tool.sender.send(composed, self.name)
        if result is None:
            return ToolResult(
                f"The message to {place} is queued; it will be sent as soon as possible.", detail="queued"
            )
        problems = [*refused, *result.problems]
        if not result.posts:
            raise ToolFailed(f"Not sent to {place}: {'; '.join(problems)}")
        reply = {"ok": not problems, "messageId": result.posts[0], "postIds": list(result.posts)}
        if problems:
            reply["problems"] = problems
        return ToolResult(json.dumps(reply, ensure_ascii=False), detail=f"posted in {place}")

    def _require_short(self, message: MessageRequest) -> None:
        """Refuse too long a message before anything is uploaded: the model can shorten it. Raises ToolFailed."""
        length = len(message.text) + len(message.presentation.text)
        if length > MAX_CHARS:
            raise ToolFailed(
                f"Not sent: the message has {length:,} characters; at most {MAX_CHARS:,} can be sent at once."
            )
        if self.budget.left <= 0:
            raise ToolFailed("Not sent: this turn has posted as many messages as it may (maxAnswerPosts).")

    def _spend(self, posts: int) -> None:
        """Take so many posts from the turn's budget. Raises ToolFailed where they are too many."""
        if posts > MAX_POSTS:
            raise ToolFailed(f"Not sent: the message would be {posts} posts; at most {MAX_POSTS} can be sent at once.")
        if posts > self.budget.left:
            raise ToolFailed(
                f"Not sent: the message would be {posts} posts, and this turn may send {self.budget.left} more "
                "(maxAnswerPosts)."
            )
        self.budget.left -= posts

    async def _react(self) -> ToolResult:
        outbound = self.tool.outbound
        post_id = self._text("messageId", "postId") or self.here.post_id
        if not post_id:
            raise ToolFailed("messageId is required: the id of the post to react to.")
        emoji = emoji_name(self._text("emoji"))
        place = await self._place()
        channel_id = await outbound.channel_id(place)
        post = await self._post(post_id)
        # The rules are those of the named place: an id of a post elsewhere must not get around them.
        if post.channel_id != channel_id:
            raise ToolFailed(f"The post {post_id} is not in {place}.")
        if self._flag("remove"):
            await outbound.api.reactions.remove(outbound.user.id, PostId(post_id), emoji)
            return ToolResult(f"Removed reaction :{emoji}: from {post_id}", detail=f":{emoji}:")
        await outbound.api.reactions.add(outbound.user.id, PostId(post_id), emoji)
        return ToolResult(f"Reacted with :{emoji}: on {post_id}", detail=f":{emoji}:")

    async def _read(self) -> ToolResult:
        outbound, place = self.tool.outbound, await self._place("target", "to", "channelId")
        if not self._is_here(place):
            self._require_readable(place)
        limit = self.arguments.get("limit", DEFAULT_LIMIT)
        # Models send 20.0 as well; `True` is an int for Python.
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or limit != int(limit):
            raise ToolFailed("limit must be a positive number.")
        channel_id = await outbound.channel_id(place)
        anchors = {name: self._text(name) for name in ("before", "after", "around")}
        page = await read_page(outbound.api, channel_id, limit=int(limit), **anchors)
        visible = [post for post in page.posts if await self._may_show(post, place)]
        messages = [
            {**post_fields(post, page.names.get(post.user_id, "")), "timestampUtc": clock(post.create_at)}
            for post in visible
        ]
        reply: dict[str, Any] = {"ok": True, "channelId": channel_id, "messages": messages, "hasMore": page.has_more}
        if len(visible) < len(page.posts):
            reply["hidden"] = len(page.posts) - len(visible)
        return ToolResult(json.dumps(reply, ensure_ascii=False), detail=f"{len(visible)} messages of {place}")

    async def _place(self, *names: str) -> Place:
        """The place that the call names, else the current conversation."""
        outbound, target = self.tool.outbound, self._text(*(names or ("target", "to", "channelId")))
        if not target:
            return Place(await outbound.directory.channel(self.here.channel_id))
        place = await self._resolve(target)
        # A place that a user names has no channel yet; this one is the conversation of the call, with its thread.
        if self.here.is_direct and place.user_id == self.here.user_id:
            return Place(await outbound.directory.channel(self.here.channel_id))
        if place.channel is not None and not self._is_here(place):
            require_allowed(place.channel, self.tool.policies.access)
        return place

    async def _resolve(self, target: str) -> Place:
        outbound, askers = self.tool.outbound, askers_of(self.asked())
        # Schedules and hooks have no askers: whoever sets them up has the operator's trust.
        if not self.tool.permissions.members_only or not askers:
            return await outbound.targets.resolve(target)
        places = AskersPlaces(outbound.api, outbound.user.id, outbound.targets)
        return await places.resolve(target, askers, self.here.channel_id)

    def _is_here(self, place: Place) -> bool:
        return place.channel_id == self.here.channel_id

    def _thread(self, *, is_here: bool) -> tuple[str, str]:
        """The root to post under, and the post whose root is to be looked up; a flat conversation has neither."""
        here, reply_to = self.here, self._text(*_REPLY)
        if self._flag("topLevel") or ("threadId" in self.arguments and self.arguments["threadId"] is None):
            return "", ""
        if not is_here:
            return "", reply_to
        # A flat conversation stays flat: a reply would open a thread that nobody asked for.
        if here.is_direct and not here.reply_root:
            return "", ""
        is_current = reply_to in ("", here.post_id, here.root_id, here.reply_root)
        if reply_to and is_current and not here.reply_root:
            return "", reply_to
        return (here.reply_root, "") if is_current else ("", reply_to)

    def _require_readable(self, place: Place) -> None:
        permissions, channel = self.tool.permissions, place.channel
        if not permissions.messages:
            raise ToolFailed("Only the current conversation can be read here (actions.messages is off).")
        listed = channel is not None and bool({channel.id, "*"} & permissions.listed)
        # OpenClaw's rule: `groups` does not say where people are answered, and yet what may be read.
        is_allowed = permissions.group_policy is GroupPolicy.OPEN or (
            listed and permissions.group_policy is not GroupPolicy.DISABLED
        )
        if channel is None or channel.type not in _OPEN_KINDS or not is_allowed:
            raise ToolFailed("The target channel is not allowed.")

    async def _may_show(self, post: Post, place: Place) -> bool:
        """Whether the model may read a post: by the rule for the context of a conversation."""
        policies, outbound = self.tool.policies, self.tool.outbound
        if policies.context.visibility is ContextVisibility.ALL or post.user_id == outbound.user.id:
            return True
        channel = place.channel
        if channel is None:
            return True  # the direct channel of a person that the call names
        return (await self.tool.people.resolve(post.user_id, channel.id)).access.allowed

    async def _post(self, post_id: str) -> Post:
        try:
            return await self.tool.outbound.api.posts.get(PostId(post_id))
        except MattermostRejected as refusal:
            raise ToolFailed(f"There is no post {post_id}, or the bot may not see it.") from refusal

    def _text(self, *names: str) -> str:
        """The first of the parameters that holds text.

        Raises ToolFailed where one holds something else: a message for `["@bob"]` must not go to everybody here.
        """
        values = {name: self.arguments[name] for name in names if self.arguments.get(name) is not None}
        for name, value in values.items():
            if not isinstance(value, str):
                raise ToolFailed(f"{name} must be a text.")
        return next((value.strip() for value in values.values() if value.strip()), "")

    def _flag(self, name: str) -> bool:
        value = self.arguments.get(name)
        if value is not None and not isinstance(value, bool):
            raise ToolFailed(f"{name} must be true or false.")
        return value is True

    def _media(self) -> tuple[str, ...]:
        addresses = [self._text(name) for name in _MEDIA]
        for name in ("mediaUrls", "attachments"):
            items = self.arguments.get(name)
            if items is None:
                continue
            if not isinstance(items, list):
                raise ToolFailed(f"{name} must be a list of addresses.")
            for item in items:
                fields = item if isinstance(item, Mapping) else {"url": item}
                sources = [fields[key] for key in _MEDIA if fields.get(key) is not None]
                if not sources or not all(isinstance(source, str) for source in sources):
                    raise ToolFailed(f"{name} must be a list of addresses.")
                addresses += sources
        return tuple(dict.fromkeys(source for source in addresses if source))

    def _presentation(self) -> Presentation:
        presentation = Presentation()
        for name, reader in (("presentation", read_presentation), ("buttons", read_buttons)):
            value = self.arguments.get(name)
            if value is not None:
                presentation = presentation.joined(reader(_parsed(value)))
        return presentation


def _parsed(value: Any) -> Any:
    """The value; JSON in a text is parsed, as models often send objects that way."""
    if not isinstance(value, str):
        return value
    try:
        return read_lenient(value)
    except BadJson:
        return value
