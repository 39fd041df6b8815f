// One saved subscription: change it, pause it, delete it, and go to its deliveries.
import { useEffect, useState } from "preact/hooks";
import { at, call, Failure, post } from "../api/client";
import type { Health, Invalid, Subscription, SubscriptionSpec, Warning } from "../api/types";
import { refreshDirectory } from "../directory";
import { useLive } from "../live";
import { address, go, setGuard } from "../router";
import { rights } from "../session";
import { texts } from "../texts";
import { Button, CopyButton, FailureNote, Head, Note, Skeleton, StatePill, Time, useAction } from "../ui/basics";
import { attempt, Confirm, SecretDialog, tell } from "../ui/dialog";
import { sentence, Words } from "../ui/words";
import { bodyOf, specOf } from "./draft";
import { SubscriptionEditor } from "./editor";

const t = texts.subscription;

export function SubscriptionScreen({ id }: { id: string }) {
  const [saved, setSaved] = useState<{ subscription: Subscription; etag: string | null }>();
  const [draft, setDraft] = useState<SubscriptionSpec>();
  const [round, setRound] = useState(0);
  const [faults, setFaults] = useState<Invalid[]>([]);
  const [warnings, setWarnings] = useState<Warning[]>([]);
  const [problem, setProblem] = useState<Failure>();
  const [asking, setAsking] = useState<"delete" | "rotate">();
  const [secret, setSecret] = useState<string>();
  const { failure } = useLive(
    `subscription ${id} ${round}`,
    async (signal) => {
      const { body, etag } = await call<Subscription>("GET", at`/v1/subscriptions/${id}`, { signal });
      adopt(body, etag);
      return body;
    },
    0,
  );
  const adopt = (subscription: Subscription, etag: string | null) => {
    setSaved({ subscription, etag });
    setDraft(specOf(subscription));
    setWarnings(subscription.warnings ?? []);
    setFaults([]);
    setProblem(undefined);
    if (subscription.signing_secret) setSecret(subscription.signing_secret);
  };
  const changed = Boolean(saved && draft && JSON.stringify(bodyOf(draft)) !== JSON.stringify(bodyOf(specOf(saved.subscription))));
  useEffect(() => {
    setGuard(changed ? () => confirm(texts.unsaved) : undefined);
    const leaving = (event: BeforeUnloadEvent) => {
      if (changed) event.preventDefault();
    };
    window.addEventListener("beforeunload", leaving);
    return () => {
      window.removeEventListener("beforeunload", leaving);
      setGuard(undefined);
    };
  }, [changed]);
  const [save, saving] = useAction(async () => {
    if (!draft || !saved) return;
    try {
      const { body, etag } = await call<Subscription>("PUT", at`/v1/subscriptions/${id}`, { body: bodyOf(draft), ifMatch: saved.etag ?? undefined });
      adopt(body, etag);
      void refreshDirectory().catch(() => {});
      tell(t.saved);
    } catch (error) {
      const failed = Failure.of(error);
      setFaults(failed.errors);
      setProblem(failed);
    }
  });
  const [toggle, toggling] = useAction(async () => {
    const verb = saved?.subscription.state === "paused" ? "resume" : "pause";
    await attempt(async () => {
      const { body, etag } = await call<Subscription>("POST", `${at`/v1/subscriptions/${id}`}/${verb}`);
      // What is being edited stays.
      setSaved({ subscription: { ...body, signing_secret: undefined }, etag });
      if (draft) setDraft({ ...draft, state: body.state });
      tell(verb === "pause" ? t.pausedNow : t.resumedNow);
    });
  });
  const back: [string, string] = [address(["subscriptions"]), texts.sections.subscriptions];
  if (!saved || !draft) {
    return (
      <>
        <Head title={t.title} back={back} />
        {failure ? <FailureNote failure={failure} /> : <Skeleton rows={10} />}
      </>
    );
  }
  const { subscription } = saved;
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
      {problem && (
        <FailureNote
          failure={problem}
          again={problem.code === "version_mismatch" ? () => setRound(round + 1) : undefined}
        />
      )}
      <SubscriptionEditor
        draft={draft}
        onChange={(next) => {
          setDraft(next);
          setFaults([]);
          setProblem(undefined);
        }}
        id={id}
        faults={faults}
        warnings={warnings}
        onRotate={write && subscription.signing ? () => setAsking("rotate") : undefined}
      />
      {write && (
        <div class={`save-bar ${changed ? "on" : ""}`} inert={!changed}>
          <span>{t.unsaved}</span>
          <Button onClick={() => adopt(subscription, saved.etag)}>{t.discard}</Button>
          <Button kind="primary" busy={saving} onClick={() => void save()}>
            {t.save}
          </Button>
        </div>
      )}
      {asking === "delete" && (
        <Confirm
          title={t.deleteTitle(subscription.name)}
          yes={t.deleteYes}
          onClose={() => setAsking(undefined)}
          act={async () => {
            await call("DELETE", at`/v1/subscriptions/${id}`);
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
            const next = await post<Subscription>(at`/v1/subscriptions/${id}/signing/rotate`);
            if (next.signing_secret) setSecret(next.signing_secret);
            setRound(round + 1);
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
