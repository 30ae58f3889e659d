// Introduces the voice: what it is, what it understands, and how far it is while it is being installed.

const ABOUT = {
  offline: ["Demonstration voice",
    "This voice runs on this computer alone, with small models: its answers are short, and sometimes " +
      "beside the point."],
  echo: ["Echo", "There is no voice here: what you say is played back to you."],
};
// For whoever started the relay; a learner need not open it.
const FOR_DEVELOPERS = {
  offline: [["A larger model: run Ollama on this machine and start the relay again. README.md, “Start it”, " +
    "names the other ways, part by part."]],
  echo: [["The voice of this machine comes with ", "make run", "."]],
};
const COMING = {
  downloading: ({ megabytes, of }) => `The voice is being downloaded: ${megabytes} of ${of} MB`,
  installing: () => "The voice is being installed",
  starting: () => "The voice is starting",
  failed: () => "The voice could not be installed. What you say is played back to you instead.",
};

// `config` is the page's configuration. Returns whether the voice is still to come.
export function introduce($, { engine, languages = [], small = false, voice }) {
  const isComing = voice !== undefined && !["ready", "failed"].includes(voice.phase);
  announce($("coming"), voice);
  const understood = languages.length === 0 || isComing ? ""
    : `It understands ${listed(languages.map(nameOf))}.`;
  const model = small && !isComing ? "A small model on this computer answers. " : "";
  $("understands").textContent = (model + understood).trim();
  const told = ABOUT[engine] && (small || engine === "echo");
  $("voice").hidden = isComing || !told;
  if (!told) return isComing;
  const [name, text] = ABOUT[engine];
  $("voice-name").textContent = name;
  $("voice-about").replaceChildren(paragraph([text]), fold(FOR_DEVELOPERS[engine]));
  return isComing;
}

function announce(box, voice) {
  const words = COMING[voice?.phase]?.(voice) ?? "";
  const [text, bar] = box.children;
  box.hidden = words === "";
  if (text.textContent !== words) text.textContent = words;
  bar.hidden = voice?.phase === "failed";
  if (voice?.phase === "downloading") [bar.max, bar.value] = [voice.of, voice.megabytes];
  else bar.removeAttribute("value"); // a bar without a value says that something goes on
}

const listed = (names) => new Intl.ListFormat("en").format(names);

function nameOf(language) {
  return new Intl.DisplayNames("en", { type: "language" }).of(language);
}

// Every second piece is something to type.
function paragraph(pieces) {
  const made = document.createElement("p");
  made.append(...pieces.map((text, at) => at % 2 === 0 ? text : code(text)));
  return made;
}

function code(text) {
  const made = document.createElement("code");
  made.textContent = text;
  return made;
}

function fold(lines) {
  const made = document.createElement("details");
  const title = document.createElement("summary");
  title.textContent = "For developers";
  made.append(title, ...lines.map(paragraph));
  return made;
}
