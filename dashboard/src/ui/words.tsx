// Sentences of the API, in which values stand between backticks.

/** The parts of a sentence; every second one is a value. */
export function parts(text: string): string[] {
  const split = text.split("`");
  // A lone backtick is text.
  return split.length % 2 === 1 ? split : [...split.slice(0, -2), `${split.at(-2)}\`${split.at(-1)}`];
}

/** A reason of the API, which begins small and ends open, as a sentence. */
export function sentence(text: string): string {
  if (text === "") return "";
  const first = text.charAt(0).toUpperCase();
  return `${first}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

/** A sentence with its values set apart. Everything is text. */
export function Words({ text }: { text: string }) {
  return <>{parts(text).map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>;
}
