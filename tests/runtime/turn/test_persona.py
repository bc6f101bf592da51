"""What an agent's own files say reaches the model."""

from pathlib import Path

from oc_trio.agent.scripted import Say
from tests.runtime.harness import Harness


async def test_the_model_is_told_what_the_workspace_says(harness: Harness, tmp_path: Path) -> None:
    """After the system prompt; a file that is not one of the three is left out."""
    (tmp_path / "SOUL.md").write_text("You are dry.\n")
    (tmp_path / "MEMORY.md").write_text("Carol owes Bob five euros.")
    harness.script = [Say("ok")]
    await harness.start(agents={"defaults": {"systemPrompt": "You help.", "workspace": str(tmp_path)}})
    harness.say("@helper hello")
    await harness.settled()
    (request,) = harness.agent.requests
    assert request.system_prompt.startswith("You help.\n\n# Your own files\n\n## SOUL.md\n\nYou are dry.")
    assert "Carol" not in request.system_prompt
