// Colours of templates: macros first, then what stands round them. What is wrong is said by the server,
// whose parser is the only one; this one only colours.
import { HighlightStyle, StreamLanguage, type StreamParser, type StringStream, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { tags } from "@lezer/highlight";
import type { Engine, TemplateFormat } from "../api/types";

interface State {
  /** Parentheses open inside a call; 0 outside of macros. */
  depth: number;
  inCall: boolean;
  /** Inside a string of JSON; `key` if a colon follows it. */
  json: "" | "string" | "key";
  /** Inside a tag of XML. */
  tag: boolean;
}

function inCall(stream: StringStream, state: State): string | null {
  if (stream.eatSpace()) return null;
  if (stream.match(/^"(?:[^"\\]|\\.)*"?/)) return "macroText";
  if (stream.match(/^[A-Za-z_]\w*(?=\()/)) return "macroFunction";
  if (stream.match(/^[A-Za-z_][\w.]*/)) return "macro";
  const next = stream.next();
  if (next === "(") state.depth++;
  if (next === ")") state.depth--;
  if (next === "}" && state.depth <= 0) state.inCall = false;
  return "macroMark";
}

function literal(stream: StringStream, state: State, format: TemplateFormat): string | null {
  switch (format) {
    case "json": {
      if (state.json) {
        const style = state.json === "key" ? "key" : "text";
        if (stream.match(/^\\./)) return style;
        if (stream.next() === '"') state.json = "";
        return style;
      }
      if (stream.match(/^"(?=(?:[^"\\]|\\.)*"\s*:)/)) {
        state.json = "key";
        return "key";
      }
      if (stream.eat('"')) {
        state.json = "string";
        return "text";
      }
      if (stream.match(/^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/)) return "number";
      if (stream.match(/^(?:true|false|null)\b/)) return "number";
      stream.next();
      return "mark";
    }
    case "xml": {
      if (stream.match(/^<!--.*?(?:-->|$)/)) return "comment";
      if (stream.match(/^<[/?]?[A-Za-z_][\w:.-]*/)) {
        state.tag = true;
        return "tag";
      }
      if (state.tag) {
        if (stream.match(/^[/?]?>/)) {
          state.tag = false;
          return "tag";
        }
        if (stream.match(/^[A-Za-z_][\w:.-]*(?=\s*=)/)) return "key";
      }
      if (stream.match(/^&#?\w+;/)) return "number";
      stream.next();
      return state.tag ? "text" : null;
    }
    case "url":
    case "query":
      if (stream.match(/^[^?&=#{<\\]+(?==)/)) return "key";
      if (stream.match(/^https?:\/\//)) return "mark";
      if (stream.match(/^%[0-9A-Fa-f]{2}/)) return "number";
      return /[?&=#]/.test(stream.next() ?? "") ? "mark" : null;
    default:
      stream.next();
      return null;
  }
}

function parser(format: TemplateFormat, engine: Engine, known: (name: string) => boolean): StreamParser<State> {
  return {
    name: format,
    startState: () => ({ depth: 0, inCall: false, json: "", tag: false }),
    copyState: (state) => ({ ...state }),
    token(stream, state) {
      if (state.inCall) return inCall(stream, state);
      if (engine === "handlebars") {
        if (stream.match(/^\{\{[#/^]?.*?\}\}/)) return "macro";
      } else {
        if (stream.match(/^\\[{}<>]/)) return "escape";
        if (stream.match(/^\{[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\}/)) return "macro";
        if (stream.match(/^\{(?=[A-Za-z_]\w*\()/)) {
          state.inCall = true;
          state.depth = 0;
          return "macroMark";
        }
        const angle = format === "xml" ? null : (stream.match(/^<([A-Za-z_]\w*)>/, false) as RegExpMatchArray | null);
        if (angle?.[1] && known(angle[1])) {
          stream.match(angle[0]);
          return "macro";
        }
      }
      return literal(stream, state, format);
    },
    blankLine() {},
    tokenTable: {
      macro: tags.variableName,
      macroFunction: tags.function(tags.variableName),
      macroMark: tags.brace,
      macroText: tags.special(tags.string),
      escape: tags.escape,
      key: tags.propertyName,
      text: tags.string,
      number: tags.number,
      tag: tags.tagName,
      comment: tags.comment,
      mark: tags.punctuation,
    },
  };
}

const colours = HighlightStyle.define([
  { tag: tags.variableName, color: "var(--code-macro)", backgroundColor: "var(--code-macro-back)", borderRadius: "3px" },
  { tag: tags.function(tags.variableName), color: "var(--code-function)", fontWeight: "600" },
  { tag: tags.brace, color: "var(--code-macro)" },
  { tag: tags.special(tags.string), color: "var(--code-text)" },
  { tag: tags.escape, color: "var(--code-number)" },
  { tag: tags.propertyName, color: "var(--code-key)" },
  { tag: tags.string, color: "var(--code-text)" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: tags.tagName, color: "var(--code-key)" },
  { tag: tags.comment, color: "var(--muted)" },
  { tag: tags.punctuation, color: "var(--muted)" },
]);

export function templateLanguage(format: TemplateFormat, engine: Engine, known: (name: string) => boolean): Extension {
  return [StreamLanguage.define(parser(format, engine, known)), syntaxHighlighting(colours)];
}
