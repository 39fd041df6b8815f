// Who changed what, and when. What it was changed to is not kept.
import { useEffect, useState } from "preact/hooks";
import { Failure, get } from "../api/client";
import type { AuditEntry, Listed } from "../api/types";
import { fromLocalInput, toLocalInput } from "../format";
import { address, go } from "../router";
import { chosenAccount } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, Skeleton, Time } from "../ui/basics";

const t = texts.audit;

export function Audit({ query }: { query: Record<string, string> }) {
  const account = chosenAccount.get();
  const filter = { account, action: query.action, object: query.object, since: query.since, until: query.until };
  const key = JSON.stringify(filter);
  const [entries, setEntries] = useState<AuditEntry[]>();
  const [next, setNext] = useState<string | null>(null);
  const [failure, setFailure] = useState<Failure>();
  const read = async (cursor: string | undefined, signal?: AbortSignal) => {
    try {
      const page = await get<Listed<AuditEntry>>("/v1/audit", { ...filter, limit: 100, cursor }, signal);
      setEntries((old) => (cursor ? [...(old ?? []), ...page.data] : page.data));
      setNext(page.next_cursor);
      setFailure(undefined);
    } catch (error) {
      if (!signal?.aborted) setFailure(Failure.of(error));
    }
  };
  useEffect(() => {
    const abort = new AbortController();
    setEntries(undefined);
    void read(undefined, abort.signal);
    return () => abort.abort();
  }, [key]);
  const show = (change: Record<string, string | undefined>) => go(address(["audit"], { ...query, ...change }), "replace");
  return (
    <>
      <Head title={texts.sections.audit} sub={t.sub} />
      <div class="filters">
        <label>
          <span class="offscreen">{t.action}</span>
          <select value={query.action ?? ""} onChange={(event) => show({ action: event.currentTarget.value })}>
            <option value="">{t.anyAction}</option>
            {Object.entries(t.actions).map(([name, label]) => (
              <option key={name} value={name}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <label class="inline">
          {texts.since}
          <input type="datetime-local" value={toLocalInput(query.since)} onChange={(event) => show({ since: fromLocalInput(event.currentTarget.value) })} />
        </label>
        {query.object && (
          <Button kind="quiet" icon="close" onClick={() => show({ object: undefined })}>
            {query.object}
          </Button>
        )}
        <Button icon="replays" onClick={() => void read(undefined)}>
          {t.refresh}
        </Button>
      </div>
      {failure && <FailureNote failure={failure} />}
      {!entries && !failure && <Skeleton />}
      {entries?.length === 0 && <Empty title={t.emptyTitle}>{t.emptyText}</Empty>}
      {entries && entries.length > 0 && (
        <div class="card flush">
          <table class="rows stack">
            <thead>
              <tr>
                <th>{texts.time}</th>
                <th>{t.action}</th>
                <th>{t.object}</th>
                <th>{t.actor}</th>
                <th>{t.changes}</th>
              </tr>
            </thead>
            <tbody>
              {entries.map((entry) => (
                <tr key={entry.id}>
                  <td class="main-cell">
                    <Time at={entry.at} />
                  </td>
                  <td data-label={t.action}>{t.actions[entry.action] ?? entry.action}</td>
                  <td data-label={t.object}>
                    <ObjectLink id={entry.object} />
                    {entry.account && <span class="muted"> {entry.account}</span>}
                  </td>
                  <td data-label={t.actor}>
                    {entry.actor.name ?? entry.actor.key ?? <span class="muted">{t.nobody}</span>}
                    {entry.actor.address && <span class="muted num"> {entry.actor.address}</span>}
                  </td>
                  <td data-label={t.changes}>
                    <span class="types">{entry.changes.join(", ")}</span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {next && (
        <p class="or">
          <Button onClick={() => void read(next)}>{texts.more}</Button>
        </p>
      )}
    </>
  );
}

function ObjectLink({ id }: { id: string | null }) {
  if (!id) return <span class="muted">–</span>;
  const section = { sub: "subscriptions", dlv: "deliveries", evt: "events" }[id.split("_")[0] ?? ""];
  return section ? <a href={address([section, id])}>{id}</a> : <code>{id}</code>;
}
