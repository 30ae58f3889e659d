"""`RelayClient` in a real Chromium, with a server that the test drives event by event."""

import base64
import json
import time

import pytest

from tests.components import needs
from tests.web.far_end import (
    FarEnd,
    answer_begins,
    answer_ends,
    answer_goes_on,
    user_speaks,
)
from tests.web.sound import tone

pytestmark = [needs("chromium"), pytest.mark.asyncio(loop_scope="session")]


def constant(value: int, seconds: float) -> bytes:
    """Sound whose every sample says which answer it is from."""
    return value.to_bytes(2, "little", signed=True) * int(24000 * seconds)


def jwt(ttl: float) -> str:
    """Something that looks like a token and says when it ends."""
    claims = json.dumps({"exp": time.time() + ttl}).encode()
    return f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


COUNT_WAITING = """() => {
  let sent = 0;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function count(text) { sent += 1; return send.call(this, text); };
  client.on("reconnecting", () => { sent = 0; });
  client.on("reconnected", () => { window.waiting = sent; });
}"""
"""Nothing is sent while there is no connection: what was sent by then had waited."""


async def answered(end: FarEnd, pcm: bytes, number: int = 1, text: str = "Yes.") -> None:
    """A whole answer, in one burst."""
    await answer_begins(end, f"R{number}", f"A{number}", None)
    await answer_goes_on(end, f"R{number}", f"A{number}", text, pcm)
    await answer_ends(end, f"R{number}", f"A{number}", text)


# ------------------------------------------------------------------------------- connecting


async def test_S3_81_agent_and_conversation_are_asked_for_and_the_token_in_a_subprotocol(
    caller, end
):
    """The address is the page's to configure."""
    await caller.dial(agentId="a-1", conversationId="c-9", voice="sage", session={"speed": 1.1})
    connection = await end.connection()
    assert connection.request is not None
    assert connection.request.path == "/v1/realtime?agent_id=a-1&conversation_id=c-9"
    assert connection.request.headers["Sec-WebSocket-Protocol"] == (
        "realtime, relay.v1, openai-insecure-api-key.t.0.x"
    )
    await end.say("session.created", session={"id": "sess_1"})
    update = await end.expect("session.update")
    assert update["session"] == {
        "type": "realtime",
        "audio": {"output": {"voice": "sage"}},
        "speed": 1.1,
    }
    assert await caller.do("() => connected") == "yes"
    (latency,) = await caller.told("latency")
    assert latency["kind"] == "connect"
    assert latency["ms"] > 0


async def test_a_failed_call_says_why(caller, end):
    await caller.dial()
    await end.connection()
    await end.hang_up(1013, "Server at capacity")
    assert await caller.do("() => connected") == "at_capacity"
    ended = await caller.hears_of("ended")
    assert ended["error"]["message"] == "The relay is full."
    assert ended["error"]["advice"]
    assert await caller.do("() => client.state") == "ended"


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ({"url": "http://["}, "bad_address"),
        ({"url": "ws://h/", "protocols": ["a b"]}, "bad_address"),
    ],
)
async def test_a_wrong_address_is_reported(caller, wishes, code):
    await caller.dial(**wishes)
    assert await caller.do("() => connected") == code


async def test_a_failing_token_function_is_reported(caller):
    await caller.do("() => { tokens = ['fails']; }")
    await caller.dial()
    assert await caller.do("() => connected") == "token_unavailable"


async def test_a_browser_that_cannot_play_is_reported(caller):
    await caller.do(
        "() => { window.AudioContext = class { constructor() { throw new Error(); } }; }"
    )
    await caller.dial()
    assert await caller.do("() => connected") == "sound_failed"


async def test_one_client_is_one_call(caller):
    await caller.connect()
    again = "() => client.connect({ url: 'ws://x' }).catch(({ code }) => code)"
    assert await caller.do(again) == "already_connected"
    await caller.do("() => client.close()")
    assert (await caller.hears_of("ended"))["error"] is None
    assert await caller.do(
        "() => { try { client.say('x'); } catch ({ code }) { return code; } }"
    ) == ("not_connected")


