// Introduces an engine that is no real voice.

const ABOUT = {
  offline: ["Demonstration voice",
    "This voice runs on the relay's own machine. It understands English roughly and knows about a " +
      "dozen topics. The operator of the relay can connect a real voice."],
  echo: ["Echo", "There is no voice here: what you say is played back to you."],
};

export function introduce($, engine) {
  if (!ABOUT[engine]) return;
  const [name, text] = ABOUT[engine];
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  $("voice").hidden = false;
  $("voice-name").textContent = name;
  $("voice-about").replaceChildren(paragraph);
}
