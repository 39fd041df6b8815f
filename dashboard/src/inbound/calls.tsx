// The incoming log: every report that came in, live; and one of them, explained.
import { at, get } from "../api/client";
import type { Time as Moment } from "../api/types";
import { writeExact } from "../exact-json";
import { useLive } from "../live";
import { address } from "../router";
import { texts as common } from "../texts";
import { Button, CopyButton, Fact, Facts, FailureNote, Head, Note, Pill, Skeleton, Time, type Tone } from "../ui/basics";
import { TextBlock } from "../ui/exchange";
import { accountColumn, ChipFilter, LiveList, SelectFilter, TextFilter } from "../ui/live-list";
import { sentence, Words } from "../ui/words";
import "./style.css";
import { texts } from "./texts";
import { CALL_RESULTS, type CallResult, type Click } from "./types";
import { useOffers } from "./use-offers";

const t = texts.calls;
const nothing = <span class="muted">–</span>;

export interface InboundCall {
  id: string;
  at: Moment;
  /** The advertiser; none if the key is not known. */
  account: string | null;
  /** The id of the key, never the key. */
  key: string | null;
  offer: string | null;
  method: string;
  kind: "s2s" | "pixel" | "frame" | "test";
  parameters: Record<string, string>;
  truncated: boolean;
  result: CallResult;
  code: string | null;
  /** Of the answer. */
  status: number;
  reply: unknown;
  lead: string | null;
  action: string | null;
  request_id: string | null;
  click: string | null;
  events: string[];
  address: string;
  user_agent: string | null;
}

const TONES: Record<CallResult, Tone> = { success: "good", repeated: "idle", conflict: "warn", error: "bad" };

export function ResultPill({ result }: { result: CallResult }) {
  const [label, meaning] = texts.results[result] ?? [result, ""];
  return (
    <Pill tone={TONES[result] ?? "idle"} title={meaning}>
      {label}
    </Pill>
  );
}

/** Those with a control, and those that other screens link to. */
const FILTERS = ["result", "code", "offer", "request_id", "lead", "click", "address"];

export function InboundCalls({ query }: { query: Record<string, string> }) {
  const offers = useOffers();
  return (
    <LiveList<InboundCall>
      title={common.sections["inbound-calls"]}
      sub={t.sub}
      place={["inbound-calls"]}
      path="/v1/inbound-calls"
      query={query}
      filters={FILTERS}
      controls={(show) => (
        <>
          <ChipFilter label={t.result} value={query.result} options={["", ...CALL_RESULTS].map((name) => [name, name ? (texts.results[name as CallResult]?.[0] ?? name) : t.any])} onChange={(result) => show({ result })} />
          <SelectFilter label={t.offer} any={t.anyOffer} value={query.offer} options={offers} onChange={(offer) => show({ offer })} />
          <TextFilter label={t.request} placeholder={t.searchRequest} value={query.request_id} onChange={(request_id) => show({ request_id })} />
          {(["code", "lead", "click", "address"] as const).map(
            (name) =>
              query[name] && (
                <Button key={name} icon="close" onClick={() => show({ [name]: undefined })}>
                  {t.only[name]} {query[name]}
                </Button>
              ),
          )}
        </>
      )}
      columns={[
        { name: t.result, cell: (item) => <ResultPill result={item.result} /> },
        {
          name: t.came,
          cell: (item) => (
            <a class="row-link" href={address(["inbound-calls", item.id])}>
              <Time at={item.at} />
            </a>
          ),
        },
        { name: t.offer, cell: (item) => (item.offer ? <span class="cut short">{item.offer}</span> : nothing) },
        ...accountColumn<InboundCall>(),
        { name: t.request, class: "grow", cell: (item) => <span class="cut">{item.request_id ?? item.code ?? "–"}</span> },
        { name: t.status, cell: (item) => (item.parameters.status ? <span class="cut short">{item.parameters.status}</span> : nothing) },
        { name: t.reply, class: "wide-only num", cell: (item) => item.status },
        { name: t.from, class: "right", cell: (item) => <span class="num">{item.address}</span> },
      ]}
      csv={[
        ...(["id", "at", "account", "offer", "key", "method", "kind", "result", "code", "status", "request_id", "lead", "action", "click", "address", "user_agent"] as const).map((name) => ({ name, value: (item: InboundCall) => item[name] })),
        { name: "parameters", value: (item) => item.parameters },
      ]}
      empty={{
        title: t.emptyTitle,
        text: t.emptyText,
        action: (
          <a class="button" href={address(["offers"])}>
            {t.toOffers}
          </a>
        ),
      }}
      noneFits={{ title: t.noneFits }}
    />
  );
}

