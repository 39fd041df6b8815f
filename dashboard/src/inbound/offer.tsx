// One offer: its settings, the codes that report to it, and a test of it. And a new one.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { at, call, Failure, post } from "../api/client";
import { refreshDirectory, useDirectory } from "../directory";
import { useEdited, useLeaveGuard } from "../edited";
import { address, go, setGuard } from "../router";
import { chosenAccount, rights, session } from "../session";
import { texts as common } from "../texts";
import { Button, CopyButton, Empty, FailureNote, Head, Note, Skeleton, Time, useAction } from "../ui/basics";
import { attempt, Confirm, tell } from "../ui/dialog";
import { EditProblem, SaveBar } from "../ui/save-bar";
import { Codes } from "./codes";
import { draftOfOffer, emptyOffer, offerBody } from "./offer-draft";
import { OfferForm } from "./offer-form";
import { OfferState } from "./offers";
import { TestMode } from "./test-mode";
import { texts } from "./texts";
import type { Offer, OfferDraft } from "./types";

const t = texts.offer;
const back: [string, string] = [address(["offers"]), common.sections.offers];
const TABS = ["settings", "codes", "test"] as const;

export function OfferScreen({ id, tab, query }: { id: string; tab: string | undefined; query: Record<string, string> }) {
  const path = at`/v1/offers/${id}`;
  const { saved: offer, draft, ...edited } = useEdited<Offer, OfferDraft>(path, draftOfOffer, offerBody, (_, written) => written && tell(t.saved));
  const [asking, setAsking] = useState(false);
  const [toggle, toggling] = useAction(async () => {
    const state = offer?.state === "paused" ? "active" : "paused";
    await attempt(async () => {
      const { body, etag } = await call<Offer>("PATCH", path, { body: { state } });
      // What is being edited stays.
      if (draft) edited.adopt(body, etag, { ...draft, state });
      tell(state === "paused" ? t.pausedNow : t.resumedNow);
    });
  });
  if (!offer || !draft) {
    return (
      <>
        <Head title={common.sections.offers} back={back} />
        {edited.failure ? <FailureNote failure={edited.failure} /> : <Skeleton rows={10} />}
      </>
    );
  }
  const { write } = rights();
  const paused = offer.state === "paused";
  const present = TABS.find((name) => name === tab) ?? "settings";
  const shown: Record<(typeof TABS)[number], () => ComponentChildren> = {
    settings: () => (
      <div class="offer-form">
        <EditProblem edited={edited} />
        <OfferForm draft={draft} onChange={edited.edit} faults={edited.faults} readOnly={!write} isNew={false} accounts={[]} />
        {write && <SaveBar edited={edited} />}
      </div>
    ),
    codes: () => <Codes offer={offer} query={query} />,
    test: () => <TestMode offer={offer} query={query} />,
  };
  return (
    <>
      <Head
        title={offer.name}
        back={back}
        sub={
          <span class="facts">
            <OfferState state={offer.state} />
            <span>
              {common.account} <b>{offer.account}</b>
            </span>
            <code>{offer.id}</code>
            <CopyButton text={offer.id} label={common.copy.id} />
            <span class="muted">
              {t.version(offer.version)} <Time at={offer.updated_at} />
            </span>
          </span>
        }
      >
        {write && (
          <>
            <Button icon={paused ? "play" : "pause"} busy={toggling} onClick={() => void toggle()}>
              {paused ? t.resume : t.pause}
            </Button>
            <Button icon="trash" aria-label={t.delete} title={t.delete} onClick={() => setAsking(true)} />
          </>
        )}
      </Head>
      {paused && <Note tone="warn">{t.isPaused}</Note>}
      <nav class="subnav" aria-label={offer.name}>
        {TABS.map((name) => (
          <a key={name} href={address(["offers", id, ...(name === "settings" ? [] : [name])])} aria-current={name === present ? "page" : undefined}>
            {t.tabs[name]}
          </a>
        ))}
      </nav>
      {shown[present]()}
      {asking && (
        <Confirm
          title={t.deleteTitle(offer.name)}
          yes={t.deleteYes}
          onClose={() => setAsking(false)}
          act={async () => {
            await call("DELETE", path);
            setGuard(undefined);
            void refreshDirectory().catch(() => {});
            tell(t.deleted);
            go(address(["offers"]));
          }}
        >
          <p>{t.deleteText}</p>
        </Confirm>
      )}
    </>
  );
}

export function NewOffer() {
  const now = session.get();
  const { accounts } = useDirectory();
  const only = now.state === "in" && now.me.accounts !== "all" ? now.me.accounts[0] : undefined;
  if (!rights().write) return <Empty title={common.notFound.title}>{texts.offers.emptyRead}</Empty>;
  const owner = only ?? (chosenAccount.get() || accounts[0]?.id);
  if (!owner) {
    return (
      <Empty
        title={texts.offers.toAccounts}
        action={
          <a class="button primary" href={address(["accounts"])}>
            {common.sections.accounts}
          </a>
        }
      >
        {texts.offers.noAccount}
      </Empty>
    );
  }
  return <Create owner={owner} key={owner} />;
}

function Create({ owner }: { owner: string }) {
  const { accounts } = useDirectory();
  const [draft, setDraft] = useState(() => emptyOffer(owner));
  const [failure, setFailure] = useState<Failure>();
  useLeaveGuard(draft.name !== "" || draft.landing_url !== "");
  const [save, saving] = useAction(async () => {
    setFailure(undefined);
    try {
      const made = await post<Offer>("/v1/offers", offerBody(draft));
      setGuard(undefined);
      void refreshDirectory().catch(() => {});
      tell(t.created);
      go(address(["offers", made.id, "codes"]));
    } catch (error) {
      setFailure(Failure.of(error));
    }
  });
  const ready = Boolean(draft.id && draft.name && draft.landing_url && draft.account);
  return (
    <>
      <Head title={t.new} back={back} />
      <div class="offer-form">
        {failure && <FailureNote failure={failure} />}
        <OfferForm
          draft={draft}
          onChange={(next) => {
            setDraft(next);
            setFailure(undefined);
          }}
          faults={failure?.errors ?? []}
          readOnly={false}
          isNew
          accounts={accounts}
        />
        <div class="save-bar on">
          <Button kind="primary" busy={saving} disabled={!ready} onClick={() => void save()}>
            {t.create}
          </Button>
          {!ready && <span class="muted">{t.needs}</span>}
        </div>
      </div>
    </>
  );
}