# ------------------------------------------------------------------------------- own events


async def test_relay_events_are_emitted_typed(caller, end):
    await caller.connect()
    await end.be_a_relay("c1")
    await end.say("relay.coach", speaking=True)
    await end.say("relay.budget", left=250_000)
    await end.say("relay.audio_dropped", ms=340)
    await end.say("relay.warning", code="locked_fields", message="Not yours.")
    await end.say("relay.nothing_known")
    await caller.hears_of("warning")
    (session,) = await caller.told("session")
    assert (session["sessionId"], session["conversationId"]) == ("s-c1", "c1")
    assert await caller.told("coach") == [{"present": True, "speaking": True}]
    assert await caller.told("budget") == [{"left": 250_000}]
    assert await caller.told("dropped") == [{"direction": "down", "ms": 340}]
    assert await caller.told("warning") == [{"code": "locked_fields", "message": "Not yours."}]


async def test_playback_is_reported_to_the_millisecond(caller, end):
    await caller.connect()
    await end.be_a_relay()
    await answered(end, tone(1.5))
    await caller.until("client.counters.played === 36000 && client.state === 'listening'")
    await caller.do("() => client.update({})")
    await end.expect("session.update")  # so that all before it has come
    played = [report["played_ms"] for report in end.reports]
    assert {report["item_id"] for report in end.reports} == {"A1"}
    assert played == sorted(played)
    assert played[-1] == 1500
    assert 4 <= len(played) <= 10  # a few a second


async def test_a_pause_silences_the_voice_at_once_and_resuming_brings_it_back(caller, end):
    await caller.connect()
    await end.be_a_relay()
    await answered(end, tone(8))
    await caller.until("client.state === 'speaking'")
    await end.say("relay.paused")
    truncate = await end.expect("conversation.item.truncate")
    await caller.until("client.state === 'paused'")
    assert end.reports[-1]["played_ms"] == truncate["audio_end_ms"] < 8000
    await user_speaks(end, "U1", None, "I am still heard.")
    await caller.until("client.utterances.some(({ text }) => text === 'I am still heard.')")
    assert await caller.do("() => [client.state, client.paused]") == ["paused", True]
    await end.say("relay.resumed")
    await caller.until("client.state === 'listening'")


async def test_a_coach_who_speaks_takes_the_models_place(caller, end):
    await caller.connect()
    await end.be_a_relay()
    await caller.tap()
    await answered(end, constant(8000, 6))
    await caller.until("client.counters.played > 6000")
    await end.say("relay.coach", speaking=True)
    await answered(end, constant(-8000, 0.5), 2, "I am Maria.")
    await end.say("relay.coach", speaking=False)
    await caller.until("heard.some(({ samples }) => samples.includes(-8000))")
    await caller.played()
    speakers = await caller.do("() => client.utterances.map(({ speaker }) => speaker)")
    assert speakers == ["assistant", "coach"]
    heard = await caller.do("() => heard.flatMap(({ samples }) => [...samples]).filter(Boolean)")
    turn = heard.index(-8000)
    assert 8000 not in heard[turn:]
    assert heard[turn:].count(-8000) == 12000


# -------------------------------------------------------------------------------- barge-in


