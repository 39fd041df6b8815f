// Sending again what was sent or given up, in bulk: first counted, then started, watched, and stopped.
import { useEffect, useId, useState } from "preact/hooks";
import { all, at, Failure, post } from "../api/client";
import { type DeliveryState, DELIVERY_STATES, type Replay } from "../api/types";
import { useDirectory } from "../directory";
import { count, exactCount, fromLocalInput, seconds, toLocalInput } from "../format";
import { useLive } from "../live";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Field, Head, Note, Skeleton, StatePill, Time, useAction } from "../ui/basics";
import { attempt, Dialog, tell } from "../ui/dialog";

const t = texts.replays;
/** From so many requests on, the number must be typed. */
const TYPED_FROM = 1000;

export function Replays({ query }: { query: Record<string, string> }) {
  const account = chosenAccount.get();
  const { data: replays, failure, again } = useLive(`replays ${account}`, (signal) => all<Replay>("/v1/replays", { account }, signal, 200));
  const { subscriptions } = useDirectory(replays?.map((item) => item.subscription));
  const { write } = rights();
  const shown = replays?.filter((item) => !item.dry_run) ?? [];
  const close = () => go(address(["replays"]), "replace");
  const open = write && (
    <Button kind="primary" icon="replays" onClick={() => go(address(["replays"], { new: "1" }), "replace")}>
      {t.new}
    </Button>
  );
  return (
    <>
      <Head title={texts.sections.replays} sub={t.sub}>
        {open}
      </Head>
      {failure && <FailureNote failure={failure} again={again} />}
      {!replays && !failure && <Skeleton />}
      {replays && shown.length === 0 && (
        <Empty title={t.emptyTitle} action={open}>
          {t.emptyText}
        </Empty>
      )}
      <ul class="replays">
        {shown.map((item) => (
          <li key={item.id} class="card">
            <ReplayView replay={item} name={subscriptions.get(item.subscription)?.name ?? item.subscription} again={again} write={write} />
          </li>
        ))}
      </ul>
      {query.new && write && (
        <NewReplay
          query={query}
          onClose={close}
          onStarted={() => {
            close();
            again();
          }}
        />
      )}
    </>
  );
}

function ReplayView({ replay, name, again, write }: { replay: Replay; name: string; again: () => void; write: boolean }) {
  const passed = replay.done + replay.skipped;
  const running = replay.state === "running" || replay.state === "counting";
  return (
    <>
      <div class="card-head">
        <h2>
          <a href={address(["subscriptions", replay.subscription])}>{name}</a>
        </h2>
        <StatePill state={replay.state} />
      </div>
      <progress max={Math.max(1, replay.matched)} value={replay.state === "done" ? Math.max(1, replay.matched) : passed} aria-label={t.progress} />
      <p class="num">
        {t.done(count(replay.done), count(replay.matched))}
        {replay.skipped > 0 && <span class="muted"> · {t.skipped(count(replay.skipped))}</span>}
      </p>
      <p class="muted num">
        {replay.states.map((state) => texts.states[state]).join(", ")}
        {replay.since && (
          <>
            {" · "}
            {texts.since} <Time at={replay.since} />
          </>
        )}
        {replay.until && (
          <>
            {" · "}
            {texts.until} <Time at={replay.until} />
          </>
        )}
        {replay.per_second !== null && <> · {t.rate(replay.per_second)}</>}
        {" · "}
        {t.begun} <Time at={replay.created_at} />
        {replay.finished_at && (
          <>
            {" · "}
            {t.ended} <Time at={replay.finished_at} />
          </>
        )}
      </p>
      {running && write && (
        <Button
          onClick={() =>
            void attempt(async () => {
              await post(at`/v1/replays/${replay.id}/cancel`);
              tell(t.cancelled);
              again();
            })
          }
        >
          {t.cancel}
        </Button>
      )}
    </>
  );
}

