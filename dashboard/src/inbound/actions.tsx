// The ledger: the present state of every action.
import { getExact } from "../api/client";
import type { Listed } from "../api/types";
import { address } from "../router";
import { chosenAccount } from "../session";
import { Pill, Time, type Tone } from "../ui/basics";
import { accountColumn, ChipFilter, LiveList, SelectFilter } from "../ui/live-list";
import "./style.css";
import { texts } from "./texts";
import { LEDGER_STATES, type LedgerRow, type LedgerState } from "./types";
import { useOffers } from "./use-offers";

const t = texts.actions;
const TONES: Record<LedgerState, Tone> = { pending: "info", locked: "warn", cleared: "good", paid: "good", reversed: "bad" };

export function LedgerPill({ state }: { state: LedgerState }) {
  const [label, meaning] = texts.ledger[state] ?? [state, ""];
  return (
    <Pill tone={TONES[state] ?? "idle"} title={meaning}>
      {label}
    </Pill>
  );
}

type Row = LedgerRow & { id: string };

/** The list is kept in order by when the actions came in first, as the API lists them. */
async function read(path: string, query: Parameters<typeof getExact>[1], signal: AbortSignal): Promise<Listed<Row>> {
  const page = await getExact<Listed<LedgerRow>>(path, query, signal);
  return { ...page, data: page.data.map((row) => ({ ...row, id: `${row.created_at} ${row.account} ${row.action_id}` })) };
}

const money = (amount: string | null, currency: string | null) => (amount === null ? <span class="muted">–</span> : `${amount} ${currency ?? ""}`);

export function Actions({ query }: { query: Record<string, string> }) {
  const offers = useOffers();
  const account = chosenAccount.get();
  return (
    <LiveList<Row>
      title={t.title}
      sub={t.sub}
      place={["actions"]}
      path="/v1/actions"
      read={read}
      query={query}
      filters={["state", "offer", "as"]}
      asked={{ state: query.state, offer: query.offer, ...(account && (query.as === "advertiser" ? { account: undefined, advertiser: account } : { account })) }}
      controls={(show) => (
        <>
          <ChipFilter label={t.state} value={query.state} options={["", ...LEDGER_STATES].map((name) => [name, name ? (texts.ledger[name as LedgerState]?.[0] ?? name) : t.any])} onChange={(state) => show({ state })} />
          {account && <SelectFilter label={t.as} any={t.asPartner} value={query.as} options={[["advertiser", t.asAdvertiser]]} onChange={(as) => show({ as })} />}
          {offers.length > 0 && <SelectFilter label={t.offer} any={t.anyOffer} value={query.offer} options={offers} onChange={(offer) => show({ offer })} />}
        </>
      )}
      columns={[
        { name: t.state, cell: (row) => <LedgerPill state={row.state} /> },
        {
          name: t.action,
          class: "grow",
          cell: (row) => (
            <a class="row-link cut" href={address(["actions", row.action_id, row.account])}>
              {row.request_id ?? row.action_id}
            </a>
          ),
        },
        ...accountColumn<Row>(),
        { name: t.offer, class: "wide-only", cell: (row) => <span class="cut short">{row.offer ?? "–"}</span> },
        { name: t.word, class: "wide-only", cell: (row) => <span class="cut short">{row.status_word ?? "–"}</span> },
        { name: t.amount, class: "right num wide-only", cell: (row) => money(row.amount, row.currency) },
        { name: t.payout, class: "right num", cell: (row) => money(row.payout, row.currency) },
        { name: t.changed, class: "right", cell: (row) => <Time at={row.changed_at} /> },
      ]}
      csv={(
        ["account", "action_id", "advertiser", "offer", "action", "request_id", "click", "customer", "state", "amount", "payout", "intended_amount", "intended_payout", "currency", "status_word", "comment", "source", "test", "created_at", "changed_at", "conflicts"] as const
      ).map((name) => ({ name, value: (row: Row) => row[name] }))}
      empty={{ title: t.emptyTitle, text: t.emptyText }}
      noneFits={{ title: t.noneFits }}
    />
  );
}
