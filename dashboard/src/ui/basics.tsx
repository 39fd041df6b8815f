// The small parts that every screen is made of.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Failure } from "../api/client";
import { texts } from "../texts";
import { Icon, type IconName } from "./icon";
import { sentence, Words } from "./words";

export { Time } from "./time";

export type Tone = "good" | "warn" | "bad" | "info" | "idle";

export function Pill({ tone, children, title }: { tone: Tone; children: ComponentChildren; title?: string }) {
  return (
    <span class={`pill ${tone}`} title={title}>
      <i aria-hidden="true" />
      {children}
    </span>
  );
}

const STATE_TONES: Record<string, Tone> = {
  pending: "info",
  leased: "info",
  delivered: "good",
  dead: "bad",
  cancelled: "idle",
  active: "good",
  paused: "idle",
  healthy: "good",
  failing: "bad",
  counting: "info",
  running: "info",
  done: "good",
  live: "good",
  leaving: "info",
  gone: "bad",
};

export function StatePill({ state }: { state: string }) {
  return <Pill tone={STATE_TONES[state] ?? "idle"}>{texts.states[state] ?? state}</Pill>;
}

const OUTCOME_TONES: Record<string, Tone> = { delivered: "good", refused: "bad", blocked: "bad", not_rendered: "bad" };

export function OutcomePill({ outcome }: { outcome: string }) {
  const [label, meaning] = texts.outcomes[outcome] ?? [outcome, ""];
  return (
    <Pill tone={OUTCOME_TONES[outcome] ?? "warn"} title={meaning}>
      {label}
    </Pill>
  );
}

