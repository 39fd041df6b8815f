// A template text with its findings: the editor, what is wrong under it, and the fixes.
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { post } from "../api/client";
import type { Checked, Engine, Finding, TemplateFormat } from "../api/types";
import { texts } from "../texts";
import { Icon } from "../ui/icon";
import { Words } from "../ui/words";
import type { Macro } from "./completion";
import { applied, fixOf } from "./places";
import type { TemplateEditor } from "./template-editor";

/** How long a pause in typing is before the text is checked. */
const PAUSE_MS = 250;

/** Checks a template after each pause in typing. An older answer never replaces a newer one. */
export function useCheck(text: string, format: TemplateFormat, engine: Engine, context: Record<string, unknown>): Checked | undefined {
  const [checked, setChecked] = useState<{ text: string; result: Checked }>();
  const about = JSON.stringify(context);
  useEffect(() => {
    const abort = new AbortController();
    if (text === "") {
      setChecked(undefined);
      return;
    }
    const timer = setTimeout(() => {
      post<Checked>("/v1/templates/check", { engine, format, template: text, ...(JSON.parse(about) as object) }, abort.signal).then(
        (result) => setChecked({ text, result }),
        () => {},
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, format, engine, about]);
  return checked?.result;
}

interface Props {
  label: string;
  /** What impact.com calls it. */
  theirs?: string;
  hint?: string;
  text: string;
  onChange: (text: string) => void;
  format: TemplateFormat;
  engine: Engine;
  macros: Macro[];
  /** What the check needs to know besides: event types, account. */
  context?: Record<string, unknown>;
  /** Checks the text in place of the server, for templates of something else than events. */
  check?: (text: string) => Checked;
  /** Faults found by other calls, such as saving. */
  faults?: string[];
  single?: boolean;
  rows?: number;
  readOnly?: boolean;
  placeholder?: string;
  hideLabel?: boolean;
}

export function EditorBox(props: Props) {
  const { label, theirs, hint, text, onChange, format, engine, macros, single = false, rows = 1, readOnly = false, faults = [] } = props;
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<TemplateEditor>();
  const [ready, setReady] = useState(false);
  const latest = useRef({ macros, onChange });
  latest.current = { macros, onChange };
  // What was typed and has not come back yet as `text`. While it comes back, the editor may already hold more.
  const typed = useRef(new Set<string>());
  const remote = useCheck(props.check ? "" : text, format, engine, props.context ?? {});
  const local = useMemo(() => (text === "" ? undefined : props.check?.(text)), [text]);
  const checked = props.check ? local : remote;
  const id = useId();
  const settings = { label, format, engine, single, readOnly, placeholder: props.placeholder ?? "" };

  useEffect(() => {
    let gone = false;
    void import("./template-editor").then(({ createEditor }) => {
      if (gone || !host.current) return;
      editor.current = createEditor(host.current, text, settings, () => latest.current.macros, (next) => {
        typed.current.add(next);
        latest.current.onChange(next);
      });
      setReady(true);
    });
    return () => {
      gone = true;
      editor.current?.destroy();
    };
  }, []);
  useEffect(() => {
    if (typed.current.delete(text)) return;
    typed.current.clear();
    editor.current?.setText(text);
  }, [text, ready]);
  useEffect(() => editor.current?.setSettings(settings), [label, format, engine, single, readOnly, props.placeholder, ready, macros.length]);
  useEffect(() => editor.current?.macrosCame(), [macros.length]);
  useEffect(() => editor.current?.setFindings(checked?.errors ?? [], checked?.warnings ?? []), [checked, ready]);

  const known = new Set(checked?.errors.map((finding) => finding.message));
  const others = faults.filter((fault) => ![...known].some((message) => fault.includes(message)));
  return (
    <div class="field wide template-field">
      {!props.hideLabel && (
        <div class="label" id={id}>
          {label}
          {theirs && <span class="theirs">{texts.theirs(theirs)}</span>}
          {!readOnly && (
            <button type="button" class="link" onClick={() => editor.current?.insert("{")}>
              {texts.editor.insert}
            </button>
          )}
        </div>
      )}
      <div class="editor" ref={host} style={{ minHeight: `${rows * 20 + 16}px` }} data-editor={label} onClick={() => editor.current?.focus()} />
      {hint && <p class="hint">{hint}</p>}
      <div class="findings" aria-live="polite">
        {others.map((fault) => (
          <p key={fault} class="finding bad">
            <Icon name="warning" />
            <span>
              <Words text={fault} />
            </span>
          </p>
        ))}
        {checked?.errors.map((finding) => (
          <FindingLine key={`${finding.code}${finding.line}:${finding.column}`} finding={finding} tone="bad" text={text} onChange={onChange} readOnly={readOnly} />
        ))}
        {checked?.warnings.map((finding) => (
          <FindingLine key={`${finding.code}${finding.line}:${finding.column}`} finding={finding} tone="warn" text={text} onChange={onChange} readOnly={readOnly} />
        ))}
      </div>
    </div>
  );
}

function FindingLine({ finding, tone, text, onChange, readOnly }: { finding: Finding; tone: "bad" | "warn"; text: string; onChange: (text: string) => void; readOnly: boolean }) {
  const fix = readOnly ? undefined : fixOf(text, finding);
  return (
    <p class={`finding ${tone}`}>
      <Icon name={tone === "bad" ? "warning" : "info"} />
      <span>
        <Words text={finding.message} />{" "}
        <span class="muted num">
          {texts.editor.place(finding.line, finding.column)} · <code>{finding.code}</code>
        </span>
      </span>
      {fix && (
        <button type="button" class="button small" onClick={() => onChange(applied(text, fix))}>
          <Icon name="wand" />
          {texts.editor.fix(fix.insert)}
        </button>
      )}
    </p>
  );
}
