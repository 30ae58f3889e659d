// Push-to-talk: a turn from press to release, without the server's voice detection.

const SHORTEST = 100; // ms; a shorter press is discarded

export class PushToTalk {
  #uplink;
  #send;
  #pressedAt = null;

  constructor(uplink, send) {
    this.#uplink = uplink;
    this.#send = send;
  }

  get on() { return this.#uplink.pushed; }

  set on(on) {
    this.#uplink.pushed = on;
    this.drop();
  }

  press(turn) {
    if (!this.on || this.#uplink.pressed) return;
    this.#pressedAt = performance.now();
    this.#uplink.pressed = true;
    turn.cut();
    turn.hears(true);
    this.#send({ type: "input_audio_buffer.clear" });
  }

  release(turn) {
    if (!this.#uplink.pressed) return;
    this.drop();
    turn.hears(false);
    if (performance.now() - this.#pressedAt < SHORTEST) {
      this.#send({ type: "input_audio_buffer.clear" });
    } else {
      this.#send({ type: "input_audio_buffer.commit" });
      turn.ask();
    }
  }

  // Ends a press without a turn, for example because its connection is lost.
  drop() {
    this.#uplink.pressed = false;
  }
}