/** What a reply says to do: its detail, and what is wrong with each parameter. */
function advice(reply: unknown): { detail: string | undefined; errors: { parameter: string; detail: string }[] } {
  if (typeof reply !== "object" || reply === null) return { detail: undefined, errors: [] };
  const { detail, errors } = reply as { detail?: unknown; errors?: unknown };
  const listed = Array.isArray(errors) ? (errors as { parameter?: unknown; detail?: unknown }[]) : [];
  return { detail: typeof detail === "string" ? detail : undefined, errors: listed.map((error) => ({ parameter: String(error.parameter ?? ""), detail: String(error.detail ?? "") })) };
}

export function InboundCallScreen({ id }: { id: string }) {
  const { data: item, failure, again } = useLive(`inbound call ${id}`, (signal) => get<InboundCall>(at`/v1/inbound-calls/${id}`, {}, signal), 0);
  // The action is the partner's whose click it was; without a click that is known it is the advertiser's own.
  const { data: partner } = useLive(
    `partner of ${item?.click ?? ""}`,
    async (signal) => (item?.click ? get<Click>(at`/v1/clicks/${item.click}`, {}, signal).then((click) => click.account, () => item.account) : item?.account),
    0,
  );
  const back: [string, string] = [address(["inbound-calls"]), texts.call.back];
  if (!item) {
    return (
      <>
        <Head title={texts.call.title} back={back} />
        {failure ? <FailureNote failure={failure} again={again} /> : <Skeleton />}
      </>
    );
  }
  const { detail, errors } = advice(item.reply);
  const parameters = Object.entries(item.parameters);
  const reply = typeof item.reply === "string" ? item.reply : writeExact(item.reply ?? null, 2);
  return (
    <>
      <Head
        title={texts.call.title}
        back={back}
        sub={
          <span class="facts">
            <ResultPill result={item.result} />
            <code>{item.id}</code>
            <CopyButton text={item.id} label={common.copy.id} />
          </span>
        }
      />
      <Note tone={item.result === "success" ? "good" : item.result === "repeated" ? "info" : item.result === "conflict" ? "warn" : "bad"}>
        <p>{texts.results[item.result]?.[1]}</p>
        {detail && (
          <p>
            <Words text={sentence(detail)} />
          </p>
        )}
        {errors.some((error) => error.detail !== detail) && (
          <ul>
            {errors.map((error) => (
              <li key={`${error.parameter} ${error.detail}`}>
                <code>{error.parameter}</code> <Words text={error.detail} />
              </li>
            ))}
          </ul>
        )}
      </Note>
      <Facts>
        <Fact name={t.came}>
          <Time at={item.at} />
        </Fact>
        <Fact name={texts.call.method}>
          {item.method} · {texts.call.how[item.kind] ?? item.kind}
        </Fact>
        <Fact name={texts.call.address}>{item.address}</Fact>
        <Fact name={common.account}>{item.account ?? <span class="muted">{texts.call.unknownKey}</span>}</Fact>
        <Fact name={t.offer}>{item.offer ? <a href={address(["offers", item.offer])}>{item.offer}</a> : nothing}</Fact>
        {item.key && (
          <Fact name={texts.call.key}>
            <code>{item.key}</code>
          </Fact>
        )}
        {item.code && (
          <Fact name={texts.call.code}>
            <code>{item.code}</code>
          </Fact>
        )}
        {item.lead && <Fact name={texts.call.lead}>{partner ? <a href={address(["actions", item.lead, partner])}>{item.lead}</a> : item.lead}</Fact>}
        {item.click && (
          <Fact name={texts.call.click}>
            <a href={address(["clicks", item.click])}>{item.click}</a>
          </Fact>
        )}
        {item.events.length > 0 && (
          <Fact name={texts.call.events}>
            {item.events.map((event) => (
              <a key={event} class="line" href={address(["events", event])}>
                {event}
              </a>
            ))}
          </Fact>
        )}
      </Facts>
      <section class="card">
        <h2>{texts.call.parameters}</h2>
        {parameters.length === 0 ? (
          <p class="muted">{texts.call.noParameters}</p>
        ) : (
          <table class="pairs">
            <tbody>
              {parameters.map(([name, value]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td>{value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {item.truncated && <p class="hint">{texts.call.truncated}</p>}
        {item.user_agent && (
          <p class="hint">
            {texts.call.agent}: {item.user_agent}
          </p>
        )}
      </section>
      <section class="card">
        <div class="card-head">
          <h2>
            {texts.call.reply} {item.status}
          </h2>
          <CopyButton text={reply} />
        </div>
        <TextBlock text={reply} label={texts.call.reply} />
      </section>
    </>
  );
}
