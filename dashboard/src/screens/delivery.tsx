// One delivery: why it is in this state, what was sent, what came back, what comes next.
import { useState } from "preact/hooks";
import { at, get, getExact, post } from "../api/client";
import type { Attempt, Delivery, PostriderEvent } from "../api/types";
import { useDirectory } from "../directory";
import { writeExact } from "../exact-json";
import { milliseconds } from "../format";
import { useLive } from "../live";
import { address } from "../router";
import { rights } from "../session";
import { texts } from "../texts";
import { Button, CopyButton, Fact, Facts, FailureNote, Head, Note, OutcomePill, Skeleton, StatePill, Tabs, Time, useAction } from "../ui/basics";
import { attempt, Confirm, tell } from "../ui/dialog";
import { RequestView, ResponseView, TextBlock } from "../ui/exchange";
import { sentence, Words } from "../ui/words";

export function DeliveryScreen({ id }: { id: string }) {
  const { data: delivery, failure, again } = useLive(`delivery ${id}`, (signal) => get<Delivery>(at`/v1/deliveries/${id}`, {}, signal));
  const { data: event } = useLive(`event of ${delivery?.event ?? ""}`, async (signal) => (delivery ? getExact<PostriderEvent>(at`/v1/events/${delivery.event}`, {}, signal) : undefined), 0);
  const { subscriptions } = useDirectory(delivery ? [delivery.subscription] : []);
  const [asking, setAsking] = useState(false);
  const [retry, retrying] = useAction(async () => {
    await attempt(async () => {
      await post(at`/v1/deliveries/${id}/retry`);
      tell(texts.delivery.retried);
      again();
    });
  });
  const back: [string, string] = [address(["deliveries"]), texts.sections.deliveries];
  if (!delivery) {
    return (
      <>
        <Head title={texts.delivery.title} back={back} />
        {failure ? <FailureNote failure={failure} again={again} /> : <Skeleton />}
      </>
    );
  }
  const undecided = delivery.state === "pending" || delivery.state === "dead";
  const log = [...(delivery.attempt_log ?? [])].sort((a, b) => b.number - a.number);
  const actionId = event?.data.ActionId;
  return (
    <>
      <Head
        title={`${texts.delivery.of} ${delivery.type}`}
        back={back}
        sub={
          <span class="facts">
            <StatePill state={delivery.state} />
            <a href={address(["subscriptions", delivery.subscription])}>{subscriptions.get(delivery.subscription)?.name ?? delivery.subscription}</a>
            <code>{delivery.id}</code>
            <CopyButton text={delivery.id} label={texts.copy.id} />
          </span>
        }
      >
        {rights().write && undecided && (
          <>
            <Button kind="primary" icon="send" busy={retrying} onClick={() => void retry()}>
              {delivery.state === "dead" ? texts.delivery.retry : texts.delivery.sendNow}
            </Button>
            <Button onClick={() => setAsking(true)}>{texts.delivery.cancel}</Button>
          </>
        )}
      </Head>
      {failure && <FailureNote failure={failure} again={again} />}
      {delivery.explanation && <Note tone={delivery.state === "dead" ? "bad" : delivery.state === "delivered" ? "good" : "info"}><Words text={sentence(delivery.explanation)} /></Note>}
      <Facts>
        <Fact name={texts.delivery.accepted}>
          <Time at={delivery.created_at} />
        </Fact>
        <Fact name={delivery.ended_at ? texts.delivery.endedAt : texts.delivery.nextAt}>
          {delivery.ended_at ? <Time at={delivery.ended_at} /> : <Time at={delivery.due_at} ago />}
        </Fact>
        <Fact name={texts.deliveries.attempts}>{delivery.attempts}</Fact>
        <Fact name={texts.account}>{delivery.account}</Fact>
        {typeof actionId === "string" && (
          <Fact name={texts.delivery.action}>
            <a href={address(["actions", actionId, delivery.account])}>{actionId}</a>
          </Fact>
        )}
        <Fact name={texts.delivery.event}>
          <a href={address(["events", delivery.event])}>{texts.delivery.seeEvent}</a>
        </Fact>
      </Facts>
      <section aria-label={texts.delivery.attempts}>
        <h2>{texts.delivery.attempts}</h2>
        {log.length === 0 && <p class="muted">{texts.delivery.noAttempts}</p>}
        <ol class="attempts">
          {log.map((item, index) => (
            <AttemptView key={item.id} attempt={item} open={index === 0} />
          ))}
        </ol>
      </section>
      {event && (
        <details class="card event-data">
          <summary>{texts.delivery.eventData}</summary>
          <TextBlock text={writeExact(event.data, 2)} label={texts.delivery.eventData} />
        </details>
      )}
      {asking && (
        <Confirm
          title={texts.delivery.cancelTitle}
          yes={texts.delivery.cancelYes}
          onClose={() => setAsking(false)}
          act={async () => {
            await post(at`/v1/deliveries/${id}/cancel`);
            tell(texts.delivery.cancelled);
            again();
          }}
        >
          <p>{texts.delivery.cancelText}</p>
        </Confirm>
      )}
    </>
  );
}

export function AttemptView({ attempt, open }: { attempt: Attempt; open: boolean }) {
  const [shown, setShown] = useState(open);
  const status = attempt.response?.status;
  return (
    <li>
      <details open={shown} onToggle={(event) => setShown(event.currentTarget.open)}>
        <summary>
          <span class="attempt-number num">{attempt.number}</span>
          <OutcomePill outcome={attempt.outcome} />
          <span class="num">{status ? `HTTP ${status}` : texts.delivery.noAnswer}</span>
          <span class="muted num">{milliseconds(attempt.duration_ms)}</span>
          <span class="attempt-time">
            <Time at={attempt.started_at} />
          </span>
        </summary>
        {shown && <AttemptBody attempt={attempt} />}
      </details>
    </li>
  );
}

export function AttemptBody({ attempt }: { attempt: Attempt }) {
  const [tab, setTab] = useState<"response" | "request">(attempt.response ? "response" : "request");
  const meaning = texts.outcomes[attempt.outcome]?.[1];
  return (
    <div class="attempt-body">
      <p class="why">
        <b>{texts.delivery.why}</b> <Words text={sentence(attempt.reason)} /> {meaning && <span class="muted">{meaning}</span>}
      </p>
      {attempt.possible_repeat && <Note tone="warn">{texts.delivery.possibleRepeat}</Note>}
      {attempt.next_due_at && (
        <p class="muted">
          {texts.delivery.then} <Time at={attempt.next_due_at} />
        </p>
      )}
      <Tabs
        label={texts.delivery.exchange}
        tabs={[
          ["response", texts.delivery.response],
          ["request", texts.delivery.request],
        ]}
        value={tab}
        onChange={setTab}
      >
        {tab === "request" &&
          (attempt.request ? <RequestView request={attempt.request} /> : <p class="muted">{texts.delivery.noRequest}</p>)}
        {tab === "response" &&
          (attempt.response ? <ResponseView response={attempt.response} /> : <p class="muted">{texts.delivery.noResponse}</p>)}
      </Tabs>
    </div>
  );
}
