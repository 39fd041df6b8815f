// One test lead from the link to the partner's postback, each step as it happens.
import { useState } from "preact/hooks";
import { at, Failure, get, post } from "../api/client";
import type { Listed, Time as Moment } from "../api/types";
import { useDirectory } from "../directory";
import { useLive } from "../live";
import { address, go } from "../router";
import { rights } from "../session";
import { Button, CopyButton, FailureNote, Field, Note, Pill, Skeleton, Time, type Tone, useAction } from "../ui/basics";
import { tell } from "../ui/dialog";
import { sentence, Words } from "../ui/words";
import type { InboundCall } from "./calls";
import { PartnerField, usePartners } from "./codes";
import { isPercentage } from "./payout";
import { texts } from "./texts";
import { type Offer, type ReportedStatus, STATUSES } from "./types";

const t = texts.test;

interface Step {
  name: string;
  state: "waiting" | "passed" | "failed" | "skipped";
  detail: string;
  at: Moment | null;
}

interface TestRun {
  id: string;
  offer: string;
  partner: string;
  action: string;
  price: string | null;
  link: string;
  click: string | null;
  finished_at: Moment | null;
  steps: Step[];
}

const TONES: Record<Step["state"], Tone> = { waiting: "info", passed: "good", failed: "bad", skipped: "idle" };

export function TestMode({ offer, query }: { offer: Offer; query: Record<string, string> }) {
  return query.run ? <Run key={query.run} id={query.run} offer={offer} /> : <Start offer={offer} />;
}

function Start({ offer }: { offer: Offer }) {
  const partners = usePartners(offer);
  const [chosen, setChosen] = useState("");
  const partner = chosen || (partners?.length === 1 ? (partners[0] ?? "") : "");
  const [name, setName] = useState(offer.actions[0]?.name ?? "");
  const [price, setPrice] = useState("100.00");
  const [failure, setFailure] = useState<Failure>();
  const action = offer.actions.find((item) => item.name === name);
  const priced = action !== undefined && isPercentage(action);
  const [start, starting] = useAction(async () => {
    setFailure(undefined);
    try {
      const run = await post<TestRun>(at`/v1/offers/${offer.id}/test-runs`, { partner, action: name, price: priced ? price : undefined });
      go(address(["offers", offer.id, "test"], { run: run.id }));
    } catch (error) {
      setFailure(Failure.of(error));
    }
  });
  return (
    <section class="card offer-form" aria-label={t.title}>
      <h2>{t.title}</h2>
      <p class="muted">{t.sub}</p>
      {partners?.length === 0 ? (
        <Note tone="warn">{t.noPartner}</Note>
      ) : (
        <form
          class="start-run"
          onSubmit={(event) => {
            event.preventDefault();
            void start();
          }}
        >
          <PartnerField partners={partners} value={partner} onChange={setChosen} hint={t.partnerHint} />
          <div class="two">
            <Field label={t.action}>
              {(ids) => (
                <select {...ids} value={name} onChange={(event) => setName(event.currentTarget.value)}>
                  {offer.actions.map((item) => (
                    <option key={item.name}>{item.name}</option>
                  ))}
                </select>
              )}
            </Field>
            {priced && (
              <Field label={t.price} hint={t.priceHint}>
                {(ids) => (
                  <span class="with-unit">
                    <input {...ids} required inputMode="decimal" value={price} onInput={(event) => setPrice(event.currentTarget.value)} />
                    <span class="muted">{offer.currency}</span>
                  </span>
                )}
              </Field>
            )}
          </div>
          {failure && <FailureNote failure={failure} />}
          {rights().write && (
            <div class="form-actions left">
              <Button kind="primary" icon="play" type="submit" busy={starting} disabled={!partner || !name}>
                {t.start}
              </Button>
            </div>
          )}
        </form>
      )}
    </section>
  );
}

