// Beside the form: the exact request for an event, a real test, and what the rules say about an answer.
import { useEffect, useState } from "preact/hooks";
import { at, Failure, getExact, post } from "../api/client";
import type { Attempt, EventType, Invalid, Listed, PostriderEvent, Preview, ResponseVerdict, SubscriptionSpec, Warning } from "../api/types";
import { parseExact, writeExact } from "../exact-json";
import { time } from "../format";
import { AttemptBody } from "../screens/delivery";
import { rights } from "../session";
import { texts } from "../texts";
import { Button, FailureNote, Field, Note, OutcomePill, Tabs, useAction } from "../ui/basics";
import { RequestView } from "../ui/exchange";
import { Icon } from "../ui/icon";
import { sentence, Words } from "../ui/words";
import { bodyOf, takes } from "./draft";

const t = texts.panel;
const PAUSE_MS = 300;

interface Props {
  draft: SubscriptionSpec;
  types: EventType[];
  /** The saved subscription, if it is one. */
  id: string | undefined;
  onFaults: (faults: Invalid[]) => void;
}

type Tab = "preview" | "test" | "response";

/** The event that is tried: a sample of a type, a real one, or one typed by hand. */
interface Source {
  kind: "sample" | "real" | "own";
  type: string;
  id?: string;
  own?: string;
}

export function Panel({ draft, types, id, onFaults }: Props) {
  const [tab, setTab] = useState<Tab>("preview");
  const wanted = types.filter((type) => draft.event_types.some((pattern) => takes(pattern, type)));
  const [source, setSource] = useState<Source>();
  const recent = useRecent(draft.account, wanted);
  const first = wanted[0]?.type ?? types[0]?.type ?? "";
  const present: Source = source && (source.kind !== "sample" || types.some((type) => type.type === source.type)) ? source : { kind: "sample", type: first };
  const event = eventOf(present, recent);
  return (
    <section class="card panel" aria-label={t.title}>
      <EventChoice source={present} onChange={setSource} wanted={wanted} recent={recent} />
      <Tabs
        label={t.title}
        value={tab}
        onChange={setTab}
        tabs={[
          ["preview", t.preview],
          ...(rights().write ? ([["test", t.test]] as const) : []),
          ["response", t.response],
        ]}
      >
        {tab === "preview" && <PreviewView draft={draft} id={id} event={event} onFaults={onFaults} />}
        {tab === "test" && <TestView draft={draft} id={id} event={event} />}
        {tab === "response" && <ResponseTry draft={draft} />}
      </Tabs>
    </section>
  );
}

function useRecent(account: string, wanted: EventType[]): PostriderEvent[] {
  const [events, setEvents] = useState<PostriderEvent[]>([]);
  useEffect(() => {
    const abort = new AbortController();
    getExact<Listed<PostriderEvent>>("/v1/events", { account, limit: 50 }, abort.signal).then(
      (page) => setEvents(page.data),
      () => {},
    );
    return () => abort.abort();
  }, [account]);
  const names = new Set(wanted.map((type) => type.type));
  return events.filter((event) => names.has(event.type)).slice(0, 15);
}

/** The event as the calls take it: a type for its sample, or the event itself. A text says why it is none. */
type Tried = { event_type: string } | { event: { type: string; data: unknown } } | string;

function eventOf(source: Source, recent: PostriderEvent[]): Tried {
  if (source.kind === "real") {
    const found = recent.find((event) => event.id === source.id);
    return found ? { event: { type: found.type, data: found.data } } : { event_type: source.type };
  }
  if (source.kind === "own") {
    try {
      return { event: { type: source.type, data: parseExact(source.own ?? "") } };
    } catch (error) {
      return error instanceof Error ? error.message : t.badJson;
    }
  }
  return { event_type: source.type };
}

const sampleOf = async (type: string): Promise<PostriderEvent["data"]> => (await getExact<PostriderEvent>(at`/v1/event-types/${type}/sample`)).data;

/** What is on the screen. With its id the server completes it with the secrets that are stored. */
const tried = (draft: SubscriptionSpec, id: string | undefined) => ({ ...bodyOf(draft), id, name: draft.name || "-" });