async def test_after_a_barge_in_nothing_of_the_old_answer_is_heard(caller, end):
    """Captured output: the old answer's samples are positive, the new one's negative."""
    await caller.connect()
    await caller.tap()
    await answer_begins(end, "R1", "A1", None)
    await answer_goes_on(end, "R1", "A1", "Once", constant(8000, 5))
    await caller.until("client.counters.played > 12000")
    await caller.do(
        """() => client.on("event", ({ type }) => {
          if (type === "input_audio_buffer.speech_started") {
            window.interruptedAt = Math.round(client.output.context.currentTime * 24000);
          }
        })"""
    )
    await end.say("input_audio_buffer.speech_started", item_id="U1", audio_start_ms=100)
    await answer_goes_on(end, "R1", "A1", " upon", constant(8000, 3))  # it was on its way
    await answer_ends(end, "R1", "A1", "Once upon", "cancelled")
    await end.say("input_audio_buffer.speech_stopped", item_id="U1", audio_end_ms=900)
    await answered(end, constant(-8000, 0.5), 2)
    await caller.until("heard.some(({ samples }) => samples.includes(-8000))")
    await caller.played()
    old, new = await caller.do(
        """() => {
          const frames = heard.flatMap(({ from, samples }) => (
            [...samples].map((sample, at) => [from + at, sample])));
          const late = frames.filter(([frame, sample]) => sample > 0 && frame > interruptedAt);
          return [late.length, frames.filter(([, sample]) => sample < 0).length];
        }"""
    )
    assert old < 24 * 100  # the browser was told and is silent within a tenth of a second …
    assert new == 12000
    heard = await caller.do("() => heard.flatMap(({ samples }) => [...samples]).filter(Boolean)")
    assert min(heard[heard.index(-8000) :]) == max(heard[heard.index(-8000) :])  # … and stays so


async def test_interrupting_by_hand_cancels_the_answer(caller, end):
    await caller.connect()
    await answer_begins(end, "R1", "A1", None)
    await answer_goes_on(end, "R1", "A1", "Once", tone(5))
    await caller.until("client.state === 'speaking'")
    await caller.do("() => client.interrupt()")
    kinds = {(await end.expect_any())["type"] for _ in range(2)}
    assert kinds == {"response.cancel", "conversation.item.truncate"}


# ------------------------------------------------------------------------------ microphone


async def test_speech_during_connecting_is_not_lost(caller, end):
    await caller.dial()
    await caller.do("() => client.listen()")
    connection = await end.connection()
    await caller.do("() => new Promise((go) => setTimeout(go, 500))")
    assert end.appends == 0
    assert connection is end.page
    await end.say("session.created", session={"id": "sess_1"})
    await end.hear(1)
    await caller.do("() => connected")
    assert end.appends >= 15  # 300 ms at least were waiting


async def test_a_muted_microphone_records_silence(caller, end):
    await caller.connect()
    await caller.do("() => client.listen()")
    await end.hear(10)
    await caller.do("() => client.mute()")
    await end.hear(15)
    assert not any(end.audio[-960 * 5 :])
    assert (await caller.told("microphone"))[-1]["muted"]
    await caller.do("() => client.mute(false)")
    await end.hear(40)
    assert any(end.audio[-960 * 20 :])


async def test_push_to_talk_sends_speech_while_held_and_requests_the_answer(caller, end):
    await caller.connect()
    await caller.do("() => client.listen()")
    await end.hear(3)
    await caller.do("() => client.usePushToTalk()")
    update = await end.expect("session.update")
    assert update["session"]["audio"]["input"]["turn_detection"] is None
    before = end.appends
    await caller.do("() => new Promise((go) => setTimeout(go, 200))")
    assert end.appends - before < 5  # only what was on its way
    await caller.do("() => client.press()")
    await end.expect("input_audio_buffer.clear")
    assert await caller.do("() => client.state") == "hearing"
    await end.hear(15)
    await caller.do("() => client.release()")
    await end.expect("input_audio_buffer.commit")
    await end.expect("response.create")
    await caller.do("() => { client.press(); client.release(); }")  # a slip of the finger
    await end.expect("input_audio_buffer.clear")
    await end.expect("input_audio_buffer.clear")
    await caller.do("() => client.usePushToTalk(false)")
    update = await end.expect("session.update")
    assert update["session"]["audio"]["input"]["turn_detection"] == {"type": "server_vad"}


