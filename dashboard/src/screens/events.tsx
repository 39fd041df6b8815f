// Every event; an action is found by any field.
import { useState } from "preact/hooks";
import { getExact } from "../api/client";
import type { Listed, PostriderEvent } from "../api/types";
import { type Json, writeExact } from "../exact-json";
import { address } from "../router";
import { chosenAccount } from "../session";
import { useEventTypes } from "../subscription/use-catalogue";
import { texts } from "../texts";
import { Button, Time } from "../ui/basics";
import { accountColumn, LiveList, SelectFilter } from "../ui/live-list";

const t = texts.events;

export function Events({ query }: { query: Record<string, string> }) {
  const { type, field, value } = query;
  const types = useEventTypes();
  const fields = [...new Set(types.flatMap((item) => item.fields.map((field) => field.name)))].sort();
  return (
    <LiveList<PostriderEvent>
      title={texts.sections.events}
      sub={t.sub}
      place={["events"]}
      path="/v1/events"
      read={getExact<Listed<PostriderEvent>>}
      query={query}
      filters={["type", "value"]}
      asked={{ type, ...(field && value ? { [`data.${field}`]: value } : {}) }}
      controls={(show) => (
        <>
          <FieldSearch key={`${field} ${value}`} field={field ?? "ActionId"} value={value ?? ""} fields={fields} onSearch={(field, value) => show(value ? { field, value } : { field: undefined, value: undefined })} />
          <SelectFilter label={t.type} any={t.anyType} value={type} options={types.map((item) => [item.type, item.type])} onChange={(type) => show({ type })} />
        </>
      )}
      above={(rows) =>
        field === "ActionId" &&
        value &&
        rows.length > 0 && (
          <p class="see-action">
            <a href={address(["actions", value, rows[0]?.account ?? ""])}>{t.wholeLife(value)}</a>
          </p>
        )
      }
      columns={[
        {
          name: t.type,
          cell: (item) => (
            <a class="row-link" href={address(["events", item.id])}>
              {item.type}
            </a>
          ),
        },
        { name: t.action, class: "grow", cell: (item) => <span class="cut">{shown(item.data.ActionId)}</span> },
        ...accountColumn<PostriderEvent>(),
        { name: t.status, cell: (item) => <span class="cut short">{shown(item.data.Status)}</span> },
        { name: t.occurred, class: "wide-only", cell: (item) => <Time at={item.occurred_at} /> },
        { name: t.received, class: "right", cell: (item) => <Time at={item.received_at} /> },
      ]}
      csv={[
        ...(["id", "account", "type", "key", "occurred_at", "received_at"] as const).map((name) => ({ name, value: (item: PostriderEvent) => item[name] })),
        ...["ActionId", "Status", "Amount", "Payout", "Currency", "SubId1"].map((name) => ({ name, value: (item: PostriderEvent) => item.data[name] })),
        { name: "data", value: (item) => item.data },
      ]}
      empty={{ title: t.emptyTitle, text: <Emit account={chosenAccount.get()} /> }}
      noneFits={{ title: t.noneFits, text: t.noneFitsText }}
    />
  );
}

const shown = (value: Json | undefined) => (value === undefined ? <span class="muted">–</span> : typeof value === "object" ? writeExact(value) : String(value));

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
