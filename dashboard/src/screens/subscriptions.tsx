// All subscriptions with their health.
import { all, get } from "../api/client";
import type { Stats, Subscription, SubscriptionStats } from "../api/types";
import { count, hostOf } from "../format";
import { useLive } from "../live";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, OutcomePill, Skeleton, StatePill } from "../ui/basics";

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
            <label class="search">
              <span class="offscreen">{texts.subscriptions.search}</span>
              <input
                type="search"
                placeholder={texts.subscriptions.search}
                value={query.q ?? ""}
                onInput={(event) => go(address(["subscriptions"], { q: event.currentTarget.value }), "replace")}
              />
            </label>
            <span class="muted num" aria-live="polite">
              {texts.subscriptions.shown(found.length, data.subscriptions.length)}
            </span>
          </div>
          <div class="card flush">
            <table class="rows stack fixed">
              <thead>
                <tr>
                  <th class="name-column">{texts.subscriptions.name}</th>
                  <th class="types-column">{texts.subscriptions.events}</th>
                  <th>{texts.subscriptions.health}</th>
                  <th class="right">{texts.subscriptions.waiting}</th>
                  <th class="right">{texts.overview.delivered}</th>
                  <th class="right">{texts.overview.dead}</th>
                  <th class="outcome-column">{texts.deliveries.lastOutcome}</th>
                </tr>
              </thead>
              <tbody>
                {found.map((item) => (
                  <Row key={item.id} item={item} stats={data.stats.get(item.id)} />
                ))}
              </tbody>
            </table>
            {found.length === 0 && <p class="nothing">{texts.subscriptions.noneFits}</p>}
          </div>
        </>
      )}
    </>
  );
}

function Row({ item, stats }: { item: Subscription; stats: SubscriptionStats | undefined }) {
  return (
    <tr>
      <td class="main-cell">
        <a href={address(["subscriptions", item.id])}>{item.name}</a>
        <span class="muted break">
          <b class="method">{item.request.method}</b> {hostOf(item.request.url)}
          {rights().allAccounts && <> · {item.account}</>}
        </span>
      </td>
      <td data-label={texts.subscriptions.events}>
        <span class="types">{item.event_types.join(", ")}</span>
      </td>
      <td data-label={texts.subscriptions.health}>
        <StatePill state={item.state === "paused" ? "paused" : (stats?.health ?? "healthy")} />
      </td>
      <td class="right num" data-label={texts.subscriptions.waiting}>
        {count(stats?.waiting ?? 0)}
      </td>
      <td class="right num" data-label={texts.overview.delivered}>
        {count(stats?.delivered ?? 0)}
      </td>
      <td class="right num" data-label={texts.overview.dead}>
        {stats?.dead ? <a href={address(["deliveries"], { subscription: item.id, state: "dead" })}>{count(stats.dead)}</a> : 0}
      </td>
      <td data-label={texts.deliveries.lastOutcome}>{stats?.last_outcome ? <OutcomePill outcome={stats.last_outcome} /> : <span class="muted">{texts.subscriptions.never}</span>}</td>
    </tr>
  );
}
