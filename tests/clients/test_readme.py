"""README names the clients that are tested, with the versions that are pinned."""

from tests.clients.readme import README, npm, pypi, with_section


def test_the_readme_lists_what_is_pinned() -> None:
    """Write it with `python -m tests.clients.readme`."""
    page = README.read_text()
    assert page == with_section(page)


def test_every_pin_is_read() -> None:
    names = {name for name, _ in (*npm(), *pypi())}
    assert {"openai", "openai-agents", "@openai/agents-realtime"} <= names
    assert "ws" not in names
    assert all(version[0].isdigit() for _, version in (*npm(), *pypi()))
