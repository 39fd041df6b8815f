// All offers that the key sees.
import { all } from "../api/client";
import { useDirectory } from "../directory";
import { hostOf } from "../format";
import { useLive } from "../live";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { Button, Empty, FailureNote, Head, Pill, Skeleton } from "../ui/basics";
import { Records, SearchBox } from "../ui/records";
import { texts as common } from "../texts";
import "./style.css";
import { texts } from "./texts";
import type { Offer } from "./types";

const t = texts.offers;

export function OfferState({ state }: { state: Offer["state"] }) {
  return <Pill tone={state === "active" ? "good" : "idle"}>{state === "active" ? t.active : t.paused}</Pill>;
}

export function Offers({ query }: { query: Record<string, string> }) {
  const account = chosenAccount.get();
  const { data: offers, failure, again } = useLive(`offers ${account}`, (signal) => all<Offer>("/v1/offers", { account }, signal), 5000);
  const { accounts } = useDirectory();
  const { write, allAccounts } = rights();
  const create = write && (
    <Button kind="primary" icon="plus" onClick={() => go(address(["offers", "new"]))}>
      {t.create}
    </Button>
  );
  const wanted = (query.q ?? "").toLowerCase();
  const found = offers?.filter((item) => `${item.name} ${item.id} ${item.account} ${item.landing_url}`.toLowerCase().includes(wanted)) ?? [];
  const noAccount = allAccounts && offers?.length === 0 && accounts.length === 0;
  return (
    <>
      <Head title={common.sections.offers} sub={t.sub}>
        {!noAccount && create}
      </Head>
      {failure && <FailureNote failure={failure} again={again} />}
      {!offers && !failure && <Skeleton />}
      {offers?.length === 0 && (
        <Empty
          title={t.emptyTitle}
          action={
            noAccount ? (
              <a class="button primary" href={address(["accounts"])}>
                {t.toAccounts}
              </a>
            ) : (
              create
            )
          }
        >
          {write ? (
            <>
              <p>{t.emptyText}</p>
              <ol class="steps">
                {t.emptySteps.map((step) => (
                  <li key={step}>{step}</li>
                ))}
              </ol>
              {noAccount && <p>{t.noAccount}</p>}
            </>
          ) : (
            t.emptyRead
          )}
        </Empty>
      )}
      {offers && offers.length > 0 && (
        <>
          <div class="filters">
            <SearchBox label={t.search} value={query.q ?? ""} onInput={(q) => go(address(["offers"], { q }), "replace")}>
              <span class="muted num" aria-live="polite">
                {t.shown(found.length, offers.length)}
              </span>
            </SearchBox>
          </div>
          <div class="card flush">
            <Records
              rows={found}
              columns={[
                {
                  name: t.name,
                  cell: (item) => (
                    <>
                      <a href={address(["offers", item.id])}>{item.name}</a>
                      <span class="muted break">
                        {item.id}
                        {allAccounts && <> · {item.account}</>}
                      </span>
                    </>
                  ),
                },
                { name: t.state, cell: (item) => <OfferState state={item.state} /> },
                {
                  name: t.actions,
                  cell: (item) => (
                    <span class="types">
                      {item.actions.map((action) => `${action.name} ${action.rate} ${action.rate_type === "percent" || action.model === "percent" ? "%" : item.currency}`).join(", ")}
                    </span>
                  ),
                },
                { name: t.partners, cell: (item) => (item.partners === "all" ? <span class="muted">{t.allPartners}</span> : t.somePartners(item.partners.length)) },
                { name: t.landing, cell: (item) => <span class="break">{hostOf(item.landing_url)}</span> },
              ]}
            />
            {found.length === 0 && <p class="nothing">{t.noneFits}</p>}
          </div>
        </>
      )}
    </>
  );
}
