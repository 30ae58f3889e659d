// What a newcomer should know about the voice that answers.

const ABOUT = {
  offline: ["Demonstration voice", [
    "This voice runs on the relay's own machine, without a key. It recognises English roughly " +
      "and knows about a dozen topics. For a real voice, start the relay with one of these:",
    ["OPENAI_API_KEY", " set to a key of OpenAI,"],
    ["OPENAI_BASE_URL", " set to a local server that speaks /v1/realtime, such as LocalAI or " +
      "speaches."],
  ]],
  echo: ["Echo", ["There is no voice here: what you say is played back to you."]],
};

export function introduce($, engine) {
  if (!ABOUT[engine]) return;
  const [name, lines] = ABOUT[engine];
  $("voice").hidden = false;
  $("voice-name").textContent = name;
  $("voice-about").replaceChildren(...lines.map((line) => {
    const paragraph = document.createElement("p");
    const [variable, rest] = Array.isArray(line) ? line : [null, line];
    if (variable) {
      const code = document.createElement("code");
      code.textContent = variable;
      paragraph.append(code);
    }
    paragraph.append(rest);
    return paragraph;
  }));
}