async def test_a_browser_that_records_only_at_its_own_rate_is_resampled(caller, end):
    await caller.do(
        """() => {
          const make = AudioContext.prototype.createMediaStreamSource;
          AudioContext.prototype.createMediaStreamSource = function source(stream) {
            if (this.sampleRate === 24000) throw new DOMException("rate", "NotSupportedError");
            return make.call(this, stream);
          };
        }"""
    )
    await caller.connect()
    await caller.do("() => client.listen()")
    await end.hear(50)
    assert any(end.audio)
    assert len(end.audio) == end.appends * 960


async def test_devices_are_listed_and_chosen(caller, end):
    await caller.connect()
    await caller.do("() => client.listen()")
    found = await caller.do("() => devices()")
    assert found["inputs"]
    assert all(device["label"] for device in found["inputs"])
    chosen = found["inputs"][-1]["deviceId"]
    await caller.do("(deviceId) => client.listen({ deviceId })", chosen)
    assert await caller.do("() => client.inputDevice") == chosen
    await caller.do("() => client.listen({ deviceId: 'gone' })")  # falls back to the default
    await caller.do("() => client.setOutput('')")
    before = end.appends
    await end.hear(5)
    assert end.appends > before


# ------------------------------------------------------------------------------- functions


async def test_a_function_call_is_passed_through_and_its_result_goes_back(caller, end):
    await caller.connect()
    await end.say("response.created", response={"id": "R1"})
    item = {
        "id": "F1",
        "type": "function_call",
        "call_id": "call_1",
        "name": "time",
        "arguments": '{"zone":"UTC"}',
    }
    await end.say("response.output_item.done", response_id="R1", output_index=0, item=item)
    call = await caller.hears_of("function_call")
    assert call == {"callId": "call_1", "name": "time", "arguments": '{"zone":"UTC"}'}
    await caller.do("() => client.answer('call_1', { time: '12:00' })")
    output = (await end.expect("conversation.item.create"))["item"]
    assert output == {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": '{"time":"12:00"}',
    }
    assert end.events.empty()  # not before the response is done
    await end.say("response.done", response={"id": "R1", "status": "completed"})
    await end.expect("response.create")


# --------------------------------------------------------------------------------- lasting


async def test_a_token_is_renewed_before_it_expires(caller, end):
    await caller.do("(fresh) => tokens.push('t.1.x', fresh)", jwt(3600))
    await caller.connect()
    await end.be_a_relay(ttl=1.5)
    assert (await end.expect("relay.token"))["token"] == "t.1.x"
    await caller.do("(short) => { tokens = [short]; }", jwt(1.5))
    await end.be_a_relay(ttl=1)
    await end.expect("relay.token")
    await end.expect("relay.token")  # the token itself said when it ends


async def test_a_lost_connection_is_replaced_and_continues_the_conversation(caller, end):
    await caller.do("() => tokens.push('t.1.x')")
    await caller.connect(agentId="a-1", session={"speed": 1.1})
    await end.expect("session.update")
    await end.be_a_relay("c1")
    await caller.do("() => client.listen()")
    await end.hear(5)
    await user_speaks(end, "U1", None, "Hello?")
    await answer_begins(end, "R1", "A1", "U1")
    await answer_goes_on(end, "R1", "A1", "I was about", tone(0.2))
    await caller.until("client.utterances.length === 2")
    await caller.do(COUNT_WAITING)
    await end.cut()
    connection = await end.connection()
    assert connection.request is not None
    assert connection.request.path == "/v1/realtime?agent_id=a-1&conversation_id=c1"
    assert connection.request.headers["Sec-WebSocket-Protocol"].endswith("t.1.x")
    await end.say("session.created", session={"id": "sess_2"})
    await end.be_a_relay("c1")
    assert (await end.expect("session.update"))["session"] == {"type": "realtime", "speed": 1.1}
    assert (await caller.hears_of("reconnected"))["lostMs"] > 0
    assert await caller.do("() => waiting") > 10  # what was said meanwhile came too, at once
    assert await caller.told("dropped") == []
    await end.hear(5)
    said = await caller.do("() => client.utterances.map(({ state, text }) => `${state}: ${text}`)")
    assert said == ["final: Hello?", "interrupted: I was about"]
    await user_speaks(end, "U2", None, "There you are.")
    await caller.until("client.utterances.at(-1).text === 'There you are.'")
    assert end.events.empty()  # a relay knows what was said


