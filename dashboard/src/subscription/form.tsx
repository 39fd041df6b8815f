// The form of a subscription. Beside each of impact.com's fields stands its name there.
import { useId, useState } from "preact/hooks";
import { BODY_FORMATS, type EventType, type Invalid, METHODS, type RetrySpec, type SubscriptionSpec } from "../api/types";
import type { Macro } from "../editor/completion";
import { EditorBox } from "../editor/editor-box";
import { seconds } from "../format";
import { texts } from "../texts";
import { Button, Choice, Field } from "../ui/basics";
import { Access } from "./access";
import { attemptTimes, EXPONENTIAL, parseSchedule, takes, writeSchedule } from "./draft";
import { verdictInWords } from "./matcher";

export interface FormProps {
  draft: SubscriptionSpec;
  onChange: (draft: SubscriptionSpec) => void;
  types: EventType[];
  macros: Macro[];
  faults: Invalid[];
  readOnly: boolean;
  isNew: boolean;
  /** Set for a saved subscription with signing: makes a new key. */
  onRotate?: () => void;
}

const t = texts.form;

/** The faults of a field, by its pointer. */
function faultsOf(faults: Invalid[], ...pointers: string[]): string[] {
  return faults.filter((fault) => pointers.some((pointer) => fault.pointer === pointer || fault.pointer.startsWith(`${pointer}/`))).map((fault) => fault.detail);
}

