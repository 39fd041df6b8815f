// What can be written inside braces: the macros of the event types, and the functions.
import { type Completion, type CompletionContext, type CompletionResult, snippet } from "@codemirror/autocomplete";
import type { EventField } from "../api/types";
import { exampleText } from "../example";
import { texts } from "../texts";

export interface Macro extends EventField {
  /** The event types that carry it. */
  types: string[];
}

const FUNCTIONS: Record<string, string> = {
  default: 'default(#{SubId1}, "#{none}")',
  lower: "lower(#{Status})",
  upper: "upper(#{Status})",
  map: 'map(#{Status}, "#{PENDING}=#{1}", "*=#{0}")',
  date: 'date(#{EventDate}, "#{%Y-%m-%d}")',
  md5: "md5(#{OrderId})",
  sha256: "sha256(#{OrderId})",
  join: 'join(#{items}, i, "#{{i.sku\\}}")',
  raw: "raw(#{SharedId})",
};

function info(meaning: string, example?: string, types?: string[]): () => Node {
  return () => {
    const box = document.createElement("div");
    box.className = "macro-info";
    const add = (tag: string, text: string) => {
      const element = document.createElement(tag);
      element.textContent = text;
      box.append(element);
    };
    add("p", meaning);
    if (example) add("code", example);
    if (types && types.length > 0) add("small", types.join(", "));
    return box;
  };
}

/** The completions at the cursor; none outside of braces. */
export function completionSource(macros: () => Macro[]) {
  return (context: CompletionContext): CompletionResult | null => {
    const line = context.state.doc.lineAt(context.pos);
    const before = line.text.slice(0, context.pos - line.from);
    const opened = /(?<!\\)\{\{?[#/]?\s*([A-Za-z_][\w.]*)?$/.exec(before);
    const argument = /[(,]\s*([A-Za-z_][\w.]*)?$/.exec(before);
    const inside = argument && /\{[A-Za-z_]\w*\([^}]*$/.test(before);
    const found = opened ?? (inside ? argument : null);
    // A brace alone may be one of JSON, and Enter after it a line break.
    if (found && !found[1] && !context.explicit) return null;
    if (!found) {
      if (!context.explicit) return null;
      const word = context.matchBefore(/\w*/);
      return { from: word?.from ?? context.pos, options: options(macros(), "braces"), validFor: /^\w*$/ };
    }
    return { from: context.pos - (found[1]?.length ?? 0), options: [...itemOptions(macros(), before), ...options(macros(), opened ? "opened" : "argument")], validFor: /^[\w.]*$/ };
  };
}

/** The fields of the entries of the lists that `text` is going through with `join`: `i.sku`. */
function itemOptions(macros: Macro[], text: string): Completion[] {
  return [...text.matchAll(/join\(\s*(\w+)\s*,\s*(\w+)\s*,/g)].flatMap(([, list, variable]) => {
    const fields = macros.find((macro) => macro.name === list)?.fields ?? [];
    const index: EventField = { name: "index", type: "number", meaning: texts.functions.index ?? "", example: "1" };
    return [...fields, index].map((field) => ({ label: `${variable}.${field.name}`, detail: field.type, type: "variable", boost: 2, info: info(field.meaning, exampleText(field)) }));
  });
}

function options(macros: Macro[], where: "opened" | "argument" | "braces"): Completion[] {
  const fields = macros.map((macro): Completion => ({
    label: macro.name,
    detail: macro.type,
    type: "variable",
    info: info(macro.meaning, exampleText(macro), macro.types),
    boost: macro.types.length > 0 ? 1 : 0,
    apply: (view, completion, from, to) => {
      const closed = view.state.sliceDoc(to, to + 1) === "}";
      const text = where === "braces" ? `{${completion.label}}` : where === "opened" && !closed ? `${completion.label}}` : completion.label;
      const past = where === "opened" && closed ? 1 : 0;
      view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + text.length + past }, userEvent: "input.complete" });
    },
  }));
  const functions = Object.entries(FUNCTIONS).map(([name, form]): Completion => ({
    label: name,
    detail: texts.editor.function,
    type: "function",
    info: info(texts.functions[name] ?? "", undefined),
    apply: (view, completion, from, to) => {
      const closed = view.state.sliceDoc(to, to + 1) === "}";
      const close = where === "argument" || closed ? "" : "\\}";
      snippet(`${where === "braces" ? "{" : ""}${form}${close}`)(view, completion, from, to);
    },
  }));
  return [...fields, ...functions];
}
