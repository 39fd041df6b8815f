// The log: every delivery, filtered, live.
import { useRef } from "preact/hooks";
import { get } from "../api/client";
import { type Delivery, DELIVERY_STATES, type Listed } from "../api/types";
import { useDirectory } from "../directory";
import { count, fromLocalInput, toLocalInput } from "../format";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, OutcomePill, Skeleton, StatePill, Time } from "../ui/basics";
import { VirtualTable } from "../ui/virtual-table";
import { PAGE, usePages } from "./delivery-pages";

export function Deliveries({ query }: { query: Record<string, string> }) {
  const { state, subscription, since, until } = query;
  const account = chosenAccount.get();
  const filter = { account, state, subscription, since, until };
  const view = useRef<{ top: boolean; first: string | undefined }>({ top: true, first: undefined });
  const pages = usePages<Delivery>(
    JSON.stringify(filter),
    (cursor, signal) => get<Listed<Delivery>>("/v1/deliveries", { ...filter, limit: PAGE, cursor }, signal),
    () => view.current,
  );
  const { subscriptions } = useDirectory(pages.rows.slice(0, 500).map((row) => row.subscription));
  const show = (change: Record<string, string | undefined>) => go(address(["deliveries"], { ...query, ...change }), "replace");
  const filtered = Boolean(state || subscription || since || until);
  const manyAccounts = rights().allAccounts && !account;
  const columns = [
    { name: texts.deliveries.state },
    { name: texts.deliveries.event },
    { name: texts.deliveries.subscription, class: "grow" },
    ...(manyAccounts ? [{ name: texts.account, class: "wide-only" }] : []),
    { name: texts.deliveries.attempts, class: "right" },
    { name: texts.deliveries.lastOutcome },
    { name: texts.deliveries.next },
    { name: texts.deliveries.accepted, class: "right" },
  ];
  return (
    <div class="fill">
      <Head title={texts.sections.deliveries}>
        {rights().write && (
          <Button icon="replays" onClick={() => go(address(["replays"], { new: "1", subscription, states: state, since, until }))}>
            {texts.deliveries.replay}
          </Button>
        )}
      </Head>
      <div class="filters">
        <div class="chips" role="group" aria-label={texts.deliveries.state}>
          {["", ...DELIVERY_STATES].map((name) => (
            <button key={name} type="button" aria-pressed={(state ?? "") === name} onClick={() => show({ state: name })}>
              {name ? texts.states[name] : texts.deliveries.any}
            </button>
          ))}
        </div>
        <label>
          <span class="offscreen">{texts.deliveries.subscription}</span>
          <select value={subscription ?? ""} onChange={(event) => show({ subscription: event.currentTarget.value })}>
            <option value="">{texts.deliveries.anySubscription}</option>
            {[...subscriptions.values()]
              .filter((item) => !account || item.account === account)
              .map((item) => (
                <option key={item.id} value={item.id}>
                  {item.name}
                </option>
              ))}
            {subscription && !subscriptions.has(subscription) && <option value={subscription}>{subscription}</option>}
          </select>
        </label>
        <label class="inline">
          {texts.since}
          <input type="datetime-local" value={toLocalInput(since)} onChange={(event) => show({ since: fromLocalInput(event.currentTarget.value) })} />
        </label>
        <label class="inline">
          {texts.until}
          <input type="datetime-local" value={toLocalInput(until)} onChange={(event) => show({ until: fromLocalInput(event.currentTarget.value) })} />
        </label>
        {filtered && (
          <Button kind="quiet" icon="close" onClick={() => go(address(["deliveries"]), "replace")}>
            {texts.deliveries.clear}
          </Button>
        )}
        <span class="live muted" role="status">
          {pages.ready && texts.deliveries.loaded(count(pages.rows.length), pages.complete)}
        </span>
      </div>
      {pages.failure && <FailureNote failure={pages.failure} again={pages.restart} />}
      {pages.behind && (
        <button type="button" class="behind" onClick={pages.restart}>
          {texts.deliveries.behind}
        </button>
      )}
      {!pages.ready && <Skeleton rows={10} />}
      {pages.ready && pages.rows.length === 0 && !pages.failure && (
        <Empty
          title={filtered ? texts.deliveries.noneFits : texts.deliveries.emptyTitle}
          action={
            filtered ? (
              <Button onClick={() => go(address(["deliveries"]), "replace")}>{texts.deliveries.clear}</Button>
            ) : (
              <a class="button" href={address(["subscriptions"])}>
                {texts.deliveries.toSubscriptions}
              </a>
            )
          }
        >
          {filtered ? texts.deliveries.noneFitsText : texts.deliveries.emptyText}
        </Empty>
      )}
      {pages.rows.length > 0 && (
        <VirtualTable
          label={texts.sections.deliveries}
          columns={columns}
          rows={pages.rows}
          complete={pages.complete}
          onEnd={pages.more}
          onView={(first, top) => (view.current = { first: first?.id, top })}
          end={!pages.complete && <p class="nothing">{texts.loading}</p>}
          row={(item) => (
            <>
              <td>
                <StatePill state={item.state} />
              </td>
              <td>
                <a class="row-link" href={address(["deliveries", item.id])}>
                  {item.type}
                </a>
              </td>
              <td class="grow">
                <span class="cut">{subscriptions.get(item.subscription)?.name ?? item.subscription}</span>
              </td>
              {manyAccounts && <td class="wide-only">{item.account}</td>}
              <td class="right num">{item.attempts}</td>
              <td>{item.last_outcome && item.last_outcome !== "delivered" ? <OutcomePill outcome={item.last_outcome} /> : <span class="muted">–</span>}</td>
              <td class="num"><Time at={item.due_at} ago /></td>
              <td class="right">
                <Time at={item.created_at} />
              </td>
            </>
          )}
        />
      )}
    </div>
  );
}
