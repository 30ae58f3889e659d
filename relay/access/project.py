"""How the relay itself gets into a Supabase project."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProjectAccess:
    """A project's address, like `https://ref.supabase.co`, and its service key."""

    url: str
    service_key: str = field(repr=False)
