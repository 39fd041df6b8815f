// One event: its data, its deliveries, and why others got none.
import { at, get, getExact } from "../api/client";
import type { PostriderEvent, Routing } from "../api/types";
import { useDirectory } from "../directory";
import { writeExact } from "../exact-json";
import { useLive } from "../live";
import { address } from "../router";
import { texts } from "../texts";
import { CopyButton, Fact, Facts, FailureNote, Head, OutcomePill, Skeleton, StatePill, Time } from "../ui/basics";
import { TextBlock } from "../ui/exchange";
import { Icon } from "../ui/icon";
import { sentence, Words } from "../ui/words";

const t = texts.events;

export function EventScreen({ id }: { id: string }) {
  const { data: event, failure, again } = useLive(`event ${id}`, (signal) => getExact<PostriderEvent>(at`/v1/events/${id}`, {}, signal));
  const back: [string, string] = [address(["events"]), texts.sections.events];
  if (!event) {
    return (
      <>
        <Head title={t.title} back={back} />
        {failure ? <FailureNote failure={failure} again={again} /> : <Skeleton />}
      </>
    );
  }
  const action = event.data.ActionId;
  return (
    <>
      <Head
        title={event.type}
        back={back}
        sub={
          <span class="facts">
            <span>
              {texts.account} <b>{event.account}</b>
            </span>
            <code>{event.id}</code>
            <CopyButton text={event.id} label={texts.copy.id} />
          </span>
        }
      >
        {typeof action === "string" && (
          <a class="button" href={address(["actions", action, event.account])}>
            {t.seeLife}
          </a>
        )}
      </Head>
      <Facts>
        <Fact name={t.occurred}>
          <Time at={event.occurred_at} />
        </Fact>
        <Fact name={t.received}>
          <Time at={event.received_at} />
        </Fact>
        <Fact name={t.key}>{event.key ?? <span class="muted">{t.noKey}</span>}</Fact>
      </Facts>
      <section class="card flush">
        <h2>{t.deliveries}</h2>
        <EventDeliveries event={event} />
      </section>
      <section class="card">
        <div class="card-head">
          <h2>{t.data}</h2>
          <CopyButton text={() => writeExact({ account: event.account, type: event.type, data: event.data }, 2)} label={t.copyEvent} />
        </div>
        <TextBlock text={writeExact(event.data, 2)} label={t.data} />
      </section>
    </>
  );
}

/** Who got the event, and why the others did not. */
export function EventDeliveries({ event }: { event: PostriderEvent }) {
  const deliveries = event.deliveries ?? [];
  const { subscriptions } = useDirectory(deliveries.map((delivery) => delivery.subscription));
  const { data: routing } = useLive(`routing ${event.id}`, (signal) => get<{ data: Routing[] } | Routing[]>(at`/v1/events/${event.id}/routing`, {}, signal), 0);
  const others = (Array.isArray(routing) ? routing : (routing?.data ?? [])).filter((item) => !deliveries.some((delivery) => delivery.subscription === item.subscription));
  if (deliveries.length === 0 && others.length === 0) return <p class="nothing">{routing ? t.nobody : texts.loading}</p>;
  return (
    <ul class="life-deliveries">
      {deliveries.map((delivery) => (
        <li key={delivery.id}>
          <StatePill state={delivery.state} />
          <div>
            <a href={address(["deliveries", delivery.id])}>{subscriptions.get(delivery.subscription)?.name ?? delivery.subscription}</a>
            <p class="muted num">
              {t.attempts(delivery.attempts)}
              {delivery.due_at && (
                <>
                  {" · "}
                  {t.next} <Time at={delivery.due_at} ago />
                </>
              )}
              {delivery.ended_at && (
                <>
                  {" · "}
                  <Time at={delivery.ended_at} />
                </>
              )}
            </p>
          </div>
          {delivery.last_outcome && delivery.last_outcome !== "delivered" && <OutcomePill outcome={delivery.last_outcome} />}
        </li>
      ))}
      {others.map((item) => (
        <li key={item.subscription} class="unsent">
          <span class="pill idle">
            <Icon name={item.sent ? "check" : "close"} />
            {item.sent ? t.sent : t.notSent}
          </span>
          <div>
            <a href={address(["subscriptions", item.subscription])}>{item.name}</a>
            <p class="muted"><Words text={sentence(item.why)} /></p>
          </div>
        </li>
      ))}
    </ul>
  );
}