function Run({ id, offer }: { id: string; offer: Offer }) {
  const { data: run, failure, again } = useLive(`test run ${id}`, (signal) => get<TestRun>(at`/v1/test-runs/${id}`, {}, signal), 1000);
  const recorded = run?.steps.some((step) => step.name === "lead_recorded" && step.state === "passed");
  const { data: lead } = useLive(
    `lead of ${run?.click} ${recorded}`,
    async (signal) => (run?.click && recorded ? (await get<Listed<InboundCall>>("/v1/inbound-calls", { click: run.click }, signal)).data.find((call) => call.lead)?.lead : undefined),
    0,
  );
  const [problem, setProblem] = useState<Failure>();
  const act = async (what: () => Promise<unknown>, told: string) => {
    setProblem(undefined);
    try {
      await what();
      tell(told);
    } catch (error) {
      setProblem(Failure.of(error));
    }
    again();
  };
  const [report, reporting] = useAction((status: ReportedStatus) => act(() => post(at`/v1/test-runs/${id}/report`, { status }), t.reported));
  const [finish, finishing] = useAction(() => act(() => post(at`/v1/test-runs/${id}/finish`), t.finished));
  if (!run) return failure ? <FailureNote failure={failure} again={again} /> : <Skeleton />;
  const opened = run.steps.some((step) => step.name === "link_opened" && step.state === "passed");
  const done = run.steps.every((step) => step.state === "passed" || step.state === "skipped");
  const { write } = rights();
  return (
    <div class="offer-form">
      <section class="card" aria-label={t.link}>
        <div class="card-head">
          <h2>{t.link}</h2>
          <span class="muted">
            {t.runs} <b>{run.partner}</b>, {run.action}
            {run.price && `, ${run.price} ${offer.currency}`}
          </span>
        </div>
        <p class="muted">{t.linkHint}</p>
        <div class="secret">
          <code>{run.link}</code>
          <CopyButton text={run.link} />
          <a class="button" href={/^https?:/.test(run.link) ? run.link : undefined} target="_blank" rel="noopener noreferrer">
            {t.openLink}
          </a>
        </div>
      </section>
      {problem && <FailureNote failure={problem} />}
      {done && <Note tone="good">{t.done}</Note>}
      <section class="card" aria-label={t.title}>
        <ol class="run-steps">
          {run.steps.map((step) => (
            <li key={step.name}>
              <Pill tone={TONES[step.state]}>{t.states[step.state] ?? step.state}</Pill>
              <div>
                <b>{t.steps[step.name] ?? step.name}</b>
                <p class="muted">
                  <Detail text={step.detail} />
                </p>
                {step.name === "report_received" && run.click && step.state !== "waiting" && <a href={address(["inbound-calls"], { click: run.click })}>{t.seeReports}</a>}
                {step.name === "lead_recorded" && lead && <a href={address(["actions", lead, run.partner])}>{t.seeAction}</a>}
              </div>
              <Time at={step.at} />
            </li>
          ))}
        </ol>
      </section>
      {write && !run.finished_at && (
        <section class="card" aria-label={t.play}>
          <h2>{t.play}</h2>
          <p class="muted">{t.playHint}</p>
          <div class="form-actions left">
            {STATUSES.map((status) => (
              <Button key={status} busy={reporting} disabled={!opened} onClick={() => void report(status)}>
                {t.report(status)}
              </Button>
            ))}
          </div>
        </section>
      )}
      {write && (
        <div class="form-actions left">
          {!run.finished_at && (
            <Button busy={finishing} title={t.finishHint} onClick={() => void finish()}>
              {t.finish}
            </Button>
          )}
          <Button onClick={() => go(address(["offers", offer.id, "test"]))}>{t.again}</Button>
        </div>
      )}
    </div>
  );
}

/** What a step says, with the things that it names as links. */
function Detail({ text }: { text: string }) {
  const { subscriptions } = useDirectory();
  return (
    <>
      {sentence(text)
        .split(/\b(sub_\w+)/)
        .map((part, index) => (index % 2 === 1 ? <a key={index} href={address(["subscriptions", part])}>{subscriptions.get(part)?.name ?? part}</a> : <Words key={index} text={part} />))}
    </>
  );
}
