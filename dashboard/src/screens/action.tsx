// The whole life of one action: every event in order, and what each subscription got of it.
import { all, at, getExact } from "../api/client";
import type { PostriderEvent } from "../api/types";
import { useLive } from "../live";
import { address } from "../router";
import { texts } from "../texts";
import { CopyButton, Empty, FailureNote, Head, Skeleton, Time } from "../ui/basics";
import { EventDeliveries } from "./event";

const t = texts.events;
/** Most events of one action that are shown. */
const MAX = 50;
/** What of an event tells its place in the action's life. */
const SHOWN = ["Status", "Amount", "Payout", "Currency", "ReasonCode", "SubId1", "CampaignName"];

export function ActionScreen({ id, account }: { id: string; account?: string }) {
  const { data: events, failure, again } = useLive(
    `action ${id} ${account}`,
    async (signal) => {
      const found = await all<PostriderEvent>("/v1/events", { account, "data.ActionId": id }, signal, MAX);
      return Promise.all(found.slice(0, MAX).map((event) => getExact<PostriderEvent>(at`/v1/events/${event.id}`, {}, signal)));
    },
    4000,
  );
  const back: [string, string] = [address(["events"], { field: "ActionId", value: id }), texts.sections.events];
  return (
    <>
      <Head
        title={t.actionTitle(id)}
        back={back}
        sub={
          <span class="facts">
            {account && (
              <span>
                {texts.account} <b>{account}</b>
              </span>
            )}
            <CopyButton text={id} label={texts.copy.id} />
          </span>
        }
      />
      {failure && <FailureNote failure={failure} again={again} />}
      {!events && !failure && <Skeleton />}
      {events?.length === 0 && <Empty title={t.noAction}>{t.noActionText}</Empty>}
      <ol class="life">
        {[...(events ?? [])].reverse().map((event) => (
          <li key={event.id} class="card">
            <header>
              <h2>
                <a href={address(["events", event.id])}>{event.type}</a>
              </h2>
              <Time at={event.occurred_at} />
            </header>
            <p class="life-fields">
              {SHOWN.filter((name) => event.data[name] !== undefined && event.data[name] !== "").map((name) => (
                <span key={name}>
                  <span class="muted">{name}</span> <b>{String(event.data[name])}</b>
                </span>
              ))}
            </p>
            <EventDeliveries event={event} />
          </li>
        ))}
      </ol>
    </>
  );
}
