// Keeps an audio context running: the browser may wait for a click before it starts one, and the system
// may stop it at any time, as for a phone call or a locked screen.

const BLOCKED_AFTER = 1000; // ms that a context may take to start
const CHANCES = ["pointerdown", "keydown", "focus", "visibilitychange"];

// `stopped(again)` is called when the context does not run and cannot be started; `again` says whether it
// ran before. It is started at the next click or key, or when the user comes back to the page. Resolves
// once it runs or `stopped` was called, to a function that ends this.
export async function keepRunning(context, stopped) {
  let ran = false;
  let told = false;
  const start = () => { context.resume().catch(() => {}); };
  const wait = (wanted) => CHANCES.forEach((kind) => (
    wanted ? addEventListener(kind, start, true) : removeEventListener(kind, start, true)
  ));
  const look = async () => {
    if (context.state === "running") {
      [ran, told] = [true, false];
      wait(false);
    } else if (context.state !== "closed" && !told) {
      told = true;
      wait(true);
      start();
      await new Promise((go) => setTimeout(go, BLOCKED_AFTER));
      if (told && context.state !== "running" && context.state !== "closed") stopped(ran);
    }
  };
  context.addEventListener("statechange", look);
  const started = new Promise((go) => context.addEventListener("statechange", go, { once: true }));
  await Promise.race([look(), started]);
  return () => {
    context.removeEventListener("statechange", look);
    wait(false);
    told = false;
  };
}
