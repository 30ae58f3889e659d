// Lets this browser in: the address that the relay prints carries a code, given once for a cookie.

// `line` is the word before the address where the relay was started.
export const closed = (line) => ({
  message: "This page opens with its whole address.",
  advice: `It is shown in the window where the relay was started, in the line that begins with “${line}”. `
    + "Copy all of it into this browser.",
});

// True if it is the relay's answer to a browser that it has not let in, and not another server's.
export const isClosed = (answer) => (
  answer.status === 401 && answer.headers.get("WWW-Authenticate") === "RelayPage"
);

const codeIn = (hash) => new URLSearchParams(hash.slice(1)).get("code");

// Brings the code of this page's address, if it has one, and takes it out of the address.
export async function enter() {
  const code = codeIn(location.hash);
  if (code === null) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  const headers = { "Content-Type": "application/json" };
  // Whether it was the right one shows when the page asks for what it needs.
  await fetch("code", { method: "POST", headers, body: JSON.stringify({ code }) }).catch(() => {});
}

// An address that is pasted over a page of the same name loads nothing: only its code is new.
export function whenEntered(action) {
  addEventListener("hashchange", async () => {
    if (codeIn(location.hash) === null) return;
    await enter();
    action();
  });
}
