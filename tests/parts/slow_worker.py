"""A worker that takes 3 s to load and does nothing."""

import time

from relay.parts.worker_process import run_worker


def work(request, cancelled):
    yield request


def load(arguments):
    time.sleep(3)
    return work, {}


if __name__ == "__main__":
    run_worker(load)
