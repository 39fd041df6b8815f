// The log: every delivery, filtered, live.
import { useState } from "preact/hooks";
import { type Delivery, DELIVERY_STATES } from "../api/types";
import { refreshDirectory, subscriptionName, useDirectory } from "../directory";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { texts } from "../texts";
import { Button, OutcomePill, StatePill, Time } from "../ui/basics";
import { accountColumn, ChipFilter, LiveList, SelectFilter } from "../ui/live-list";

const t = texts.deliveries;
const nothing = <span class="muted">–</span>;

export function Deliveries({ query }: { query: Record<string, string> }) {
  const { state, subscription, since, until } = query;
  const account = chosenAccount.get();
  const [shown, setShown] = useState<Delivery[]>([]);
  const { subscriptions } = useDirectory(shown.slice(0, 500).map((row) => row.subscription));
  return (
    <LiveList<Delivery>
      title={texts.sections.deliveries}
      place={["deliveries"]}
      path="/v1/deliveries"
      query={query}
      filters={["state", "subscription"]}
      onRows={setShown}
      actions={
        rights().write && (
          <Button icon="replays" onClick={() => go(address(["replays"], { new: "1", subscription, states: state, since, until }))}>
            {t.replay}
          </Button>
        )
      }
      controls={(show) => (
        <>
          <ChipFilter label={t.state} value={state} options={["", ...DELIVERY_STATES].map((name) => [name, name ? (texts.states[name] ?? name) : t.any])} onChange={(state) => show({ state })} />
          <SelectFilter
            label={t.subscription}
            any={t.anySubscription}
            value={subscription}
            options={[...subscriptions.values()].filter((item) => !account || item.account === account).map((item) => [item.id, item.name])}
            onChange={(subscription) => show({ subscription })}
          />
        </>
      )}
      columns={[
        { name: t.state, cell: (item) => <StatePill state={item.state} /> },
        {
          name: t.event,
          cell: (item) => (
            <a class="row-link" href={address(["deliveries", item.id])}>
              {item.type}
            </a>
          ),
        },
        { name: t.subscription, class: "grow", cell: (item) => <span class="cut">{subscriptionName(item.subscription)}</span> },
        ...accountColumn<Delivery>(),
        { name: t.attempts, class: "right num wide-only", cell: (item) => item.attempts },
        { name: t.lastOutcome, cell: (item) => (item.last_outcome && item.last_outcome !== "delivered" ? <OutcomePill outcome={item.last_outcome} /> : nothing) },
        { name: t.next, class: "wide-only", cell: (item) => <Time at={item.due_at} ago /> },
        { name: t.accepted, class: "right", cell: (item) => <Time at={item.created_at} /> },
      ]}
      csv={[
        ...(["id", "event", "subscription"] as const).map((name) => ({ name, value: (item: Delivery) => item[name] })),
        { name: "subscription_name", value: (item) => subscriptionName(item.subscription) },
        ...(["account", "type", "state", "attempts", "last_outcome", "dead_reason", "created_at", "due_at", "ended_at"] as const).map((name) => ({ name, value: (item: Delivery) => item[name] })),
      ]}
      beforeExport={refreshDirectory}
      empty={{
        title: t.emptyTitle,
        text: t.emptyText,
        action: (
          <a class="button" href={address(["subscriptions"])}>
            {t.toSubscriptions}
          </a>
        ),
      }}
      noneFits={{ title: t.noneFits }}
    />
  );
}
