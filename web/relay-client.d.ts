/** A voice call from a browser to the relay, or to any other OpenAI Realtime server (GA). */

/** One event of the Realtime API, or one of the relay's own. */
export interface RealtimeEvent {
  type: string;
  event_id?: string;
  [field: string]: unknown;
}

/** Session fields for `session.update`; the server merges them. */
export type SessionFields = Record<string, unknown>;

export interface ConnectOptions {
  /** `wss://…/v1/realtime?model=…`; without a host, the page's own. */
  url: string;
  /** A JWT for the relay, an ephemeral key for OpenAI. It travels in a subprotocol. */
  token?: string | null;
  /** Gives a fresh token: called at the start, before the old one expires, and on a reconnect. */
  getToken?: () => Promise<string>;
  agentId?: string | null;
  /** The conversation to continue. */
  conversationId?: string | null;
  voice?: string | null;
  /** Other fields of the session, as in `session.update`. */
  session?: SessionFields;
  /** `["realtime", "relay.v1"]` by default; `["realtime"]` for OpenAI itself, without `relay.*` events. */
  protocols?: readonly string[];
  /** Reconnect after a lost connection; true by default. */
  reconnect?: boolean;
}

export type State =
  | "idle" | "connecting" | "listening" | "hearing" | "thinking" | "speaking" | "paused"
  | "reconnecting" | "ended";

export type Speaker = "user" | "assistant" | "coach";

export interface Utterance {
  readonly id: string;
  readonly role: "user" | "assistant";
  readonly speaker: Speaker;
  readonly text: string;
  /** The part of an interrupted answer that was heard: estimated by time, cut at a word. */
  readonly heardText: string;
  readonly state: "partial" | "final" | "interrupted" | "failed";
  /** The share of an interrupted answer that was heard, 0 to 1; null if unknown. */
  readonly heard: number | null;
}

export interface Levels {
  /** Root mean square, 0 to 1. */
  readonly input: number;
  readonly output: number;
}

export interface Coach {
  readonly present: boolean;
  readonly speaking: boolean;
}

export type ErrorCode =
  | "browser_too_old" | "insecure_page" | "sound_failed" | "sound_blocked" | "sound_stopped"
  | "microphone_denied" | "no_microphone" | "microphone_busy" | "microphone_failed"
  | "microphone_muted" | "microphone_lost"
  | "token_unavailable" | "bad_address" | "unreachable" | "offline" | "no_answer"
  | "connection_lost" | "going_away" | "upload_slow"
  | "client_left" | "hung_up" | "protocol_error" | "binary_refused" | "not_utf8" | "frame_too_big"
  | "at_capacity" | "missing_parameters" | "unauthorized" | "auth_unavailable" | "token_too_long"
  | "token_expired" | "forbidden" | "budget_exhausted" | "replaced" | "session_time_limit"
  | "idle" | "client_too_slow"
  | "too_many_sessions" | "too_many_requests" | "no_provider_key" | "engine_closed"
  | "engine_timed_out" | "internal_error" | "unknown_path" | "not_built"
  | "unsupported_call" | "service_restart"
  | "server_error" | "ended" | "not_connected" | "already_connected";

/** `message` says what happened and `advice` what to do, both for users. */
export class RelayError extends Error {
  readonly name: "RelayError";
  readonly code: ErrorCode;
  readonly advice: string;
  /** The same call may succeed a moment later. */
  readonly retry: boolean;
  /** The socket's close code; "silent" if the server never answered. */
  readonly closeCode: number | "silent" | null;
  readonly closeReason: string;
}

export interface ClientEvents {
  /** `error` comes with "ended" and "reconnecting", `inMs` with "reconnecting". */
  state: { state: State; error?: RelayError | null; inMs?: number };
  /** All utterances in conversation order, and the ids of those that changed or were removed. */
  transcript: { utterances: readonly Utterance[]; changed: readonly string[] };
  /** Every 20 ms while the microphone is open, every 43 ms during playback. */
  level: Levels;
  /** From `connect` to a ready voice; from the end of speech to the answer's first sound. */
  latency: { kind: "connect" | "answer"; ms: number };
  microphone: {
    listening: boolean; muted: boolean; pushToTalk: boolean; deviceId: string | null;
  };
  function_call: { callId: string; name: string; arguments: string };
  /** The relay's session. `expiresAt` is the token's expiry in Unix seconds. */
  session: { sessionId: string; conversationId: string; expiresAt: number };
  /** A human coach silenced the voice; the user is still heard and transcribed. */
  paused: Record<string, never>;
  resumed: Record<string, never>;
  coach: Coach;
  /** Micro-dollars that may still be spent. */
  budget: { left: number };
  /** Audio that was lost on the way to the relay ("up") or from it ("down"). */
  dropped: { direction: "up" | "down"; ms: number };
  warning: { code: string; message: string };
  reconnecting: { error: RelayError; inMs: number };
  reconnected: { lostMs: number };
  /** An error that does not end the call. */
  error: RelayError;
  /** Once, at the end; `error` is null after `close()`. */
  ended: { error: RelayError | null };
  /** Every event of the server, as it came. */
  event: RealtimeEvent;
}

