// The whole story of one action: its present state, every event in order, and what each subscription got of it.
import { all, at, Failure, getExact } from "../api/client";
import type { PostriderEvent } from "../api/types";
import { LedgerPill } from "../inbound/actions";
import { texts as inbound } from "../inbound/texts";
import type { LedgerAction } from "../inbound/types";
import { useLive } from "../live";
import { address } from "../router";
import { session } from "../session";
import { texts } from "../texts";
import { CopyButton, Empty, Fact, Facts, FailureNote, Head, Note, Pill, Skeleton, Time } from "../ui/basics";
import { EventDeliveries } from "./event";

const t = texts.events;
const words = inbound.actions;
/** Most events of one action that are shown. */
const MAX = 50;
/** What of an event tells its place in the action's life. */
const SHOWN = ["Status", "Amount", "DeltaAmount", "Payout", "DeltaPayout", "Currency", "ReasonCode", "SubId1", "CampaignName"];

interface Story {
  row: LedgerAction | undefined;
  events: PostriderEvent[];
}

/** Whether events of an account can be read with their deliveries. An advertiser sees the action, and not what its partner gets. */
const isOwn = (account: string): boolean => {
  const now = session.get();
  return now.state === "in" && (now.me.accounts === "all" || now.me.accounts.includes(account));
};

/** The ledger's row, if there is one: actions older than the ledger, or swept from it, have only their events. */
async function readStory(id: string, account: string | undefined, signal: AbortSignal): Promise<Story> {
  const row = account
    ? await getExact<LedgerAction>(at`/v1/actions/${account}/${id}`, {}, signal).catch((error: unknown) => {
        if (Failure.of(error).status === 404) return undefined;
        throw error;
      })
    : undefined;
  const found = row?.events ?? (await all<PostriderEvent>("/v1/events", { account, "data.ActionId": id }, signal, MAX)).reverse();
  const events = await Promise.all(found.slice(-MAX).map((event) => (isOwn(event.account) ? getExact<PostriderEvent>(at`/v1/events/${event.id}`, {}, signal) : event)));
  return { row, events };
}

export function ActionScreen({ id, account }: { id: string; account?: string }) {
  const { data, failure, again } = useLive(`action ${id} ${account}`, (signal) => readStory(id, account, signal), 4000);
  const row = data?.row;
  return (
    <>
      <Head
        title={t.actionTitle(row?.request_id ?? id)}
        back={[address(["actions"]), texts.sections.actions]}
        sub={
          <span class="facts">
            {row && <LedgerPill state={row.state} />}
            {row?.test && <Pill tone="info">{words.test}</Pill>}
            {account && (
              <span>
                {texts.account} <b>{account}</b>
              </span>
            )}
            <code>{id}</code>
            <CopyButton text={id} label={texts.copy.id} />
          </span>
        }
      >
        {row?.source === "s2s" && (
          <a class="button" href={address(["inbound-calls"], { lead: id })}>
            {words.reports}
          </a>
        )}
      </Head>
      {failure && <FailureNote failure={failure} again={again} />}
      {!data && !failure && <Skeleton />}
      {row && row.conflicts > 0 && (
        <Note tone="warn">
          {words.conflictNote(row.conflicts)} <a href={address(["inbound-calls"], { lead: id, result: "conflict" })}>{words.seeConflicts}</a>
        </Note>
      )}
      {row && <Ledger row={row} />}
      {data?.events.length === 0 && <Empty title={t.noAction}>{t.noActionText}</Empty>}
      <ol class="life">
        {data?.events.map((event) => (
          <li key={event.id} class="card">
            <header>
              <h2>{isOwn(event.account) ? <a href={address(["events", event.id])}>{event.type}</a> : event.type}</h2>
              <Time at={event.occurred_at} />
            </header>
            <p class="life-fields">
              {SHOWN.filter((name) => event.data[name] !== undefined && event.data[name] !== "").map((name) => (
                <span key={name}>
                  <span class="muted">{name}</span> <b>{String(event.data[name])}</b>
                </span>
              ))}
            </p>
            {isOwn(event.account) && <EventDeliveries event={event} />}
          </li>
        ))}
      </ol>
    </>
  );
}

function Ledger({ row }: { row: LedgerAction }) {
  const money = (amount: string | null, intended: string | null) => (
    <span class="num">
      {amount ?? "–"} {amount !== null && row.currency}
      {intended !== null && intended !== amount && <span class="muted"> ({words.intended(intended)})</span>}
    </span>
  );
  return (
    <Facts>
      <Fact name={words.payout}>{money(row.payout, row.intended_payout)}</Fact>
      <Fact name={words.amount}>{money(row.amount, row.intended_amount)}</Fact>
      {row.action && <Fact name={words.action}>{row.action}</Fact>}
      {row.offer && (
        <Fact name={words.offer}>
          <a href={address(["offers", row.offer])}>{row.offer}</a>
        </Fact>
      )}
      {row.advertiser && <Fact name={words.advertiser}>{row.advertiser}</Fact>}
      {row.status_word && <Fact name={words.word}>{row.status_word}</Fact>}
      {row.customer && <Fact name={words.customer}>{row.customer}</Fact>}
      {row.comment && <Fact name={words.comment}>{row.comment}</Fact>}
      <Fact name={words.source}>{words.sources[row.source] ?? row.source}</Fact>
      <Fact name={words.created}>
        <Time at={row.created_at} />
      </Fact>
      <Fact name={words.changed}>
        <Time at={row.changed_at} />
      </Fact>
      {row.click && (
        <Fact name={words.click}>
          <a href={address(["clicks", row.click])}>{row.click}</a>
        </Fact>
      )}
    </Facts>
  );
}
