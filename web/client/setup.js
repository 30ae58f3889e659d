// Events that set up a session, at the start of a call and after reconnecting.

const MOST_REPLAYED = 30; // utterances that are sent again to a server that does not remember them
const LONGEST_ID = 32; // characters of an item's id that the API accepts

// Merges `change` into `known`, as `session.update` does; modifies neither.
export function merged(known, change) {
  const result = { ...known };
  for (const [name, value] of Object.entries(change)) {
    const deeper = isObject(value) && isObject(result[name]);
    result[name] = deeper ? merged(result[name], value) : value;
  }
  return result;
}

export function sessionOf({ session = {}, voice }) {
  return voice ? merged(session, { audio: { output: { voice } } }) : session;
}

export function sessionUpdate(session) {
  return { type: "session.update", session: { type: "realtime", ...session } };
}

export function created(item) {
  return { type: "conversation.item.create", item };
}

// The conversation so far as items for a new session, answers as far as they were heard.
export function replayed(utterances) {
  return utterances
    .filter(({ state, heardText }) => state !== "partial" && heardText.trim() !== "")
    .slice(-MOST_REPLAYED)
    .map(({ id, role, heardText }) => created({
      ...(id.length <= LONGEST_ID ? { id } : {}),
      type: "message",
      role,
      content: [{ type: role === "user" ? "input_text" : "output_text", text: heardText }],
    }));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
