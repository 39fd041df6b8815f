// How it goes: throughput, success, latency, backlog, and what needs a person.
import { useRef } from "preact/hooks";
import { get } from "../api/client";
import type { Node, Stats, SubscriptionStats } from "../api/types";
import { count, milliseconds, percent, relative, steady, steadyRate } from "../format";
import { useLive } from "../live";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, OutcomePill, Skeleton, StatePill, Steady, Time } from "../ui/basics";
import { StackedBars } from "../ui/chart";
import { Icon } from "../ui/icon";
import { Records } from "../ui/records";

/** Length and step in seconds. The server keeps minutes for three hours and hours for three days. */
const RANGES = { "1h": [3600, 60], "3h": [10_740, 60], "24h": [86_400, 3600], "3d": [255_600, 3600] } as const;
type Range = keyof typeof RANGES;
const isRange = (text: string | undefined): text is Range => text !== undefined && text in RANGES;

export function Overview({ query }: { query: Record<string, string> }) {
  const range = isRange(query.range) ? query.range : "1h";
  const [length_s, step_s] = RANGES[range];
  const account = chosenAccount.get();
  const { data: stats, failure, again } = useLive(`stats ${account} ${range}`, (signal) => {
    const since = new Date(Date.now() - length_s * 1000);
    return get<Stats>("/v1/stats", { account, since: since.toISOString(), step_s }, signal);
  });
  // Waited for, so that the cards below theirs do not move when they come.
  const { data: nodes, failure: unknownNodes } = useLive("nodes", readNodes, 5000);
  return (
    <>
      <Head title={texts.sections.overview}>
        <label class="inline">
          <span class="offscreen">{texts.overview.range}</span>
          <select value={range} onChange={(event) => go(address(["overview"], { range: event.currentTarget.value }), "replace")}>
            {(Object.keys(RANGES) as Range[]).map((name) => (
              <option key={name} value={name}>
                {texts.overview.ranges[name]}
              </option>
            ))}
          </select>
        </label>
      </Head>
      {failure && <FailureNote failure={failure} again={again} />}
      {!(stats && (nodes || unknownNodes)) && !failure && <Skeleton rows={8} />}
      {stats && (nodes || unknownNodes) && <Numbers stats={stats} range={range} nodes={nodes ?? []} />}
    </>
  );
}

const readNodes = async (signal: AbortSignal): Promise<Node[]> => (rights().operator ? (await get<{ data: Node[] }>("/v1/nodes", {}, signal)).data : []);

function Numbers({ stats, range, nodes }: { stats: Stats; range: Range; nodes: Node[] }) {
  const { totals, series } = stats;
  if (totals.accepted === 0 && stats.subscriptions.length === 0) return <FirstSteps />;
  const troubled = stats.subscriptions.filter(inTrouble);
  const late = stats.oldest_due_at && new Date(stats.oldest_due_at).getTime() < Date.now() - 60_000;
  return (
    <>
      <div class="tiles">
        <Tile label={texts.overview.success} value={percent(stats.success_share)} sub={texts.overview.attempts(count(totals.attempts))} />
        <Tile
          label={texts.overview.latency}
          value={milliseconds(stats.latency_ms?.p95)}
          sub={stats.latency_ms ? texts.overview.latencies(milliseconds(stats.latency_ms.p50), milliseconds(stats.latency_ms.p99)) : texts.overview.noLatency}
        />
        <Tile
          label={texts.overview.backlog}
          value={count(totals.waiting)}
          sub={
            stats.oldest_due_at ? (
              <span class={late ? "bad" : ""}>{texts.overview.oldest(relative(stats.oldest_due_at))}</span>
            ) : (
              texts.overview.nothingDue
            )
          }
          href={address(["deliveries"], { state: "pending" })}
        />
        <Tile
          label={texts.overview.dead}
          value={count(totals.dead)}
          tone={totals.dead > 0 ? "bad" : undefined}
          sub={texts.overview.deadHint}
          href={address(["deliveries"], { state: "dead" })}
        />
        <Tile
          label={texts.overview.attention}
          value={count(troubled.length)}
          tone={troubled.length > 0 ? "bad" : undefined}
          sub={troubled.length > 0 ? texts.overview.ofSubscriptions(stats.subscriptions.length) : texts.overview.allWell}
          onClick={() => document.getElementById("attention")?.scrollIntoView({ behavior: "smooth" })}
        />
      </div>
      <section class="card">
        <h2>{texts.overview.throughput}</h2>
        <StackedBars
          label={texts.overview.chart(texts.overview.ranges[range] ?? "")}
          times={series.map((point) => point.at)}
          // The attempt by which a delivery is given up is counted with it, not twice.
          layers={[
            { name: texts.overview.delivered, tone: "good", values: series.map((point) => point.delivered) },
            { name: texts.overview.failedAttempts, tone: "warn", values: series.map((point) => Math.max(0, point.failed_attempts - point.dead)) },
            { name: texts.overview.died, tone: "bad", values: series.map((point) => point.dead) },
          ]}
        />
      </section>
      <Nodes nodes={nodes} />
      <Health subscriptions={stats.subscriptions} />
      <Attention items={troubled} />
    </>
  );
}

function Tile({ label, value, sub, href, tone, onClick }: { label: string; value: string; sub: preact.ComponentChildren; href?: string; tone?: string; onClick?: () => void }) {
  const inside = (
    <>
      <span class="tile-label">{label}</span>
      <span class={`tile-value num ${tone ?? ""}`}>{value}</span>
      <span class="tile-sub num">{sub}</span>
    </>
  );
  if (onClick) {
    return (
      <button type="button" class="tile" onClick={onClick}>
        {inside}
      </button>
    );
  }
  return href ? (
    <a class="tile" href={href}>
      {inside}
    </a>
  ) : (
    <div class="tile">{inside}</div>
  );
}

