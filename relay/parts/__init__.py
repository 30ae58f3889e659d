"""Parts of a cascade: speech detectors, transcribers, responders and synthesizers."""

import os

# Read by ONNX Runtime as it loads, here or in a worker: otherwise it keeps a session file in the
# temporary folder and reports to a host of its maker's, from version 1.32 on, on every system.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # noqa: TID251 - the library's, not ours