export function SubscriptionForm(props: FormProps) {
  const { draft, onChange, types, macros, faults, readOnly } = props;
  const { request } = draft;
  const change = (part: Partial<SubscriptionSpec>) => onChange({ ...draft, ...part });
  const setRequest = (part: Partial<SubscriptionSpec["request"]>) => change({ request: { ...request, ...part } });
  const hasBody = request.method === "POST" || request.method === "PUT" || request.method === "PATCH";
  const eventType = types.find((type) => draft.event_types.some((pattern) => takes(pattern, type)))?.type;
  const context = { account: draft.account || undefined, event_type: eventType, silence: draft.silence };
  const editor = { engine: request.engine, macros, context, readOnly };
  return (
    <fieldset class="form" disabled={readOnly}>
      <section class="card" aria-label={t.basics}>
        <h2>{t.basics}</h2>
        <Field label={t.name} hint={t.nameHint} faults={faultsOf(faults, "/name", "/account")}>
          {(ids) => <input {...ids} value={draft.name} maxLength={200} required onInput={(event) => change({ name: event.currentTarget.value })} />}
        </Field>
        <EventTypes draft={draft} types={types} onChange={(event_types) => change({ event_types })} faults={faultsOf(faults, "/event_types")} />
        <Choice
          label={t.scope}
          value={draft.scope ?? "global"}
          options={t.scopes}
          onChange={(scope) => change({ scope })}
          hint={t.scopeHint[draft.scope ?? "global"]}
        />
      </section>

      <section class="card" aria-label={t.request}>
        <h2>{t.request}</h2>
        <Choice label={t.method} theirs="HTTP Method" value={request.method} options={METHODS.map((name) => [name, name] as const)} onChange={(method) => setRequest({ method })} />
        <EditorBox
          {...editor}
          label={t.url}
          theirs="URL"
          hint={t.urlHint}
          text={request.url}
          onChange={(url) => setRequest({ url })}
          format="url"
          single
          rows={2}
          placeholder="https://tracker.example/postback?cid={SubId1}&payout={Payout}"
          faults={faultsOf(faults, "/request/url")}
        />
        <Choice
          label={hasBody ? t.bodyFormat : t.queryFormat}
          theirs="Body Format"
          value={request.body_format}
          options={BODY_FORMATS.map((name) => [name, t.formats[name]] as const)}
          onChange={(body_format) => setRequest({ body_format })}
          hint={hasBody ? t.formatHints[request.body_format] : t.noBodyHint}
        />
        {(hasBody || request.body_format === "query" || request.body !== "") && (
          <EditorBox
            {...editor}
            label={hasBody ? t.body : t.query}
            theirs={hasBody ? "Body (POST only)" : undefined}
            hint={hasBody ? undefined : t.queryHint}
            text={request.body}
            onChange={(body) => setRequest({ body })}
            format={request.body_format}
            rows={hasBody ? 8 : 2}
            placeholder={hasBody ? t.bodyExample[request.body_format] : t.bodyExample.query}
            faults={faultsOf(faults, "/request/body")}
          />
        )}
        <HeaderRows {...props} editor={editor} />
        <details class="more-options">
          <summary>{t.moreRequest}</summary>
          <Choice label={t.engine} value={request.engine} options={t.engines} onChange={(engine) => setRequest({ engine })} hint={t.engineHint} />
          <label class="check">
            <input type="checkbox" checked={request.identification_headers ?? true} onChange={(event) => setRequest({ identification_headers: event.currentTarget.checked })} />
            <span>
              {t.identification}
              <span class="hint">{t.identificationHint}</span>
            </span>
          </label>
        </details>
      </section>

      <section class="card" aria-label={t.responses}>
        <h2>{t.responses}</h2>
        <div class="two">
          <RuleBox label={t.success} theirs="Success Response" value={draft.success_response} onChange={(success_response) => change({ success_response })} faults={faultsOf(faults, "/success_response")} />
          <RuleBox label={t.error} theirs="Error Response" value={draft.error_response} onChange={(error_response) => change({ error_response })} faults={faultsOf(faults, "/error_response")} />
        </div>
        <p class="hint">{t.ruleHint}</p>
        <ul class="verdict-words">
          {verdictInWords(draft.success_response, draft.error_response, draft.retry.profile).map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      </section>

      <Pace {...props} change={change} />
      <Filter {...props} change={change} />
      <Access draft={draft} change={change} faults={faults} isNew={props.isNew} onRotate={props.onRotate} />
    </fieldset>
  );
}

function EventTypes({ draft, types, onChange, faults }: { draft: SubscriptionSpec; types: EventType[]; onChange: (patterns: string[]) => void; faults: string[] }) {
  const chosen = draft.event_types;
  const toggle = (pattern: string) => onChange(chosen.includes(pattern) ? chosen.filter((other) => other !== pattern) : [...chosen, pattern]);
  const families = [...new Set(types.map((type) => type.family_label))];
  const prefixes = [...new Set(types.filter((type) => type.wildcard).map((type) => type.type.split(".")[0] ?? ""))].filter(
    (prefix) => types.filter((type) => type.wildcard && type.type.startsWith(`${prefix}.`)).length > 1,
  );
  const known = new Set([...types.map((type) => type.type), ...prefixes.map((prefix) => `${prefix}.*`), "*"]);
  const others = chosen.filter((pattern) => !known.has(pattern));
  const id = useId();
  const box = (pattern: string, label: string, code: string, covered = false) => (
    <label key={pattern} class={`check ${covered ? "covered" : ""}`}>
      <input type="checkbox" checked={covered || chosen.includes(pattern)} disabled={covered} onChange={() => toggle(pattern)} />
      <span>
        <code>{code}</code> <span class="muted">{label}</span>
      </span>
    </label>
  );
  const coveredBy = (type: EventType) => chosen.some((pattern) => pattern !== type.type && takes(pattern, type));
  return (
    <fieldset class={`event-types ${faults.length > 0 ? "faulty" : ""}`} aria-describedby={id}>
      <legend>
        {t.events}
        <span class="theirs">{texts.theirs("Event Notifications")}</span>
      </legend>
      <div class="type-group wildcards">
        {box("*", t.everything, "*")}
        {prefixes.map((prefix) => box(`${prefix}.*`, t.allOf(prefix), `${prefix}.*`, chosen.includes("*")))}
        {others.map((pattern) => box(pattern, "", pattern))}
      </div>
      <details open={!chosen.some((pattern) => pattern.includes("*"))}>
        <summary>{t.singleTypes(chosen.filter((pattern) => !pattern.includes("*")).length)}</summary>
        {families.map((family) => (
          <div class="type-group" key={family}>
            <h3>{family}</h3>
            {types.filter((type) => type.family_label === family).map((type) => box(type.type, type.description, type.type, coveredBy(type)))}
          </div>
        ))}
      </details>
      <p class="hint" id={id}>
        {t.eventsHint}
      </p>
      {faults.map((fault) => (
        <p class="faults" key={fault}>
          {fault}
        </p>
      ))}
    </fieldset>
  );
}

function HeaderRows({ draft, onChange, faults, readOnly, editor }: FormProps & { editor: Pick<Parameters<typeof EditorBox>[0], "engine" | "macros" | "context" | "readOnly"> }) {
  const headers = draft.request.headers;
  const set = (next: typeof headers) => onChange({ ...draft, request: { ...draft.request, headers: next } });
  return (
    <div class="field wide">
      <div class="label">
        {t.headers}
        <span class="theirs">{texts.theirs("HTTP Header(s)")}</span>
      </div>
      {headers.map((header, index) => (
        <div class="header-row" key={index}>
          <input
            aria-label={t.headerName(index + 1)}
            value={header.name}
            placeholder="X-Campaign"
            spellcheck={false}
            onInput={(event) => set(headers.map((other, n) => (n === index ? { ...other, name: event.currentTarget.value } : other)))}
          />
          <EditorBox
            {...editor}
            label={t.headerValue(index + 1)}
            hideLabel
            text={header.value}
            onChange={(value) => set(headers.map((other, n) => (n === index ? { ...other, value } : other)))}
            format="header"
            single
            placeholder="{CampaignId}"
            faults={faultsOf(faults, `/request/headers/${index}`)}
          />
          {!readOnly && <Button kind="quiet" icon="trash" aria-label={t.removeHeader(header.name || String(index + 1))} onClick={() => set(headers.filter((_, n) => n !== index))} />}
        </div>
      ))}
      {!readOnly && (
        <Button icon="plus" onClick={() => set([...headers, { name: "", value: "" }])}>
          {t.addHeader}
        </Button>
      )}
    </div>
  );
}

function RuleBox({ label, theirs, value, onChange, faults }: { label: string; theirs: string; value: string | null; onChange: (value: string | null) => void; faults: string[] }) {
  return (
    <Field label={label} theirs={theirs} faults={faults}>
      {(ids) => (
        <textarea
          {...ids}
          class="mono"
          rows={2}
          spellcheck={false}
          value={value ?? ""}
          placeholder={t.ruleExample[theirs === "Success Response" ? "success" : "error"]}
          onInput={(event) => onChange(event.currentTarget.value === "" ? null : event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

function NumberField({ label, theirs, hint, value, onChange, faults, min, max, step = "any", unit }: {
  label: string;
  theirs?: string;
  hint?: string;
  value: number | null;
  onChange: (value: number | null) => void;
  faults: string[];
  min: number;
  max: number;
  step?: string;
  unit: string;
}) {
  return (
    <Field label={label} theirs={theirs} hint={hint} faults={faults}>
      {(ids) => (
        <span class="with-unit">
          <input
            {...ids}
            type="number"
            inputMode="decimal"
            min={min}
            max={max}
            step={step}
            value={value ?? ""}
            onInput={(event) => onChange(event.currentTarget.value === "" ? null : Number(event.currentTarget.value))}
          />
          <span class="muted">{unit}</span>
        </span>
      )}
    </Field>
  );
}

function Pace({ draft, faults, change }: FormProps & { change: (part: Partial<SubscriptionSpec>) => void }) {
  const { retry } = draft;
  const [schedule, setSchedule] = useState(writeSchedule(retry.schedule_s));
  const [schedule_s, bad] = [parseSchedule(schedule), parseSchedule(schedule) === undefined];
  const set = (part: Partial<SubscriptionSpec["retry"]>) => change({ retry: { ...retry, ...part } });
  const times = attemptTimes(retry);
  return (
    <section class="card" aria-label={t.pace}>
      <h2>{t.pace}</h2>
      <div class="three">
        <NumberField label={t.delay} theirs="Minimum Delay" hint={t.delayHint} unit={texts.seconds} value={draft.minimum_delay_s} min={0} max={2_592_000} faults={faultsOf(faults, "/minimum_delay_s")} onChange={(value) => change({ minimum_delay_s: value ?? 0 })} />
        <NumberField label={t.ceiling} theirs="Maximum Requests" hint={t.ceilingHint} unit={texts.perSecond} value={draft.max_requests_per_second} min={0.01} max={10_000} faults={faultsOf(faults, "/max_requests_per_second")} onChange={(max_requests_per_second) => change({ max_requests_per_second })} />
        <NumberField label={t.timeout} hint={t.timeoutHint} unit="ms" value={draft.timeout_ms} min={1} max={60_000} step="1" faults={faultsOf(faults, "/timeout_ms")} onChange={(value) => change({ timeout_ms: value ?? 10_000 })} />
      </div>
      {draft.max_requests_per_second !== null && <Choice label={t.rateScope} value={draft.rate_scope} options={t.rateScopes} onChange={(rate_scope) => change({ rate_scope })} />}
      <Choice label={t.profile} value={retry.profile} options={t.profiles} onChange={(profile) => set({ profile })} hint={t.profileHints[retry.profile]} />
      <Choice
        label={t.waits}
        value={retry.exponential ? "exponential" : "schedule"}
        options={t.waitKinds}
        onChange={(kind) => set({ exponential: kind === "exponential" ? (retry.exponential ?? EXPONENTIAL) : undefined })}
        hint={t.waitHints[retry.exponential ? "exponential" : "schedule"]}
      />
      <div class="two uneven">
        <NumberField label={t.attempts} hint={t.attemptsHint} unit="" value={retry.attempts} min={1} max={100} step="1" faults={faultsOf(faults, "/retry/attempts")} onChange={(value) => set({ attempts: value ?? 1 })} />
        {!retry.exponential && (
          <Field label={t.schedule} hint={t.scheduleHint} faults={[...(bad ? [t.badSchedule] : []), ...faultsOf(faults, "/retry/schedule_s")]}>
            {(ids) => (
              <input
                {...ids}
                value={schedule}
                onInput={(event) => {
                  setSchedule(event.currentTarget.value);
                  const next = parseSchedule(event.currentTarget.value);
                  if (next) set({ schedule_s: next });
                }}
                onBlur={() => schedule_s && setSchedule(writeSchedule(schedule_s))}
              />
            )}
          </Field>
        )}
      </div>
      {retry.exponential && <Exponential rule={retry.exponential} faults={faults} onChange={(exponential) => set({ exponential })} />}
      <Timeline times={times} />
      <Choice label={t.order} value={draft.order} options={t.orders} onChange={(order) => change({ order })} hint={t.orderHint[draft.order]} />
    </section>
  );
}

function Exponential({ rule, faults, onChange }: { rule: NonNullable<RetrySpec["exponential"]>; faults: Invalid[]; onChange: (rule: NonNullable<RetrySpec["exponential"]>) => void }) {
  const part = (name: keyof typeof rule, label: string, unit: string, min: number, max: number) => (
    <NumberField label={label} unit={unit} value={rule[name]} min={min} max={max} faults={faultsOf(faults, `/retry/exponential/${name}`)} onChange={(value) => onChange({ ...rule, [name]: value ?? 0 })} />
  );
  return (
    <div class="three">
      {part("initial_s", t.firstWait, texts.seconds, 0.001, 2_592_000)}
      {part("factor", t.factor, "×", 1, 10)}
      {part("max_s", t.longestWait, texts.seconds, rule.initial_s, 2_592_000)}
    </div>
  );
}

/** The attempts on a logarithmic line of time. */
function Timeline({ times }: { times: number[] }) {
  const last = times.at(-1) ?? 0;
  const at = (s: number) => (last > 0 ? (Math.log1p(s) / Math.log1p(last)) * 100 : 0);
  return (
    <div class="timeline">
      <div class="line" aria-hidden="true">
        {times.map((s, index) => (
          <i key={index} style={{ left: `${at(s)}%` }} title={t.attemptAt(index + 1, seconds(s))} />
        ))}
      </div>
      <p class="hint">{t.timeline(times.length, seconds(last))}</p>
    </div>
  );
}

function Filter({ draft, faults, macros, change }: FormProps & { change: (part: Partial<SubscriptionSpec>) => void }) {
  // Rows, since a field that is being typed is not yet a name.
  const [rows, setRows] = useState(Object.entries(draft.where).map(([field, values]) => ({ field, values: values.join(", ") })));
  const list = useId();
  const set = (next: typeof rows) => {
    setRows(next);
    const split = (text: string) => text.split(",").map((value) => value.trim()).filter(Boolean);
    change({ where: Object.fromEntries(next.filter((row) => row.field.trim() && split(row.values).length > 0).map((row) => [row.field.trim(), split(row.values)])) });
  };
  return (
    <section class="card" aria-label={t.filter}>
      <h2>{t.filter}</h2>
      <p class="hint">{t.filterHint}</p>
      <datalist id={list}>
        {macros.map((macro) => (
          <option key={macro.name} value={macro.name} />
        ))}
      </datalist>
      {rows.map((row, index) => (
        <div class="header-row" key={index}>
          <input aria-label={t.filterField(index + 1)} list={list} value={row.field} placeholder="CampaignId" onInput={(event) => set(rows.map((other, n) => (n === index ? { ...other, field: event.currentTarget.value } : other)))} />
          <input aria-label={t.filterValues(index + 1)} value={row.values} placeholder="1000, 1001" onInput={(event) => set(rows.map((other, n) => (n === index ? { ...other, values: event.currentTarget.value } : other)))} />
          <Button kind="quiet" icon="trash" aria-label={t.removeFilter(row.field || String(index + 1))} onClick={() => set(rows.filter((_, n) => n !== index))} />
        </div>
      ))}
      {faultsOf(faults, "/where").map((fault) => (
        <p class="faults" key={fault}>
          {fault}
        </p>
      ))}
      <Button icon="plus" onClick={() => set([...rows, { field: "", values: "" }])}>
        {t.addFilter}
      </Button>
    </section>
  );
}
