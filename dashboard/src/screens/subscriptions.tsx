// All subscriptions with their health.
import { all, get } from "../api/client";
import type { Stats, Subscription, SubscriptionStats } from "../api/types";
import { hostOf, steady } from "../format";
import { useLive } from "../live";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, OutcomePill, Skeleton, StatePill, Steady } from "../ui/basics";
import { type Column, Records, SearchBox } from "../ui/records";

interface Loaded {
  subscriptions: Subscription[];
  stats: Map<string, SubscriptionStats>;
}

export function Subscriptions({ query }: { query: Record<string, string> }) {
  const account = chosenAccount.get();
  const { data, failure, again } = useLive(`subscriptions ${account}`, async (signal): Promise<Loaded> => {
    const [subscriptions, stats] = await Promise.all([
      all<Subscription>("/v1/subscriptions", { account }, signal),
      // The list is worth showing without its numbers.
      get<Stats>("/v1/stats", { account }, signal).catch(() => undefined),
    ]);
    return { subscriptions, stats: new Map(stats?.subscriptions.map((item) => [item.id, item])) };
  });
  const wanted = (query.q ?? "").toLowerCase();
  const fits = (item: Subscription) => !wanted || `${item.name} ${item.request.url} ${item.account} ${item.event_types.join(" ")} ${item.id}`.toLowerCase().includes(wanted);
  const found = data?.subscriptions.filter(fits) ?? [];
  const create = rights().write && (
    <Button kind="primary" icon="plus" onClick={() => go(address(["subscriptions", "new"]))}>
      {texts.subscriptions.create}
    </Button>
  );
  return (
    <>
      <Head title={texts.sections.subscriptions} sub={texts.subscriptions.sub}>
        {create}
      </Head>
      {failure && <FailureNote failure={failure} again={again} />}
      {!data && !failure && <Skeleton />}
      {data && data.subscriptions.length === 0 && (
        <Empty title={texts.subscriptions.emptyTitle} action={create}>
          {rights().write ? texts.subscriptions.emptyText : texts.subscriptions.emptyRead}
        </Empty>
      )}
      {data && data.subscriptions.length > 0 && (
        <>
          <div class="filters">
            <SearchBox label={texts.subscriptions.search} value={query.q ?? ""} onInput={(q) => go(address(["subscriptions"], { q }), "replace")} />
            <span class="muted num" aria-live="polite">
              {texts.subscriptions.shown(found.length, data.subscriptions.length)}
            </span>
          </div>
          <div class="card flush">
            <Records rows={found} columns={columns(data.stats)} fixed />
            {found.length === 0 && <p class="nothing">{texts.subscriptions.noneFits}</p>}
          </div>
        </>
      )}
    </>
  );
}

function columns(stats: Map<string, SubscriptionStats>): Column<Subscription>[] {
  const t = texts.subscriptions;
  return [
    {
      name: t.name,
      class: "name-column",
      cell: (item) => (
        <>
          <a href={address(["subscriptions", item.id])}>{item.name}</a>
          <span class="muted break">
            <b class="method">{item.request.method}</b> {hostOf(item.request.url)}
            {rights().allAccounts && <> · {item.account}</>}
          </span>
        </>
      ),
    },
    { name: t.events, class: "types-column", cell: (item) => <span class="types">{item.event_types.join(", ")}</span> },
    { name: t.health, cell: (item) => <StatePill state={item.state === "paused" ? "paused" : (stats.get(item.id)?.health ?? "healthy")} /> },
    { name: t.waiting, class: "right num", cell: (item) => <Steady text={steady(stats.get(item.id)?.waiting ?? 0)} /> },
    { name: texts.overview.delivered, class: "right num", cell: (item) => <Steady text={steady(stats.get(item.id)?.delivered ?? 0)} /> },
    {
      name: texts.overview.dead,
      class: "right num",
      cell: (item) => {
        const dead = stats.get(item.id)?.dead ?? 0;
        return dead > 0 ? <a href={address(["deliveries"], { subscription: item.id, state: "dead" })}><Steady text={steady(dead)} /></a> : <Steady text={steady(0)} />;
      },
    },
    {
      name: texts.deliveries.lastOutcome,
      class: "outcome-column",
      cell: (item) => {
        const last = stats.get(item.id)?.last_outcome;
        return last ? <OutcomePill outcome={last} /> : <span class="muted">{t.never}</span>;
      },
    },
  ];
}