/** One client is one call. */
export class RelayClient {
  /** `transcript` is that of an earlier call, to which this one adds. */
  constructor(options?: { transcript?: Transcript | null });

  /** Returns a function that removes the handler. */
  on<Type extends keyof ClientEvents>(
    type: Type, handler: (detail: ClientEvents[Type]) => void,
  ): () => void;

  /**
   * Call it from a click or a key press, because browsers do not play sound before one. Resolves when
   * the voice is ready; rejects with the RelayError that ended the call.
   */
  connect(options: ConnectOptions): Promise<void>;
  close(): void;

  /** Opens the microphone, or switches to another one. Rejects with a RelayError; the call continues. */
  listen(options?: { deviceId?: string | null }): Promise<void>;
  /** Closes the microphone. */
  deafen(): void;
  /** The microphone stays open and records silence. */
  mute(muted?: boolean): void;

  /** Turns the server's voice detection off, or on again: `press` begins a turn, `release` ends it. */
  usePushToTalk(use?: boolean): void;
  press(): void;
  release(): void;

  /** Sends a written message, which interrupts; before the voice is ready it is queued. */
  say(text: string): void;
  /** Returns the result of a `function_call`. */
  answer(callId: string, output: unknown): void;
  /** Stops playback of the answer. */
  interrupt(): void;
  /** Sends any event of the Realtime API. */
  send(event: RealtimeEvent): void;
  /** Sets fields of the session, also after reconnecting. */
  update(session: SessionFields): void;
  /** "" is the system's default. Only if `canChooseOutput()`. */
  setOutput(deviceId: string): Promise<void>;

  readonly state: State;
  readonly utterances: readonly Utterance[];
  readonly transcript: Transcript;
  readonly conversationId: string | null;
  readonly paused: boolean;
  readonly coach: Coach;
  readonly levels: Levels;
  readonly listening: boolean;
  readonly inputDevice: string | null;
  readonly muted: boolean;
  readonly pushToTalk: boolean;
  /** The node that plays everything, for a page that records or draws it; null before `connect`. */
  readonly output: AudioWorkletNode | null;
  readonly counters: {
    readonly audioDown: number;
    readonly flushes: number;
    readonly truncates: number;
    /** Samples played, and the loudest level. */
    readonly played: number;
    readonly loudest: number;
    readonly reconnects: number;
  };
}

/** The transcript, assembled from server events by item id. */
export class Transcript {
  readonly entries: readonly Utterance[];
  /** Applies an event and returns the ids of the entries that it changed. */
  apply(event: RealtimeEvent): string[];
  /** At the end of a call: unfinished utterances stay as far as they came. */
  settle(): string[];
}

/** The error for a browser that lacks something for a call, or null. */
export function missing(): RelayError | null;

export interface Device {
  readonly deviceId: string;
  readonly label: string;
}

/** Labels are empty until the microphone is allowed. */
export function devices(): Promise<{ inputs: Device[]; outputs: Device[] }>;
export function canChooseOutput(): boolean;

/** For pages that play or record without a Realtime session, such as a coach's page. */
export interface SpeakerPart {
  /** Items that were neither played to their end nor flushed. */
  readonly live: ReadonlySet<string>;
  readonly playing: boolean;
  readonly node: AudioWorkletNode;
  /** Transfers the samples: the caller's array is empty afterwards. */
  play(item: string, index: number, samples: Int16Array): void;
  finish(item: string): void;
  finishAll(): void;
  /** Stops at once; resolves to the items that were cut, in order of playing. */
  flush(): Promise<{ item: string; index: number; playedMs: number }[]>;
  close(): void;
}

/** `context` must run at 24 kHz. */
export function openSpeaker(context: AudioContext, listener: {
  progress(report: { progress: number; level: number; playing: boolean }): void;
  heard(item: string, ms: number, last: boolean): void;
}): Promise<SpeakerPart>;

export interface MicrophonePart {
  readonly deviceId: string;
  /** The device's rate; chunks are always 24 kHz. */
  readonly rate: number;
  muted: boolean;
  close(): void;
}

/**
 * Chunks of 480 samples, 20 ms. Rejects with the DOMException of getUserMedia, or with the RelayError
 * `microphone_lost`.
 */
export function openMicrophone(options: {
  context: AudioContext;
  deviceId?: string | null;
  onChunk: (chunk: { samples: Int16Array; level: number }) => void;
  /** The system took the sound away, and may give it back. */
  onMuted?: () => void;
  onLost: () => void;
}): Promise<MicrophonePart>;

/** PCM16 at 24 kHz, exact both ways. */
export function toBase64(samples: Int16Array): string;
export function fromBase64(text: string): Int16Array;
export function fromFloat(samples: Float32Array): Int16Array;
export function toFloat(samples: Int16Array): Float32Array;