function EventChoice({ source, onChange, wanted, recent }: { source: Source; onChange: (source: Source) => void; wanted: EventType[]; recent: PostriderEvent[] }) {
  const label = (event: PostriderEvent) => `${time(event.received_at)} · ${event.type}${typeof event.data.ActionId === "string" ? ` · ${event.data.ActionId}` : ""}`;
  const [loading, load] = useState(false);
  const editSample = async () => {
    load(true);
    try {
      const real = recent.find((event) => event.id === source.id);
      const data = source.kind === "real" && real ? real.data : await sampleOf(source.type);
      onChange({ kind: "own", type: source.type, own: writeExact(data, 2) });
    } finally {
      load(false);
    }
  };
  return (
    <div class="event-choice">
      <Field label={t.event}>
        {(ids) => (
          <div class="with-button">
            <select
              {...ids}
              value={source.kind === "own" ? "own" : source.kind === "real" ? `real ${source.id}` : `sample ${source.type}`}
              onChange={(event) => {
                const [kind, rest = ""] = event.currentTarget.value.split(/ (.*)/s);
                if (kind === "real") onChange({ kind, id: rest, type: recent.find((found) => found.id === rest)?.type ?? source.type });
                else if (kind === "sample") onChange({ kind, type: rest });
              }}
            >
              {source.kind === "own" && <option value="own">{t.own(source.type)}</option>}
              <optgroup label={t.samples}>
                {wanted.map((type) => (
                  <option key={type.type} value={`sample ${type.type}`}>
                    {type.type}
                  </option>
                ))}
              </optgroup>
              {recent.length > 0 && (
                <optgroup label={t.recent}>
                  {recent.map((event) => (
                    <option key={event.id} value={`real ${event.id}`}>
                      {label(event)}
                    </option>
                  ))}
                </optgroup>
              )}
            </select>
            {source.kind === "own" ? (
              <Button onClick={() => onChange({ kind: "sample", type: source.type })}>{t.backToSample}</Button>
            ) : (
              <Button busy={loading} onClick={() => void editSample().catch(() => {})}>
                {t.edit}
              </Button>
            )}
          </div>
        )}
      </Field>
      {source.kind === "own" && (
        <textarea class="mono" rows={8} spellcheck={false} aria-label={t.ownLabel} value={source.own} onInput={(event) => onChange({ ...source, own: event.currentTarget.value })} />
      )}
    </div>
  );
}