/** Who needs a person. */
const inTrouble = (item: SubscriptionStats) => item.health === "failing" || (item.state === "paused" && item.waiting > 0) || item.dead > 0;

/** Stands last, since it grows and shrinks; the tile above has its number. */
function Attention({ items: found }: { items: SubscriptionStats[] }) {
  return (
    <section class="card" id="attention" tabIndex={-1}>
      <h2>{texts.overview.attention}</h2>
      {found.length === 0 ? (
        <p class="calm">
          <Icon name="check" />
          {texts.overview.allWell}
        </p>
      ) : (
        <ul class="attention">
          {found.slice(0, 8).map((item) => (
            <li key={item.id}>
              <StatePill state={item.state === "paused" ? "paused" : item.health === "failing" ? "failing" : "dead"} />
              <div>
                <a href={address(["subscriptions", item.id])}>{item.name}</a>
                <p class="muted">{texts.overview.why(item)}</p>
              </div>
              {item.dead > 0 ? (
                <a class="button" href={address(["deliveries"], { subscription: item.id, state: "dead" })}>
                  {texts.overview.seeDead}
                </a>
              ) : (
                <a class="button" href={address(["deliveries"], { subscription: item.id, state: "pending" })}>
                  {texts.overview.seeWaiting}
                </a>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** The order in which the items were first seen, so that rows do not change places while somebody reads; further ones follow. */
function useSteadyOrder<T extends { id: string }>(items: T[]): T[] {
  const seen = useRef<string[]>([]);
  const known = new Map(items.map((item) => [item.id, item]));
  seen.current = [...seen.current.filter((id) => known.has(id)), ...items.map((item) => item.id).filter((id) => !seen.current.includes(id))];
  return seen.current.flatMap((id) => known.get(id) ?? []);
}

function Health({ subscriptions }: { subscriptions: SubscriptionStats[] }) {
  const busiest = useSteadyOrder([...subscriptions].sort((a, b) => b.waiting - a.waiting || b.attempts_per_minute - a.attempts_per_minute || a.id.localeCompare(b.id)));
  if (subscriptions.length === 0) return null;
  return (
    <section class="card flush">
      <h2>{texts.overview.bySubscription}</h2>
      <Records
        fixed
        rows={busiest.slice(0, 20)}
        columns={[
          { name: texts.subscriptions.name, class: "name-column", cell: (item) => <a href={address(["subscriptions", item.id])}>{item.name}</a> },
          { name: texts.subscriptions.health, cell: (item) => <StatePill state={item.state === "paused" ? "paused" : item.health} /> },
          { name: texts.overview.rate, class: "right num", cell: (item) => <Steady text={steadyRate(item.attempts_per_minute)} /> },
          { name: texts.subscriptions.waiting, class: "right num", cell: (item) => <Steady text={steady(item.waiting)} /> },
          { name: texts.overview.delivered, class: "right num", cell: (item) => <Steady text={steady(item.delivered)} /> },
          { name: texts.overview.dead, class: "right num", cell: (item) => <Steady text={steady(item.dead)} /> },
          { name: texts.deliveries.lastOutcome, class: "outcome-column", cell: (item) => (item.last_outcome ? <OutcomePill outcome={item.last_outcome} /> : <span class="muted">–</span>) },
          { name: texts.overview.oldestDue, class: "when-column", cell: (item) => <Time at={item.oldest_due_at} ago /> },
        ]}
      />
      {busiest.length > 20 && (
        <p class="more">
          <a href={address(["subscriptions"])}>{texts.overview.all(busiest.length)}</a>
        </p>
      )}
    </section>
  );
}

/** Who shares the store. One node alone is no news. */
function Nodes({ nodes }: { nodes: Node[] }) {
  if (nodes.length < 2) return null;
  const state = (node: Node) => (!node.live ? "gone" : node.leaving ? "leaving" : "live");
  return (
    <section class="card flush">
      <h2>{texts.nodes.title}</h2>
      <Records
        fixed
        rows={nodes}
        columns={[
          { name: texts.nodes.address, class: "name-column", cell: (node) => `${node.address}${node.is_this ? ` (${texts.nodes.isThis})` : ""}` },
          { name: texts.nodes.state, cell: (node) => <StatePill state={state(node)} /> },
          { name: texts.nodes.roles, cell: (node) => node.roles.map((role) => texts.nodes.role[role] ?? role).join(", ") },
          { name: texts.nodes.lanes, class: "right num", cell: (node) => <Steady text={steady(node.lanes)} /> },
          { name: texts.nodes.inFlight, class: "right num", cell: (node) => <Steady text={steady(node.in_flight)} /> },
          { name: texts.nodes.version, cell: (node) => node.version },
          { name: texts.nodes.lastBeat, class: "when-column", cell: (node) => <Time at={node.last_beat_at} ago /> },
        ]}
      />
    </section>
  );
}

function FirstSteps() {
  const { write } = rights();
  return (
    <Empty
      title={texts.overview.firstTitle}
      action={
        write && (
          <Button kind="primary" icon="plus" onClick={() => go(address(["subscriptions", "new"]))}>
            {texts.subscriptions.create}
          </Button>
        )
      }
    >
      <p>{texts.overview.firstText}</p>
      <ol class="steps">
        {texts.overview.firstSteps.map((step) => (
          <li key={step}>{step}</li>
        ))}
      </ol>
    </Empty>
  );
}
