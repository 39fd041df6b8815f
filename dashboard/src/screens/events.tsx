// Every event; an action is found by any field.
import { useRef, useState } from "preact/hooks";
import { getExact } from "../api/client";
import type { Listed, PostriderEvent } from "../api/types";
import { count, fromLocalInput, toLocalInput } from "../format";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { useEventTypes } from "../subscription/use-catalogue";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, Skeleton, Time } from "../ui/basics";
import { VirtualTable } from "../ui/virtual-table";
import { PAGE, usePages } from "./delivery-pages";

const t = texts.events;

export function Events({ query }: { query: Record<string, string> }) {
  const { type, since, until, field, value } = query;
  const account = chosenAccount.get();
  const types = useEventTypes();
  const view = useRef<{ top: boolean; first: string | undefined }>({ top: true, first: undefined });
  const filter: Record<string, string | undefined> = { account, type, since, until, ...(field && value ? { [`data.${field}`]: value } : {}) };
  const pages = usePages<PostriderEvent>(
    JSON.stringify(filter),
    (cursor, signal) => getExact<Listed<PostriderEvent>>("/v1/events", { ...filter, limit: PAGE, cursor }, signal),
    () => view.current,
  );
  const show = (change: Record<string, string | undefined>) => go(address(["events"], { ...query, ...change }), "replace");
  const filtered = Boolean(type || since || until || (field && value));
  const manyAccounts = rights().allAccounts && !account;
  const fields = [...new Set(types.flatMap((item) => item.fields.map((field) => field.name)))].sort();
  return (
    <div class="fill">
      <Head title={texts.sections.events} sub={t.sub} />
      <div class="filters">
        <FieldSearch key={`${field} ${value}`} field={field ?? "ActionId"} value={value ?? ""} fields={fields} onSearch={(field, value) => show(value ? { field, value } : { field: undefined, value: undefined })} />
        <label>
          <span class="offscreen">{t.type}</span>
          <select value={type ?? ""} onChange={(event) => show({ type: event.currentTarget.value })}>
            <option value="">{t.anyType}</option>
            {types.map((item) => (
              <option key={item.type}>{item.type}</option>
            ))}
          </select>
        </label>
        <label class="inline">
          {texts.since}
          <input type="datetime-local" value={toLocalInput(since)} onChange={(event) => show({ since: fromLocalInput(event.currentTarget.value) })} />
        </label>
        <label class="inline">
          {texts.until}
          <input type="datetime-local" value={toLocalInput(until)} onChange={(event) => show({ until: fromLocalInput(event.currentTarget.value) })} />
        </label>
        {filtered && (
          <Button kind="quiet" icon="close" onClick={() => go(address(["events"]), "replace")}>
            {texts.deliveries.clear}
          </Button>
        )}
        <span class="live muted" role="status">
          {pages.ready && texts.deliveries.loaded(count(pages.rows.length), pages.complete)}
        </span>
      </div>
      {field && value && field === "ActionId" && pages.rows.length > 0 && (
        <p class="see-action">
          <a href={address(["actions", value, pages.rows[0]?.account ?? ""])}>{t.wholeLife(value)}</a>
        </p>
      )}
      {pages.failure && <FailureNote failure={pages.failure} again={pages.restart} />}
      {!pages.ready && <Skeleton rows={10} />}
      {pages.ready && pages.rows.length === 0 && !pages.failure && (
        <Empty title={filtered ? t.noneFits : t.emptyTitle} action={filtered && <Button onClick={() => go(address(["events"]), "replace")}>{texts.deliveries.clear}</Button>}>
          {filtered ? t.noneFitsText : <Emit account={account} />}
        </Empty>
      )}
      {pages.rows.length > 0 && (
        <VirtualTable
          label={texts.sections.events}
          columns={[
            { name: t.type },
            { name: t.action, class: "grow" },
            ...(manyAccounts ? [{ name: texts.account, class: "wide-only" }] : []),
            { name: t.status },
            { name: t.occurred },
            { name: t.received, class: "right" },
          ]}
          rows={pages.rows}
          complete={pages.complete}
          onEnd={pages.more}
          onView={(first, top) => (view.current = { first: first?.id, top })}
          end={!pages.complete && <p class="nothing">{texts.loading}</p>}
          row={(item) => (
            <>
              <td>
                <a class="row-link" href={address(["events", item.id])}>
                  {item.type}
                </a>
              </td>
              <td class="grow">
                <span class="cut">{item.data.ActionId === undefined ? <span class="muted">–</span> : String(item.data.ActionId)}</span>
              </td>
              {manyAccounts && <td class="wide-only">{item.account}</td>}
              <td>{item.data.Status === undefined ? <span class="muted">–</span> : <span class="cut short">{String(item.data.Status)}</span>}</td>
              <td>
                <Time at={item.occurred_at} />
              </td>
              <td class="right">
                <Time at={item.received_at} />
              </td>
            </>
          )}
        />
      )}
    </div>
  );
}

function FieldSearch({ field, value, fields, onSearch }: { field: string; value: string; fields: string[]; onSearch: (field: string, value: string) => void }) {
  const [name, setName] = useState(field);
  const [wanted, setWanted] = useState(value);
  return (
    <form
      class="field-search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onSearch(name.trim(), wanted.trim());
      }}
    >
      <input aria-label={t.field} list="event-fields" value={name} spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} />
      <datalist id="event-fields">
        {fields.map((item) => (
          <option key={item} value={item} />
        ))}
      </datalist>
      <input aria-label={t.value} type="search" value={wanted} spellcheck={false} placeholder={t.valuePlaceholder} onInput={(event) => setWanted(event.currentTarget.value)} />
      <Button type="submit" icon="search">
        {t.find}
      </Button>
    </form>
  );
}

/** What to do when there is no event yet. */
function Emit({ account }: { account: string }) {
  const command = `curl ${location.origin}/v1/events \\\n  -H 'Authorization: Bearer <key>' -H 'Content-Type: application/json' \\\n  -d '{"account": "${account.replaceAll("'", "") || "acme"}", "type": "action.tracked",\n       "data": {"ActionId": "1000.4636.158133", "Payout": 5.00, "Status": "PENDING"}}'`;
  return (
    <>
      <p>{t.emptyText}</p>
      <pre class="wrap left" tabIndex={0} role="region" aria-label={t.emptyCommand}>
        {command}
      </pre>
    </>
  );
}
