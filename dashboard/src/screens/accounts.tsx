// The accounts: partners and brands whose events are sent.
import { useState } from "preact/hooks";
import { all, at, call, post } from "../api/client";
import type { Account } from "../api/types";
import { forgetDirectory, refreshDirectory } from "../directory";
import { useLive } from "../live";
import { address, go } from "../router";
import { chooseAccount } from "../session";
import { texts } from "../texts";
import { Button, Field, Head, Time } from "../ui/basics";
import { Confirm, FormDialog, tell } from "../ui/dialog";
import { actionsColumn, RecordList } from "../ui/records";

const t = texts.accounts;

export function Accounts() {
  const accounts = useLive("accounts", (signal) => all<Account>("/v1/accounts", {}, signal), 10_000);
  const [editing, setEditing] = useState<Account | "new">();
  const [removing, setRemoving] = useState<Account>();
  const changed = () => {
    forgetDirectory();
    void refreshDirectory().catch(() => {});
    accounts.again();
  };
  const add = (
    <Button kind="primary" icon="plus" onClick={() => setEditing("new")}>
      {t.add}
    </Button>
  );
  return (
    <>
      <Head title={texts.sections.accounts} sub={t.sub}>
        {add}
      </Head>
      <RecordList
        live={accounts}
        empty={{ title: t.emptyTitle, text: t.emptyText, action: add }}
        columns={[
          {
            name: t.name,
            cell: (account) => (
              <button
                type="button"
                class="link"
                onClick={() => {
                  chooseAccount(account.id);
                  go(address(["subscriptions"]));
                }}
              >
                {account.name}
              </button>
            ),
          },
          { name: t.id, cell: (account) => <code>{account.id}</code> },
          { name: t.kind, cell: (account) => (account.kind ? (t.kinds[account.kind] ?? account.kind) : <span class="muted">–</span>) },
          { name: t.fields, cell: (account) => <span class="types">{account.fields.join(", ") || "–"}</span> },
          { name: t.created, cell: (account) => <Time at={account.created_at} /> },
          actionsColumn<Account>((account) => (
            <>
              <Button kind="quiet" onClick={() => setEditing(account)}>
                {texts.edit}
              </Button>
              <Button kind="quiet" icon="trash" aria-label={t.removeTitle(account.name)} onClick={() => setRemoving(account)} />
            </>
          )),
        ]}
      />
      {editing && <EditAccount account={editing === "new" ? undefined : editing} onClose={() => setEditing(undefined)} onDone={changed} />}
      {removing && (
        <Confirm
          title={t.removeTitle(removing.name)}
          yes={t.remove}
          onClose={() => setRemoving(undefined)}
          act={async () => {
            await call("DELETE", at`/v1/accounts/${removing.id}`);
            tell(t.removed);
            changed();
          }}
        >
          <p>{t.removeText}</p>
        </Confirm>
      )}
    </>
  );
}

function EditAccount({ account, onClose, onDone }: { account: Account | undefined; onClose: () => void; onDone: () => void }) {
  const [id, setId] = useState(account?.id ?? "");
  const [name, setName] = useState(account?.name ?? "");
  const [kind, setKind] = useState(account?.kind ?? "");
  const [fields, setFields] = useState(account?.fields.join(", ") ?? "");
  const save = async () => {
    const list = fields.split(/[,\s]+/).filter(Boolean);
    if (account) await call("PATCH", at`/v1/accounts/${account.id}`, { body: { name, fields: list, kind: kind || null } });
    else await post("/v1/accounts", { id, name: name || undefined, fields: list, kind: kind || undefined });
    tell(account ? t.changed : t.added);
    onDone();
  };
  return (
    <FormDialog title={account ? t.editTitle(account.name) : t.add} yes={account ? texts.save : t.add} act={save} onClose={onClose}>
      <Field label={t.name}>{(ids) => <input {...ids} required maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />}</Field>
      {!account && (
        <Field label={t.id} hint={t.idHint}>
          {(ids) => <input {...ids} required spellcheck={false} placeholder="acme" value={id} onInput={(event) => setId(event.currentTarget.value)} />}
        </Field>
      )}
      <Field label={t.kind} hint={t.kindHint}>
        {(ids) => (
          <select {...ids} value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
            <option value="">{t.noKind}</option>
            {Object.entries(t.kinds).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label={t.fields} hint={t.fieldsHint}>
        {(ids) => <input {...ids} spellcheck={false} placeholder="LoyaltyTier, StoreId" value={fields} onInput={(event) => setFields(event.currentTarget.value)} />}
      </Field>
    </FormDialog>
  );
}