export function Button({
  children,
  kind = "plain",
  icon,
  busy = false,
  ...rest
}: {
  children?: ComponentChildren;
  kind?: "plain" | "primary" | "danger" | "quiet";
  icon?: IconName;
  busy?: boolean;
} & Omit<JSX.IntrinsicElements["button"], "icon">) {
  return (
    <button type="button" {...rest} class={`button ${kind} ${rest.class ?? ""}`} disabled={Boolean(rest.disabled) || busy} aria-busy={busy}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** Runs something slow and tells what came of it. */
export function useAction<A extends unknown[]>(act: (...args: A) => Promise<void>): [(...args: A) => Promise<void>, boolean] {
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  useEffect(() => () => void (alive.current = false), []);
  const run = async (...args: A) => {
    setBusy(true);
    try {
      await act(...args);
    } finally {
      if (alive.current) setBusy(false);
    }
  };
  return [run, busy];
}

export function CopyButton({ text, label = texts.copy.copy }: { text: string | (() => string); label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    const value = typeof text === "string" ? text : text();
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      copyByHand(value);
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <Button kind="quiet" icon={copied ? "check" : "copy"} onClick={copy} class="copy">
      <span aria-live="polite">{copied ? texts.copy.copied : label}</span>
    </Button>
  );
}

/** Without https a page may not use the clipboard by itself; a selected text may be copied. */
function copyByHand(text: string): void {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "offscreen";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** What to do where there is nothing yet. */
export function Empty({ title, children, action }: { title: string; children?: ComponentChildren; action?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children && <div class="empty-text">{children}</div>}
      {action && <div class="empty-action">{action}</div>}
    </div>
  );
}

export function FailureNote({ failure, again }: { failure: Failure; again?: () => void }) {
  return (
    <div class="note bad" role="alert">
      <Icon name="warning" />
      <div>
        <p>
          <Words text={sentence(failure.message)} />
        </p>
        {failure.errors.length > 1 && (
          <ul>
            {failure.errors.map((error) => (
              <li key={`${error.pointer} ${error.code}`}>
                {error.pointer && <code>{error.pointer}</code>} <Words text={error.detail} />
              </li>
            ))}
          </ul>
        )}
      </div>
      {again && (
        <Button kind="quiet" onClick={again}>
          {texts.again}
        </Button>
      )}
    </div>
  );
}

export function Note({ tone = "info", children }: { tone?: Tone; children: ComponentChildren }) {
  return (
    <div class={`note ${tone}`}>
      <Icon name={tone === "good" ? "check" : tone === "info" || tone === "idle" ? "info" : "warning"} />
      <div>{children}</div>
    </div>
  );
}

export function Skeleton({ rows = 6 }: { rows?: number }) {
  return (
    <div class="skeleton" aria-hidden="true">
      {Array.from({ length: rows }, (_, index) => (
        <span key={index} />
      ))}
    </div>
  );
}

/** A labelled control with its hint and its faults; the control gets the ids that tie them together. */
export function Field({
  label,
  hint,
  theirs,
  faults = [],
  children,
  wide = false,
}: {
  label: string;
  hint?: ComponentChildren;
  /** What impact.com calls it. */
  theirs?: string;
  faults?: string[];
  children: (ids: { id: string; "aria-describedby": string | undefined; "aria-invalid": boolean }) => ComponentChildren;
  wide?: boolean;
}) {
  const id = useId();
  const [hintId, faultId] = [`${id}-hint`, `${id}-fault`];
  const described = [hint && hintId, faults.length > 0 && faultId].filter(Boolean).join(" ");
  return (
    <div class={`field ${wide ? "wide" : ""} ${faults.length > 0 ? "faulty" : ""}`}>
      <label for={id}>
        {label}
        {theirs && <span class="theirs">{texts.theirs(theirs)}</span>}
      </label>
      {children({ id, "aria-describedby": described || undefined, "aria-invalid": faults.length > 0 })}
      {hint && (
        <p class="hint" id={hintId}>
          {hint}
        </p>
      )}
      {faults.length > 0 && (
        <div class="faults" id={faultId}>
          {faults.map((fault) => (
            <p key={fault}>
              <Words text={fault} />
            </p>
          ))}
        </div>
      )}
    </div>
  );
}

/** A choice of few, drawn as one row of buttons; radio buttons to the keyboard and to screen readers. */
export function Choice<T extends string>({
  label,
  theirs,
  options,
  value,
  onChange,
  hint,
  disabled,
}: {
  label: string;
  theirs?: string;
  options: readonly (readonly [T, string])[];
  value: T;
  onChange: (value: T) => void;
  hint?: ComponentChildren;
  disabled?: boolean;
}) {
  const name = useId();
  return (
    <fieldset class="choice" disabled={disabled}>
      <legend>
        {label}
        {theirs && <span class="theirs">{texts.theirs(theirs)}</span>}
      </legend>
      <div class="segments">
        {options.map(([option, text]) => (
          <label key={option} class={option === value ? "on" : ""}>
            <input type="radio" name={name} checked={option === value} onChange={() => onChange(option)} />
            <span>{text}</span>
          </label>
        ))}
      </div>
      {hint && <p class="hint">{hint}</p>}
    </fieldset>
  );
}

/** Views of one thing, one at a time. */
export function Tabs<T extends string>({
  label,
  tabs,
  value,
  onChange,
  children,
}: {
  label: string;
  tabs: readonly (readonly [T, ComponentChildren])[];
  value: T;
  onChange: (value: T) => void;
  children: ComponentChildren;
}) {
  const id = useId();
  const keys = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const index = tabs.findIndex(([tab]) => tab === value);
    const next = tabs[(index + step + tabs.length) % tabs.length]?.[0];
    if (next === undefined) return;
    onChange(next);
    document.getElementById(`${id}-${next}`)?.focus();
  };
  return (
    <div class="tabs">
      <div role="tablist" aria-label={label} onKeyDown={keys}>
        {tabs.map(([tab, text]) => (
          <button
            key={tab}
            id={`${id}-${tab}`}
            type="button"
            role="tab"
            aria-selected={tab === value}
            aria-controls={`${id}-panel`}
            tabIndex={tab === value ? 0 : -1}
            onClick={() => onChange(tab)}
          >
            {text}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${value}`} tabIndex={0}>
        {children}
      </div>
    </div>
  );
}

/** A number in a column: of one width, so that it keeps its place as it grows; bare where the columns are stacked. */
export function Steady({ text }: { text: string }) {
  return (
    <>
      <span class="padded">{text}</span>
      <span class="bare">{text.trimStart()}</span>
    </>
  );
}

/** What is known of a thing, each with its name. */
export function Facts({ children }: { children: ComponentChildren }) {
  return <dl class="facts-grid">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** The head of a screen. */
export function Head({ title, sub, children, back }: { title: string; sub?: ComponentChildren; children?: ComponentChildren; back?: [string, string] }) {
  useEffect(() => {
    document.title = `${title} · Postrider`;
  }, [title]);
  return (
    <header class="head">
      <div>
        {back && (
          <a class="back" href={back[0]}>
            <Icon name="back" />
            {back[1]}
          </a>
        )}
        <h1 tabIndex={-1}>{title}</h1>
        {sub && <div class="sub">{sub}</div>}
      </div>
      {children && <div class="head-actions">{children}</div>}
    </header>
  );
}