function PreviewView({ draft, id, event, onFaults }: { draft: SubscriptionSpec; id: string | undefined; event: Tried; onFaults: Props["onFaults"] }) {
  const [preview, setPreview] = useState<Preview>();
  const [failure, setFailure] = useState<Failure>();
  const [busy, setBusy] = useState(false);
  // A draft without a name or URL is unfinished, not wrong.
  const wrong = typeof event === "string";
  const body = writeExact({ subscription: tried(draft, id), ...(wrong ? {} : event) });
  const unfinished = !draft.request.url;
  useEffect(() => {
    if (unfinished || wrong) return;
    const abort = new AbortController();
    setBusy(true);
    const timer = setTimeout(() => {
      post<Preview>("/v1/subscriptions/preview", parseExact(body), abort.signal).then(
        (result) => {
          setPreview(result);
          setFailure(undefined);
          setBusy(false);
          onFaults(result.errors);
        },
        (error: unknown) => {
          if (abort.signal.aborted) return;
          const failed = Failure.of(error);
          const errors = failed.errors.map((fault) => ({ ...fault, pointer: fault.pointer.replace(/^\/subscription/, "") }));
          setFailure(failed.status === 422 ? undefined : failed);
          if (failed.status === 422) setPreview({ request: null, errors, warnings: [], event: null });
          setBusy(false);
          onFaults(errors);
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [body, unfinished, wrong]);
  if (wrong) return <Note tone="bad">{t.notJson(event)}</Note>;
  if (unfinished) return <p class="muted pad">{t.noUrl}</p>;
  return (
    <div class={`preview ${busy ? "busy" : ""}`} aria-busy={busy}>
      {failure && <FailureNote failure={failure} />}
      {preview?.event && !preview.event.wanted && (
        <Note tone="warn">
          {t.notWanted} <Words text={preview.event.why} />
        </Note>
      )}
      {preview?.request && <RequestView request={preview.request} />}
      {preview && !preview.request && <p class="muted">{t.noRequest}</p>}
      <Findings errors={preview?.errors ?? []} warnings={preview?.warnings ?? []} />
    </div>
  );
}

export function Findings({ errors, warnings }: { errors: Invalid[]; warnings: Warning[] }) {
  return (
    <div class="findings">
      {errors.map((error) => (
        <p key={`${error.pointer}${error.code}${error.detail}`} class="finding bad">
          <Icon name="warning" />
          <span>
            {error.pointer && <b>{texts.pointer(error.pointer)}: </b>}
            <Words text={error.detail} />
          </span>
        </p>
      ))}
      {warnings.map((warning) => (
        <p key={`${warning.pointer}${warning.code}${warning.detail}`} class="finding warn">
          <Icon name="info" />
          <span>
            {warning.pointer && <b>{texts.pointer(warning.pointer)}: </b>}
            <Words text={warning.detail} />
          </span>
        </p>
      ))}
    </div>
  );
}

function TestView({ draft, id, event }: { draft: SubscriptionSpec; id: string | undefined; event: Tried }) {
  const [attempt, setAttempt] = useState<Attempt>();
  const [failure, setFailure] = useState<Failure>();
  const [send, busy] = useAction(async () => {
    setFailure(undefined);
    try {
      if (typeof event === "string") return;
      setAttempt(await post<Attempt>("/v1/subscriptions/test", { subscription: tried(draft, id), ...event }));
    } catch (error) {
      setAttempt(undefined);
      setFailure(Failure.of(error));
    }
  });
  const usable = typeof event !== "string" && draft.request.url !== "";
  return (
    <div>
      <p class="hint">{t.testHint}</p>
      <Button kind="primary" icon="send" busy={busy} disabled={!usable} onClick={() => void send()}>
        {t.send}
      </Button>
      {failure && <FailureNote failure={failure} />}
      {attempt && (
        <div class="test-result" role="status">
          <p class="test-verdict">
            <OutcomePill outcome={attempt.outcome} /> {texts.verdictMeans[attempt.outcome] ?? ""}
          </p>
          <AttemptBody key={attempt.id} attempt={attempt} />
        </div>
      )}
    </div>
  );
}

function ResponseTry({ draft }: { draft: SubscriptionSpec }) {
  const [status, setStatus] = useState(200);
  const [body, setBody] = useState("OK");
  const [headers, setHeaders] = useState("");
  const [verdict, setVerdict] = useState<ResponseVerdict>();
  const [failure, setFailure] = useState<Failure>();
  const question = JSON.stringify({
    success_response: draft.success_response,
    error_response: draft.error_response,
    profile: draft.retry.profile,
    response: {
      status,
      headers: headers
        .split("\n")
        .map((line) => /^([^:\s]+):\s*(.*)$/.exec(line))
        .filter((match) => match !== null)
        .map((match) => ({ name: match[1], value: match[2] })),
      body,
    },
  });
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      post<ResponseVerdict>("/v1/responses/check", JSON.parse(question), abort.signal).then(
        (found) => {
          setVerdict(found);
          setFailure(undefined);
        },
        (error: unknown) => {
          if (!abort.signal.aborted) setFailure(Failure.of(error));
        },
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [question]);
  return (
    <div class="response-try">
      <p class="hint">{t.responseHint}</p>
      <Field label={t.status}>
        {(ids) => <input {...ids} type="number" min={100} max={599} value={status} onInput={(event) => setStatus(Number(event.currentTarget.value))} />}
      </Field>
      <Field label={t.body}>
        {(ids) => <textarea {...ids} class="mono" rows={4} spellcheck={false} value={body} onInput={(event) => setBody(event.currentTarget.value)} />}
      </Field>
      <details class="more-options">
        <summary>{t.headers}</summary>
        <Field label={t.headerLines}>
          {(ids) => <textarea {...ids} class="mono" rows={2} spellcheck={false} placeholder="Retry-After: 30" value={headers} onInput={(event) => setHeaders(event.currentTarget.value)} />}
        </Field>
      </details>
      {failure && <FailureNote failure={failure} />}
      {verdict && !failure && (
        <div class={`verdict ${verdict.next}`} role="status">
          <p>
            <OutcomePill outcome={verdict.outcome} /> <b>{t.next[verdict.next]}</b>
          </p>
          <p>
            <Words text={sentence(verdict.reason)} />
          </p>
          {verdict.conditions.length > 0 && (
            <ul class="conditions">
              {verdict.conditions.map((condition, index) => (
                <li key={index} class={condition.holds ? "holds" : "fails"}>
                  <Icon name={condition.holds ? "check" : "close"} />
                  <span>
                    {t.rule[condition.rule]}: <Words text={condition.condition} /> {condition.holds ? t.holds : t.fails}
                  </span>
                </li>
              ))}
            </ul>
          )}
          <Findings errors={[]} warnings={verdict.warnings} />
        </div>
      )}
    </div>
  );
}