function NewReplay({ query, onClose, onStarted }: { query: Record<string, string>; onClose: () => void; onStarted: () => void }) {
  const { subscriptions } = useDirectory();
  const account = chosenAccount.get();
  const choices = [...subscriptions.values()].filter((item) => !account || item.account === account);
  const [subscription, setSubscription] = useState(query.subscription ?? "");
  const [states, setStates] = useState<DeliveryState[]>(() => {
    const given = DELIVERY_STATES.filter((name) => query.states?.split(",").includes(name) && name !== "leased");
    return given.length > 0 ? given : ["dead"];
  });
  const [since, setSince] = useState(toLocalInput(query.since));
  const [until, setUntil] = useState(toLocalInput(query.until));
  const [rate, setRate] = useState("");
  const [matched, setMatched] = useState<number>();
  const [typed, setTyped] = useState("");
  const [failure, setFailure] = useState<Failure>();
  const id = useId();
  const question = { subscription, states, since: fromLocalInput(since), until: fromLocalInput(until), per_second: rate ? Number(rate) : undefined };
  const key = JSON.stringify(question);
  useEffect(() => {
    setMatched(undefined);
    setTyped("");
    setFailure(undefined);
  }, [key]);
  const [plan, planning] = useAction(async () => {
    setFailure(undefined);
    try {
      setMatched((await post<Replay>("/v1/replays", { ...question, dry_run: true })).matched);
    } catch (error) {
      setFailure(Failure.of(error));
    }
  });
  const [start, starting] = useAction(async () => {
    try {
      await post<Replay>("/v1/replays", { ...question, dry_run: false });
      tell(t.started);
      onStarted();
    } catch (error) {
      setFailure(Failure.of(error));
    }
  });
  const target = subscriptions.get(subscription);
  const rates = [question.per_second, target?.max_requests_per_second ?? undefined].filter((n): n is number => typeof n === "number" && n > 0);
  const duration = matched && rates.length > 0 ? matched / Math.min(...rates) : undefined;
  const confirmed = matched !== undefined && (matched < TYPED_FROM || typed.replace(/\D/g, "") === String(matched));
  return (
    <Dialog title={t.new} onClose={onClose} wide>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void (matched === undefined ? plan() : confirmed && start());
        }}
      >
        <div class="dialog-body">
          <Field label={texts.deliveries.subscription}>
            {(ids) => (
              <select {...ids} required value={subscription} onChange={(event) => setSubscription(event.currentTarget.value)}>
                <option value="">{t.choose}</option>
                {choices.map((item) => (
                  <option key={item.id} value={item.id}>
                    {item.name}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <fieldset class="inline-checks">
            <legend>{t.states}</legend>
            {(["dead", "cancelled", "delivered"] as const).map((name) => (
              <label key={name} class="check">
                <input type="checkbox" checked={states.includes(name)} onChange={() => setStates(states.includes(name) ? states.filter((other) => other !== name) : [...states, name])} />
                <span>{t.stateChoices[name]}</span>
              </label>
            ))}
          </fieldset>
          {states.includes("delivered") && <Note tone="warn">{t.deliveredWarning}</Note>}
          <div class="three">
            <Field label={texts.since}>{(ids) => <input {...ids} type="datetime-local" value={since} onInput={(event) => setSince(event.currentTarget.value)} />}</Field>
            <Field label={texts.until}>{(ids) => <input {...ids} type="datetime-local" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />}</Field>
            <Field label={t.perSecond} hint={t.perSecondHint}>
              {(ids) => <input {...ids} type="number" min="0.01" step="any" value={rate} onInput={(event) => setRate(event.currentTarget.value)} />}
            </Field>
          </div>
          {failure && <FailureNote failure={failure} />}
          {matched !== undefined && (
            <div class="plan" role="status">
              <p class="plan-count num">{exactCount(matched)}</p>
              <p>{matched === 0 ? t.noMatch : t.plan(target?.name ?? "", duration === undefined ? undefined : seconds(duration))}</p>
              {matched >= TYPED_FROM && (
                <label for={id}>
                  {t.typeNumber(exactCount(matched))}
                  <input id={id} inputMode="numeric" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
                </label>
              )}
            </div>
          )}
        </div>
        <footer>
          <Button onClick={onClose}>{texts.cancel}</Button>
          {matched === undefined ? (
            <Button kind="primary" type="submit" busy={planning} disabled={!subscription || states.length === 0}>
              {t.count}
            </Button>
          ) : (
            <Button kind="primary" type="submit" icon="send" busy={starting} disabled={matched === 0 || !confirmed}>
              {t.start(exactCount(matched))}
            </Button>
          )}
        </footer>
      </form>
    </Dialog>
  );
}
