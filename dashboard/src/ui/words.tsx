// Sentences of the API, in which values stand between backticks.
import { texts } from "../texts";
import { Time } from "./time";

/** The parts of a sentence; every second one is a value. */
export function parts(text: string): string[] {
  const split = text.split("`");
  // A lone backtick is text.
  return split.length % 2 === 1 ? split : [...split.slice(0, -2), `${split.at(-2)}\`${split.at(-1)}`];
}

/** A reason of the API, which begins small and ends open, as a sentence. A name like `action.tracked` stays as it is. */
export function sentence(text: string): string {
  if (text === "") return "";
  const first = /^\w+[._]\w/.test(text) ? text.charAt(0) : text.charAt(0).toUpperCase();
  return `${first}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}

const TIME = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/** A sentence with its values set apart, and its times as everywhere on the page. Everything is text. */
export function Words({ text }: { text: string }) {
  return (
    <>
      {parts(text).map((part, index) => {
        if (index % 2 === 0) return part.split(TIME).map((piece, at) => (at % 2 === 1 ? <Time key={at} at={piece} /> : piece));
        // What the API tells to call has a button here.
        if (/^POST \/v1\/deliveries\/\w+\/retry$/.test(part)) return <b key={index}>{texts.delivery.retry}</b>;
        return <code key={index}>{part}</code>;
      })}
    </>
  );
}
