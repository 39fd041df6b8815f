// Who changed what, and when. What it was changed to is not kept.
import { useEffect, useState } from "preact/hooks";
import { Failure, get } from "../api/client";
import type { AuditEntry, Listed } from "../api/types";
import { fromLocalInput, toLocalInput } from "../format";
import { address, go } from "../router";
import { chosenAccount } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, Skeleton, Time } from "../ui/basics";
import { SelectFilter } from "../ui/live-list";
import { Records } from "../ui/records";

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
        <SelectFilter label={t.action} any={t.anyAction} value={query.action} options={Object.entries(t.actions)} onChange={(action) => show({ action })} />
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
          <Records
            rows={entries}
            columns={[
              { name: texts.time, cell: (entry) => <Time at={entry.at} /> },
              { name: t.action, cell: (entry) => t.actions[entry.action] ?? entry.action },
              {
                name: t.object,
                cell: (entry) => (
                  <>
                    <ObjectLink id={entry.object} action={entry.action} />
                    {entry.account && entry.account !== entry.object && <span class="muted"> {entry.account}</span>}
                  </>
                ),
              },
              {
                name: t.actor,
                cell: (entry) => (
                  <>
                    {entry.actor.name ?? entry.actor.key ?? <span class="muted">{t.nobody}</span>}
                    {entry.actor.address && <span class="muted num"> {entry.actor.address}</span>}
                  </>
                ),
              },
              { name: t.changes, cell: (entry) => <span class="types">{entry.changes.join(", ") || "–"}</span> },
            ]}
          />
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

function ObjectLink({ id, action }: { id: string | null; action: string }) {
  if (!id) return <span class="muted">–</span>;
  if (action.startsWith("offer.") && action !== "offer.deleted") return <a href={address(["offers", id])}>{id}</a>;
  const section = { sub: "subscriptions", dlv: "deliveries", evt: "events" }[id.split("_")[0] ?? ""];
  return section ? <a href={address([section, id])}>{id}</a> : <code>{id}</code>;
}