async def test_a_server_without_a_memory_gets_the_conversation_again(caller, end):
    """OpenAI's own endpoint: no relay.* events, and a new socket is an empty conversation."""
    await caller.connect(protocols=["realtime"])
    assert end.page.request is not None
    protocols = end.page.request.headers["Sec-WebSocket-Protocol"]
    assert protocols == "realtime, openai-insecure-api-key.t.0.x"
    await user_speaks(end, "U1", None, "I am Ada.")
    await answered(end, tone(0.3), text="Hello Ada.")
    await caller.until("client.counters.played === 7200 && client.state === 'listening'")
    assert end.reports == []
    await end.hang_up(1001, "Your session hit the maximum duration of 60 minutes.")
    await end.answer()
    items = [(await end.expect("conversation.item.create"))["item"] for _ in range(2)]
    assert [(item["role"], item["content"]) for item in items] == [
        ("user", [{"type": "input_text", "text": "I am Ada."}]),
        ("assistant", [{"type": "output_text", "text": "Hello Ada."}]),
    ]


async def test_the_client_leaves_a_restarting_server_between_two_sentences(caller, end):
    await caller.connect()
    await end.be_a_relay("c1")
    await answer_begins(end, "R1", "A1", None)
    await answer_goes_on(end, "R1", "A1", "One more", tone(0.8))
    await caller.until("client.state === 'speaking'")
    await end.say("relay.reconnect", after_ms=50)
    old = end.page
    await answer_ends(end, "R1", "A1", "One more")
    await end.answer()
    assert end.page is not old
    await caller.hears_of("reconnected")
    assert await caller.do("() => client.counters.played") == 19200  # it was heard to its end


async def test_a_permanent_ending_is_not_retried(caller, end):
    await caller.connect()
    await end.hang_up(4008, "Budget exhausted")
    assert (await caller.hears_of("ended"))["error"]["code"] == "budget_exhausted"
    assert await caller.told("reconnecting") == []


async def test_an_expired_token_is_retried_once(caller, end):
    await caller.connect()
    await end.hang_up(4001, "Token expired")
    await end.connection()
    await end.hang_up(4001, "Unauthorized")
    assert (await caller.hears_of("ended"))["error"]["code"] == "unauthorized"
    assert len(await caller.told("reconnecting")) == 1


async def test_the_user_learns_why_and_how_long_to_wait(caller, end):
    await caller.connect()
    await end.cut()
    again = await caller.hears_of("reconnecting")
    assert again["error"]["code"] == "connection_lost"
    assert 250 <= again["inMs"] <= 500


async def test_close_ends_a_call_that_is_reconnecting(caller, end):
    await caller.connect()
    await end.cut()
    await caller.hears_of("reconnecting")
    await caller.do("() => client.close()")
    assert (await caller.hears_of("ended"))["error"] is None


async def test_delays_between_attempts_grow_differ_and_end(caller):
    seen = await caller.do(
        """async () => {
          const { delays } = await import("/client/backoff.js");
          return [[...delays(0, () => 0)], [...delays(0, () => 1)], [...delays(900, () => 0)]];
        }"""
    )
    assert seen[0] == [250, 500, 1000, 2000, 4000, 4000, 4000, 4000]
    assert seen[1] == [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]
    assert seen[2] == [1150, *seen[0][1:]]


