// The catalogue: every event type, its fields, and a sample.
import { useState } from "preact/hooks";
import { at, call, post } from "../api/client";
import type { EventType } from "../api/types";
import { useDirectory } from "../directory";
import { address, go } from "../router";
import { rights } from "../session";
import { forgetEventTypes, useEventTypes } from "../subscription/use-catalogue";
import { exampleText } from "../example";
import { writeExact } from "../exact-json";
import { texts } from "../texts";
import { Button, CopyButton, Field, Head, Skeleton } from "../ui/basics";
import { Confirm, FormDialog, tell } from "../ui/dialog";
import { SearchBox } from "../ui/records";

const t = texts.macros;

export function Macros({ query }: { query: Record<string, string> }) {
  const [round, setRound] = useState(0);
  return <Catalogue key={round} query={query} again={() => (forgetEventTypes(), setRound(round + 1))} />;
}

function Catalogue({ query, again }: { query: Record<string, string>; again: () => void }) {
  const types = useEventTypes();
  const { accounts } = useDirectory();
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<EventType>();
  const { operator } = rights();
  const wanted = (query.q ?? "").toLowerCase();
  const shown = types
    .map((type) => ({
      ...type,
      fits: type.type.includes(wanted) || type.description.toLowerCase().includes(wanted),
      fields: type.fields.filter((field) => !wanted || `${field.name} ${field.meaning}`.toLowerCase().includes(wanted)),
    }))
    .filter((type) => type.fits || type.fields.length > 0);
  return (
    <>
      <Head title={t.title} sub={t.sub}>
        {operator && (
          <Button icon="plus" onClick={() => setAdding(true)}>
            {t.add}
          </Button>
        )}
      </Head>
      <div class="filters">
        <SearchBox label={t.search} value={query.q ?? ""} onInput={(q) => go(address(["macros"], { q }), "replace")} />
      </div>
      {types.length === 0 && <Skeleton />}
      {accounts.some((account) => account.fields.length > 0) && !wanted && (
        <section class="card">
          <h2>{t.ownTitle}</h2>
          {accounts
            .filter((account) => account.fields.length > 0)
            .map((account) => (
              <p key={account.id}>
                <b>{account.name}</b>{" "}
                {account.fields.map((name) => (
                  <code key={name} class="chip">{`{${name}}`}</code>
                ))}
              </p>
            ))}
        </section>
      )}
      {shown.map((type, index) => (
        <details key={type.type} class="card flush catalogue" open={Boolean(wanted) || index === 0}>
          <summary>
            <code>{type.type}</code>
            <span class="muted">{type.description}</span>
          </summary>
          <div class="catalogue-actions">
            <CopyButton
              label={t.copySample}
              text={`{"type": ${JSON.stringify(type.type)}, "data": ${writeExact(Object.fromEntries(type.fields.filter((field) => field.provider !== "system").map((field) => [field.name, field.example])), 0)}}`}
            />
            {!type.wildcard && <span class="muted">{t.notWildcard}</span>}
            {operator && type.operator_defined && (
              <Button kind="quiet" icon="trash" onClick={() => setRemoving(type)}>
                {t.remove}
              </Button>
            )}
          </div>
          <div class="scroll-x" tabIndex={0} role="region" aria-label={type.type}>
            <table class="rows">
              <thead>
                <tr>
                  <th>{t.macro}</th>
                  <th>{t.kind}</th>
                  <th>{t.meaning}</th>
                  <th>{t.example}</th>
                </tr>
              </thead>
              <tbody>
                {type.fields.map((field) => (
                  <tr key={field.name}>
                    <td>
                      <code>{`{${field.name}}`}</code>
                    </td>
                    <td class="muted">{field.type}</td>
                    <td>{field.meaning}</td>
                    <td>
                      <code class="example">{exampleText(field)}</code>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      ))}
      {types.length > 0 && shown.length === 0 && <p class="nothing">{t.noneFits}</p>}
      {adding && <AddType onClose={() => setAdding(false)} onAdded={again} />}
      {removing && (
        <Confirm
          title={t.removeTitle(removing.type)}
          yes={t.remove}
          onClose={() => setRemoving(undefined)}
          act={async () => {
            await call("DELETE", at`/v1/event-types/${removing.type}`);
            again();
          }}
        >
          <p>{t.removeText}</p>
        </Confirm>
      )}
    </>
  );
}

function AddType({ onClose, onAdded }: { onClose: () => void; onAdded: () => void }) {
  const [type, setType] = useState("");
  const [description, setDescription] = useState("");
  const [fields, setFields] = useState([{ name: "", meaning: "", example: "" }]);
  const add = async () => {
    await post("/v1/event-types", { type, description: description || undefined, fields: fields.filter((field) => field.name).map((field) => ({ ...field, type: "text" })) });
    tell(t.added);
    onAdded();
  };
  return (
    <FormDialog title={t.add} yes={t.add} act={add} onClose={onClose} wide>
      <Field label={t.typeName} hint={t.typeNameHint}>
        {(ids) => <input {...ids} required spellcheck={false} placeholder="coupon.redeemed" value={type} onInput={(event) => setType(event.currentTarget.value)} />}
      </Field>
      <Field label={t.description}>{(ids) => <input {...ids} value={description} onInput={(event) => setDescription(event.currentTarget.value)} />}</Field>
      <fieldset>
        <legend>{t.fields}</legend>
        {fields.map((field, index) => (
          <div class="header-row" key={index}>
            {(["name", "meaning", "example"] as const).map((part) => (
              <input
                key={part}
                aria-label={`${t.fieldParts[part]} ${index + 1}`}
                placeholder={t.fieldParts[part]}
                value={field[part]}
                onInput={(event) => setFields(fields.map((other, n) => (n === index ? { ...other, [part]: event.currentTarget.value } : other)))}
              />
            ))}
          </div>
        ))}
        <Button icon="plus" onClick={() => setFields([...fields, { name: "", meaning: "", example: "" }])}>
          {t.addField}
        </Button>
      </fieldset>
    </FormDialog>
  );
}
