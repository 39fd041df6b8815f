// The clicks that partner links brought, and one of them.
import { at, get } from "../api/client";
import { useLive } from "../live";
import { address, go } from "../router";
import { texts as common } from "../texts";
import { CopyButton, Fact, Facts, FailureNote, Head, Pill, Skeleton, Time } from "../ui/basics";
import { accountColumn, LiveList, SelectFilter, TextFilter } from "../ui/live-list";
import "./style.css";
import { texts } from "./texts";
import type { Click } from "./types";
import { useOffers } from "./use-offers";

const t = texts.clicks;
const NAMES = ["sub_id1", "sub_id2", "sub_id3", "shared_id", "promo_id", "promo_code", "campaign_id", "traffic_source", "utm_source", "ip", "country", "user_agent", "referring_domain"] as const;

export function Clicks({ query }: { query: Record<string, string> }) {
  const offers = useOffers();
  const subIds = (item: Click) => [item.sub_id1, item.sub_id2, item.sub_id3].filter(Boolean).join(" · ");
  return (
    <LiveList<Click>
      title={t.title}
      sub={t.sub}
      place={["clicks"]}
      path="/v1/clicks"
      query={query}
      filters={["offer"]}
      controls={(show) => (
        <>
          <TextFilter label={t.find} placeholder={t.find} value="" onChange={(id) => id && go(address(["clicks", id]))} />
          <SelectFilter label={t.offer} any={t.anyOffer} value={query.offer} options={offers} onChange={(offer) => show({ offer })} />
        </>
      )}
      columns={[
        {
          name: t.id,
          class: "grow",
          cell: (item) => (
            <a class="row-link cut num" href={address(["clicks", item.id])}>
              {item.id}
            </a>
          ),
        },
        ...accountColumn<Click>(),
        { name: t.offer, cell: (item) => <span class="cut short">{item.offer}</span> },
        { name: t.subIds, class: "wide-only", cell: (item) => <span class="cut short">{subIds(item) || "–"}</span> },
        { name: t.country, class: "wide-only", cell: (item) => item.country ?? <span class="muted">–</span> },
        { name: t.at, class: "right", cell: (item) => <Time at={item.at} /> },
      ]}
      csv={(["id", "account", "offer", "at", ...NAMES, "landing_url"] as const).map((name) => ({ name, value: (item: Click) => item[name] }))}
      empty={{
        title: t.emptyTitle,
        text: t.emptyText,
        action: (
          <a class="button" href={address(["offers"])}>
            {texts.calls.toOffers}
          </a>
        ),
      }}
      noneFits={{ title: t.noneFits }}
    />
  );
}

export function ClickScreen({ id }: { id: string }) {
  const { data: item, failure, again } = useLive(`click ${id}`, (signal) => get<Click>(at`/v1/clicks/${id}`, {}, signal), 0);
  const back: [string, string] = [address(["clicks"]), t.title];
  if (!item) {
    return (
      <>
        <Head title={t.id} back={back} />
        {failure ? <FailureNote failure={failure} again={again} /> : <Skeleton />}
      </>
    );
  }
  return (
    <>
      <Head
        title={item.id}
        back={back}
        sub={
          <span class="facts">
            {item.test && <Pill tone="info">{t.test}</Pill>}
            <span>
              {common.account} <b>{item.account}</b>
            </span>
            <CopyButton text={item.id} label={common.copy.id} />
          </span>
        }
      >
        <a class="button" href={address(["inbound-calls"], { click: item.id })}>
          {t.reports}
        </a>
      </Head>
      <Facts>
        <Fact name={t.at}>
          <Time at={item.at} />
        </Fact>
        <Fact name={t.offer}>
          <a href={address(["offers", item.offer])}>{item.offer}</a>
        </Fact>
      </Facts>
      <section class="card">
        <h2>{t.facts}</h2>
        <table class="pairs">
          <tbody>
            {NAMES.filter((name) => item[name]).map((name) => (
              <tr key={name}>
                <th scope="row">{t.names[name]}</th>
                <td>{item[name]}</td>
              </tr>
            ))}
            {item.landing_url && (
              <tr>
                <th scope="row">{t.sentTo}</th>
                <td>{item.landing_url}</td>
              </tr>
            )}
          </tbody>
        </table>
      </section>
    </>
  );
}
