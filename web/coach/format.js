// Formats times, amounts and names.

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const tail = `${String(minutes).padStart(hours ? 2 : 1, "0")}:${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${tail}` : tail;
}

export const secondsBetween = (from, to) => (to - Date.parse(from)) / 1000;

export function dollars(amount) {
  if (amount === null) return "no price";
  return `$${amount.toFixed(amount > 0 && amount < 0.1 ? 4 : 2)}`;
}

export function day(iso) {
  const then = new Date(iso);
  const today = new Date().toDateString() === then.toDateString();
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (today) return `today, ${time}`;
  return `${then.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

// Shortens a user id that is a UUID: its beginning is enough to tell it apart.
export function short(id) {
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(id) ? id.slice(0, 8) : id;
}

export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

// Writes only changes, because screen readers read a live region out whenever it is written.
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
