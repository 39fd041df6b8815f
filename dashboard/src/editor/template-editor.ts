// The editor of one template text. It lives in a shadow root, so that its styles need no exception from
// the page's policy, which allows no inline styles.
import { acceptCompletion, autocompletion, CompletionContext, closeCompletion, completionKeymap, startCompletion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching } from "@codemirror/language";
import { type Diagnostic, forceLinting, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, Transaction } from "@codemirror/state";
import { drawSelection, EditorView, highlightSpecialChars, keymap, placeholder } from "@codemirror/view";
import type { Engine, Finding, TemplateFormat } from "../api/types";
import { texts } from "../texts";
import { completionSource, type Macro } from "./completion";
import { templateLanguage } from "./language";
import { fixOf, rangeOf } from "./places";

export interface EditorSettings {
  label: string;
  format: TemplateFormat;
  engine: Engine;
  /** One line, without line breaks. */
  single: boolean;
  readOnly: boolean;
  placeholder: string;
}

export interface TemplateEditor {
  setText(text: string): void;
  setSettings(settings: EditorSettings): void;
  setFindings(errors: Finding[], warnings: Finding[]): void;
  /** Puts a text where the cursor is. */
  insert(text: string): void;
  /** Other macros are known than before: whoever is typing a name is offered them. */
  macrosCame(): void;
  focus(): void;
  destroy(): void;
}

const look = EditorView.theme({
  // As high as its place on the page, also with little text in it.
  "&, .cm-scroller": { minHeight: "inherit" },
  "&": { backgroundColor: "var(--field)", color: "var(--text)", fontSize: "13px", borderRadius: "6px", border: "1px solid var(--field-border)" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overflow: "auto", maxHeight: "420px" },
  ".cm-content": { padding: "7px 4px", caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--selection)" },
  ".cm-placeholder": { color: "var(--muted)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--code-macro-back)", outline: "1px solid var(--border-strong)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--border-strong)", borderRadius: "6px", boxShadow: "var(--shadow)", fontFamily: "var(--sans)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "16em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 8px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { background: "var(--accent)", color: "var(--on-accent)" },
  ".cm-tooltip-autocomplete ul li[aria-selected] .cm-completionDetail": { color: "var(--on-accent)" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal", fontSize: "11px" },
  ".cm-completionIcon": { display: "none" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-completionInfo": { padding: "8px 10px", maxWidth: "300px", fontSize: "13px" },
  ".macro-info p": { margin: "0 0 6px" },
  ".macro-info code": { fontFamily: "var(--mono)", display: "block", overflowWrap: "anywhere", color: "var(--code-text)" },
  ".macro-info small": { color: "var(--muted)", display: "block", marginTop: "6px" },
  ".cm-diagnostic": { padding: "6px 10px", fontSize: "13px" },
  ".cm-diagnostic-error": { borderLeft: "3px solid var(--bad)" },
  ".cm-diagnostic-warning": { borderLeft: "3px solid var(--warn)" },
  ".cm-diagnosticAction": { backgroundColor: "var(--accent)", color: "var(--on-accent)", borderRadius: "4px", padding: "2px 8px" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)", textUnderlineOffset: "3px" },
  ".cm-lintPoint:after": { borderBottomColor: "var(--bad)" },
});

/**
 * Text that replaces a selection is put in by us: Chromium would first copy the look of what it replaces into
 * an inline style, which the policy refuses and reports.
 */
const overwriting = EditorView.domEventHandlers({
  beforeinput(event, view) {
    if (event.inputType !== "insertText" || !event.data || event.isComposing || view.state.readOnly || view.state.selection.main.empty) return false;
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    event.preventDefault();
    return true;
  },
});

export function createEditor(parent: HTMLElement, text: string, first: EditorSettings, macros: () => Macro[], onChange: (text: string) => void): TemplateEditor {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
  const compartment = new Compartment();
  const source = completionSource(macros);
  const dynamic = (settings: EditorSettings) => [
    templateLanguage(settings.format, settings.engine, (name) => macros().some((macro) => macro.name === name)),
    EditorView.contentAttributes.of({ "aria-label": settings.label, spellcheck: "false", autocorrect: "off", autocapitalize: "off" }),
    EditorView.editable.of(!settings.readOnly),
    EditorState.readOnly.of(settings.readOnly),
    placeholder(settings.placeholder),
    settings.single ? EditorState.transactionFilter.of((change) => (change.newDoc.lines > 1 ? joined(change) : change)) : [],
  ];
  const view = new EditorView({
    parent: root,
    root,
    state: EditorState.create({
      doc: text,
      extensions: [
        history(),
        drawSelection(),
        highlightSpecialChars(),
        EditorView.lineWrapping,
        bracketMatching(),
        autocompletion({ override: [source], icons: false, maxRenderedOptions: 60, interactionDelay: 0 }),
        // Tab leaves the editor, as everywhere on the page, unless a completion is open.
        keymap.of([{ key: "Tab", run: acceptCompletion }, { key: "Escape", run: closeCompletion }, ...completionKeymap, ...defaultKeymap, ...historyKeymap, ...lintKeymap]),
        look,
        overwriting,
        compartment.of(dynamic(first)),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !update.transactions.some((change) => change.annotation(Transaction.remote))) onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    setText(next) {
      if (next === view.state.doc.toString()) return;
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next }, annotations: Transaction.remote.of(true) });
    },
    setSettings(settings) {
      view.dispatch({ effects: compartment.reconfigure(dynamic(settings)) });
    },
    setFindings(errors, warnings) {
      const now = view.state.doc.toString();
      const diagnostic = (finding: Finding, severity: "error" | "warning"): Diagnostic => {
        const fix = fixOf(now, finding);
        return {
          ...rangeOf(now, finding),
          severity,
          message: finding.message,
          actions: fix && [{ name: texts.editor.fix(fix.insert), apply: (view) => view.dispatch({ changes: fix, userEvent: "input.fix" }) }],
        };
      };
      const all = [...errors.map((finding) => diagnostic(finding, "error")), ...warnings.map((finding) => diagnostic(finding, "warning"))];
      view.dispatch(setDiagnostics(view.state, all));
      forceLinting(view);
    },
    insert(what) {
      view.dispatch(view.state.replaceSelection(what));
      view.focus();
      if (what.endsWith("{")) startCompletion(view);
    },
    macrosCame() {
      if (view.hasFocus && source(new CompletionContext(view.state, view.state.selection.main.head, false))) startCompletion(view);
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

/** The change with its line breaks taken out, for texts of one line. */
function joined(change: Transaction) {
  const text = change.newDoc.toString().replace(/\s*\n\s*/g, "");
  return [{ changes: { from: 0, to: change.startState.doc.length, insert: text }, selection: { anchor: text.length } }];
}
