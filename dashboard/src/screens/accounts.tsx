// The accounts: partners and brands whose events are sent.
import { useState } from "preact/hooks";
import { all, at, call, Failure, post } from "../api/client";
import type { Account } from "../api/types";
import { forgetDirectory, refreshDirectory } from "../directory";
import { useLive } from "../live";
import { address, go } from "../router";
import { chooseAccount } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Field, Head, Skeleton, Time } from "../ui/basics";
import { Confirm, Dialog, tell } from "../ui/dialog";

const t = texts.accounts;

export function Accounts() {
  const { data: accounts, failure, again } = useLive("accounts", (signal) => all<Account>("/v1/accounts", {}, signal), 10_000);
  const [editing, setEditing] = useState<Account | "new">();
  const [removing, setRemoving] = useState<Account>();
  const changed = () => {
    forgetDirectory();
    void refreshDirectory().catch(() => {});
    again();
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
      {failure && <FailureNote failure={failure} again={again} />}
      {!accounts && !failure && <Skeleton />}
      {accounts?.length === 0 && (
        <Empty title={t.emptyTitle} action={add}>
          {t.emptyText}
        </Empty>
      )}
      {accounts && accounts.length > 0 && (
        <div class="card flush">
          <table class="rows stack">
            <thead>
              <tr>
                <th>{t.name}</th>
                <th>{t.id}</th>
                <th>{t.kind}</th>
                <th>{t.fields}</th>
                <th>{t.created}</th>
                <th>
                  <span class="offscreen">{texts.actions}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {accounts.map((account) => (
                <tr key={account.id}>
                  <td class="main-cell">
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
                  </td>
                  <td data-label={t.id}>
                    <code>{account.id}</code>
                  </td>
                  <td data-label={t.kind}>{account.kind ? (t.kinds[account.kind] ?? account.kind) : <span class="muted">–</span>}</td>
                  <td data-label={t.fields}>
                    <span class="types">{account.fields.join(", ") || <span class="muted">–</span>}</span>
                  </td>
                  <td data-label={t.created}>
                    <Time at={account.created_at} />
                  </td>
                  <td class="right row-actions">
                    <Button kind="quiet" onClick={() => setEditing(account)}>
                      {texts.edit}
                    </Button>
                    <Button kind="quiet" icon="trash" aria-label={t.removeTitle(account.name)} onClick={() => setRemoving(account)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
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
  const [failure, setFailure] = useState<Failure>();
  const save = async () => {
    const list = fields.split(/[,\s]+/).filter(Boolean);
    try {
      if (account) await call("PATCH", at`/v1/accounts/${account.id}`, { body: { name, fields: list, kind: kind || null } });
      else await post("/v1/accounts", { id, name: name || undefined, fields: list, kind: kind || undefined });
      tell(account ? t.changed : t.added);
      onDone();
      onClose();
    } catch (error) {
      setFailure(Failure.of(error));
    }
  };
  return (
    <Dialog title={account ? t.editTitle(account.name) : t.add} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <div class="dialog-body">
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
          {failure && <FailureNote failure={failure} />}
        </div>
        <footer>
          <Button onClick={onClose}>{texts.cancel}</Button>
          <Button kind="primary" type="submit">
            {account ? texts.save : t.add}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
