// A WebSocket that carries GA Realtime events as JSON.

const READY_WITHIN = 15000; // ms; the relay waits 10 s for its engine

// The token goes into a subprotocol, because addresses are logged and subprotocols are not.
export class Socket {
  #socket;
  #url;
  #listener;
  #timer;
  #opened = false;
  #said = null; // text of the server's last error
  ready = false;

  // `listener` has: event(event) for each server event, and ended(end) once, unless `close` is called;
  // `end` is the argument of `errorOfEnding`. `ready` is true from `session.created` on.
  constructor(url, protocols, listener) {
    this.#url = url;
    this.#listener = listener;
    this.#socket = new WebSocket(url, protocols);
    this.#socket.onopen = () => { this.#opened = true; };
    this.#socket.onmessage = ({ data }) => this.#take(data);
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
    this.#timer = setTimeout(() => this.#end("silent", ""), READY_WITHIN);
  }

  // Bytes that the network has not taken yet.
  get unsent() {
    return this.#socket.bufferedAmount;
  }

  send(event) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(event));
  }

  close() {
    this.#detach();
    this.#socket.close(1000);
  }

  #take(data) {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return; // not an event: perhaps an extension of a later server
    }
    if (event.type === "session.created") {
      this.ready = true;
      clearTimeout(this.#timer);
    } else if (event.type === "error") {
      this.#said = event.error?.message ?? null;
    }
    this.#listener.event(event);
  }

  #end(code, reason) {
    const opened = this.#opened;
    this.#detach();
    this.#socket.close();
    this.#listener.ended({ code, reason, url: this.#url, opened, said: this.#said });
  }

  #detach() {
    clearTimeout(this.#timer);
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
  }
}

// The address and the subprotocols to connect with. `options` are those of `connect`.
export function endpointOf({ url, agentId, conversationId, protocols }, token) {
  const address = new URL(url, location.href.replace(/^http/, "ws"));
  if (agentId) address.searchParams.set("agent_id", agentId);
  if (conversationId) address.searchParams.set("conversation_id", conversationId);
  const offered = token ? [...protocols, `openai-insecure-api-key.${token}`] : protocols;
  return [address.href, offered];
}
