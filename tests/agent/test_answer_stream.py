"""The loop that reads an answer; how it ends is tested through the agents, in `test_openai` and `test_anthropic`."""

from oc_trio.agent.answer_stream import merged
from oc_trio.core.turn_events import TextDelta, Thinking


def test_neighbours_of_a_kind_become_one() -> None:
    """Order is kept."""
    assert merged([TextDelta("a"), TextDelta("b"), Thinking("c"), Thinking("d"), TextDelta("e")]) == [
        TextDelta("ab"),
        Thinking("cd"),
        TextDelta("e"),
    ]
