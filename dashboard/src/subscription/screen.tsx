// One saved subscription: change it, pause it, delete it, and go to its deliveries.
import { useState } from "preact/hooks";
import { at, call, post } from "../api/client";
import type { Health, Subscription, SubscriptionSpec } from "../api/types";
import { refreshDirectory } from "../directory";
import { useEdited } from "../edited";
import { address, go, setGuard } from "../router";
import { rights } from "../session";
import { texts } from "../texts";
import { Button, CopyButton, FailureNote, Head, Note, Skeleton, StatePill, Time, useAction } from "../ui/basics";
import { attempt, Confirm, SecretDialog, tell } from "../ui/dialog";
import { EditProblem, SaveBar } from "../ui/save-bar";
import { sentence, Words } from "../ui/words";
import { bodyOf, specOf } from "./draft";
import { SubscriptionEditor } from "./editor";

const t = texts.subscription;

export function SubscriptionScreen({ id }: { id: string }) {
  const [asking, setAsking] = useState<"delete" | "rotate">();
  const [secret, setSecret] = useState<string>();
  const path = at`/v1/subscriptions/${id}`;
  const { saved: subscription, draft, ...edited } = useEdited<Subscription, SubscriptionSpec>(path, specOf, bodyOf, (body, written) => {
    if (body.signing_secret) setSecret(body.signing_secret);
    if (!written) return;
    void refreshDirectory().catch(() => {});
    tell(t.saved);
  });
  const [toggle, toggling] = useAction(async () => {
    const verb = subscription?.state === "paused" ? "resume" : "pause";
    await attempt(async () => {
      const { body, etag } = await call<Subscription>("POST", `${path}/${verb}`);
      // What is being edited stays.
      if (draft) edited.adopt({ ...body, signing_secret: undefined }, etag, { ...draft, state: body.state });
      tell(verb === "pause" ? t.pausedNow : t.resumedNow);
    });
  });
  const back: [string, string] = [address(["subscriptions"]), texts.sections.subscriptions];
  if (!subscription || !draft) {
    return (
      <>
        <Head title={t.title} back={back} />
        {edited.failure ? <FailureNote failure={edited.failure} /> : <Skeleton rows={10} />}
      </>
    );
  }
  const paused = subscription.state === "paused";
  const { write } = rights();
  return (
    <>
      <Head
        title={subscription.name}
        back={back}
        sub={
          <span class="facts">
            <StatePill state={subscription.state} />
            <span>
              {texts.account} <b>{subscription.account}</b>
            </span>
            <code>{subscription.id}</code>
            <CopyButton text={subscription.id} label={texts.copy.id} />
            <span class="muted">
              {t.version(subscription.version)} <Time at={subscription.updated_at} />
            </span>
          </span>
        }
      >
        <a class="button" href={address(["deliveries"], { subscription: id })}>
          {t.deliveries}
        </a>
        {write && (
          <>
            <Button icon="replays" onClick={() => go(address(["replays"], { new: "1", subscription: id }))}>
              {t.replay}
            </Button>
            <Button icon={paused ? "play" : "pause"} busy={toggling} onClick={() => void toggle()}>
              {paused ? t.resume : t.pause}
            </Button>
            <Button icon="trash" aria-label={t.delete} title={t.delete} onClick={() => setAsking("delete")} />
          </>
        )}
      </Head>
      {paused && <Note tone="warn">{t.isPaused}</Note>}
      {subscription.health?.state === "failing" && <FailingNote health={subscription.health} />}
      <EditProblem edited={edited} />
      <SubscriptionEditor
        draft={draft}
        onChange={edited.edit}
        id={id}
        faults={edited.faults}
        warnings={subscription.warnings ?? []}
        onRotate={write && subscription.signing ? () => setAsking("rotate") : undefined}
      />
      {write && <SaveBar edited={edited} />}
      {asking === "delete" && (
        <Confirm
          title={t.deleteTitle(subscription.name)}
          yes={t.deleteYes}
          onClose={() => setAsking(undefined)}
          act={async () => {
            await call("DELETE", path);
            setGuard(undefined);
            void refreshDirectory().catch(() => {});
            tell(t.deleted);
            go(address(["subscriptions"]));
          }}
        >
          <p>{t.deleteText}</p>
        </Confirm>
      )}
      {asking === "rotate" && (
        <Confirm
          title={t.rotateTitle}
          yes={t.rotateYes}
          danger={false}
          onClose={() => setAsking(undefined)}
          act={async () => {
            const next = await post<Subscription>(`${path}/signing/rotate`);
            if (next.signing_secret) setSecret(next.signing_secret);
            edited.reload();
          }}
        >
          <p>{t.rotateText}</p>
        </Confirm>
      )}
      {secret && <SecretDialog title={t.secretTitle} text={t.secretText} secret={secret} onClose={() => setSecret(undefined)} />}
    </>
  );
}

function FailingNote({ health }: { health: Health }) {
  return (
    <Note tone="bad">
      <p>
        {t.failing(health.consecutive_failures)} <Time at={health.since} />
        {health.last_outcome && <> ({texts.outcomes[health.last_outcome]?.[0] ?? health.last_outcome})</>}.{" "}
        {health.next_probe_at && (
          <>
            {t.nextProbe} <Time at={health.next_probe_at} ago />.
          </>
        )}
      </p>
      {health.suggestion && (
        <p>
          <Words text={sentence(health.suggestion)} />
        </p>
      )}
    </Note>
  );
}
