"""Names the setting that a path comes from, for errors about files and folders."""

from pathlib import Path

from relay.config.settings import Settings


def setting_of(path: str | Path, settings: Settings) -> str | None:
    """`NAME=value` of the setting that leads to this path, None where none does.

    A path below that of a setting belongs to it, and so does a folder on the way to it.
    """
    wanted = Path(path).absolute()
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, Path):
            own = value.absolute()
            if wanted.is_relative_to(own) or own.is_relative_to(wanted):
                return f"{name.upper()}={value}"
    return None