async def test_speech_that_cannot_be_sent_is_limited_and_reported(caller):
    seen = await caller.do(
        """async () => {
          const { Uplink } = await import("/client/uplink.js");
          const lost = [];
          const uplink = new Uplink((ms) => lost.push(ms));
          for (let n = 0; n < 300; n += 1) uplink.append(new Int16Array(480), null);
          const socket = { ready: true, unsent: 0, sent: 0, send() { this.sent += 1; } };
          uplink.append(new Int16Array(480), socket);
          return [lost, socket.sent];
        }"""
    )
    assert seen == [[1000], 251]


async def test_blocked_sound_is_reported_and_starts_with_a_click(caller, end):
    await caller.do(
        """() => {
          window.clicked = false;
          window.AudioContext = class extends AudioContext {
            constructor(wishes) { super(wishes); this.suspend(); }
            resume() { return clicked ? super.resume() : new Promise(() => {}); }
          };
        }"""
    )
    await caller.connect()
    assert (await caller.hears_of("error"))["code"] == "sound_blocked"
    await caller.do("() => { window.clicked = true; }")
    await caller.page.mouse.click(5, 5)
    await caller.until("client.output.context.state === 'running'")


TAKEN_AWAY = """() => {
  window.contexts = [];
  window.taken = false;
  window.AudioContext = class extends AudioContext {
    constructor(wishes) { super(wishes); contexts.push(this); }
    resume() { return taken ? Promise.reject(new Error("a phone call")) : super.resume(); }
  };
}"""
"""The system may stop every sound of the page, as for a phone call, and let it start later."""


async def test_sound_that_stops_for_a_moment_goes_on_by_itself(caller, end):
    await caller.do(TAKEN_AWAY)
    await caller.connect()
    await caller.do("() => client.listen()")
    await caller.do("() => Promise.all(contexts.map((context) => context.suspend()))")
    await end.hear(25)
    assert await caller.told("error") == []


@pytest.mark.parametrize("back", ["click", "return"])
async def test_sound_that_the_system_takes_away_is_reported_and_comes_back(caller, end, back):
    await caller.do(TAKEN_AWAY)
    await caller.connect()
    await caller.do("() => client.listen()")
    await caller.do(
        "() => { taken = true; return Promise.all(contexts.map((each) => each.suspend())); }"
    )
    assert (await caller.hears_of("error"))["code"] == "sound_stopped"
    await caller.page.mouse.click(5, 5)  # too early: the phone call goes on
    await caller.do("() => { taken = false; }")
    if back == "click":
        await caller.page.mouse.click(5, 5)
    else:
        await caller.do(
            "() => document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))"
        )
    await caller.until("contexts.every(({ state }) => state === 'running')")
    await end.hear(25)
    assert len(await caller.told("error")) == 1


async def test_a_microphone_that_the_system_mutes_is_reported(caller, end):
    await caller.do(
        """() => {
          const ask = navigator.mediaDevices.getUserMedia;
          navigator.mediaDevices.getUserMedia = async function tracked(...wishes) {
            const stream = await ask.apply(this, wishes);
            [window.track] = stream.getAudioTracks();
            return stream;
          };
        }"""
    )
    await caller.connect()
    await caller.do("() => client.listen()")
    await caller.do("() => track.dispatchEvent(new Event('mute'))")
    assert (await caller.hears_of("error"))["code"] == "microphone_muted"
    assert await caller.do("() => client.listening")


async def test_a_handler_that_throws_disturbs_no_other(caller, end):
    await caller.connect()
    await caller.do(
        """() => {
          window.onerror = () => true;
          client.on("coach", () => { throw new Error("handler"); });
          window.off = client.on("coach", () => { window.second = (window.second ?? 0) + 1; });
        }"""
    )
    await end.say("relay.coach", speaking=True)
    await caller.until("window.second === 1")
    await caller.do("() => off()")
    await end.say("relay.coach", speaking=False)
    await end.say("relay.budget", left=1)
    await caller.hears_of("budget")
    assert await caller.do("() => window.second") == 1
    caller.screen.complaints.clear()  # the handler's own
