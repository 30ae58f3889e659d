"""The services door (S4): speech, answers and knowledge by HTTP, on the cascade's parts."""

from relay.doors.services.account import Accounting
from relay.doors.services.callers import CALLS_PER_CONNECT, Callers
from relay.doors.services.calls import Backing
from relay.doors.services.door import ServicesDoor, ServicesOptions
from relay.doors.services.health import HealthWatch, probes_of
from relay.doors.services.models import DEFAULT_MODEL
from relay.doors.services.pages import installed_files
from relay.doors.services.serving import Serving

__all__ = [
    "CALLS_PER_CONNECT",
    "DEFAULT_MODEL",
    "Accounting",
    "Backing",
    "Callers",
    "HealthWatch",
    "ServicesDoor",
    "ServicesOptions",
    "Serving",
    "installed_files",
    "probes_of",
]
