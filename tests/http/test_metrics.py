from prometheus_client.parser import text_string_to_metric_families

from relay.metrics import Metrics
from tests.http.listener import ask, listening


async def test_metrics_are_served_as_prometheus_reads_them():
    metrics = Metrics()
    metrics.traffic.frames_up += 3
    async with listening(metrics=metrics.render) as server:
        answer = await ask(server, "/metrics")

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.body)}
    assert families["relay_frames"].samples[0].value == 3
