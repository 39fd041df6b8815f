// API keys: made, rotated, taken back. The text of a key is shown once.
import { useState } from "preact/hooks";
import { all, at, call, post } from "../api/client";
import type { Key, KeyScope, Time } from "../api/types";
import { useDirectory } from "../directory";
import { fromLocalInput } from "../format";
import { useLive } from "../live";
import { session } from "../session";
import { texts } from "../texts";
import { Button, Choice, Field, Head, Note, Pill, Time as When } from "../ui/basics";
import { Confirm, FormDialog, SecretDialog, tell } from "../ui/dialog";
import { actionsColumn, type Column, RecordList } from "../ui/records";

const t = texts.keys;

export function Keys() {
  const keys = useLive("keys", (signal) => all<Key>("/v1/keys", {}, signal), 10_000);
  const [adding, setAdding] = useState(false);
  const [rotating, setRotating] = useState<Key>();
  const [removing, setRemoving] = useState<Key>();
  const [shown, setShown] = useState<Key>();
  const now = session.get();
  const own = now.state === "in" ? now.me.key.id : "";
  return (
    <>
      <Head title={texts.sections.keys} sub={t.sub}>
        <Button kind="primary" icon="plus" onClick={() => setAdding(true)}>
          {t.add}
        </Button>
      </Head>
      <RecordList
        live={keys}
        columns={[
          {
            name: t.name,
            cell: (key) => (
              <>
                <b>{key.name}</b>
                <span class="muted">
                  <code>{key.prefix}…</code> {key.id === own && t.own}
                </span>
              </>
            ),
          },
          { name: t.scope, cell: (key) => texts.scopes[key.scope][0] },
          { name: texts.account, cell: (key) => key.account ?? <span class="muted">{texts.allAccounts}</span> },
          ...useColumns<Key>(),
          actionsColumn<Key>((key) => (
            <>
              <Button kind="quiet" icon="replays" onClick={() => setRotating(key)}>
                {t.rotate}
              </Button>
              <Button kind="quiet" icon="trash" aria-label={t.removeTitle(key.name)} onClick={() => setRemoving(key)} />
            </>
          )),
        ]}
      />
      {adding && (
        <AddKey
          onClose={() => setAdding(false)}
          onAdded={(key) => {
            setShown(key);
            keys.again();
          }}
        />
      )}
      {rotating && (
        <Confirm
          title={t.rotateTitle(rotating.name)}
          yes={t.rotate}
          danger={false}
          onClose={() => setRotating(undefined)}
          act={async () => {
            setShown(await post<Key>(at`/v1/keys/${rotating.id}/rotate`, {}));
            keys.again();
          }}
        >
          <p>{t.rotateText}</p>
        </Confirm>
      )}
      {removing && (
        <Confirm
          title={t.removeTitle(removing.name)}
          yes={t.remove}
          onClose={() => setRemoving(undefined)}
          act={async () => {
            await call("DELETE", at`/v1/keys/${removing.id}`);
            tell(t.removed);
            keys.again();
          }}
        >
          <p>{removing.id === own ? t.removeOwn : t.removeText}</p>
        </Confirm>
      )}
      {shown?.key && <SecretDialog title={t.shownTitle} text={t.shownText} secret={shown.key} onClose={() => setShown(undefined)} />}
    </>
  );
}

/** Since when a key is not used, and until when it can be. */
export function useColumns<T extends { last_used_at: Time | null; expires_at: Time | null }>(): Column<T>[] {
  return [
    { name: t.used, cell: (key) => (key.last_used_at ? <When at={key.last_used_at} ago /> : <span class="muted">{t.never}</span>) },
    {
      name: t.expires,
      cell: (key) => {
        if (!key.expires_at) return <span class="muted">{t.noEnd}</span>;
        return new Date(key.expires_at).getTime() < Date.now() ? <Pill tone="idle">{t.over}</Pill> : <When at={key.expires_at} />;
      },
    },
  ];
}

function AddKey({ onClose, onAdded }: { onClose: () => void; onAdded: (key: Key) => void }) {
  const { accounts } = useDirectory();
  const [name, setName] = useState("");
  const [scope, setScope] = useState<KeyScope>("account");
  const [account, setAccount] = useState("");
  const [expires, setExpires] = useState("");
  const save = async () => onAdded(await post<Key>("/v1/keys", { name, scope, account: scope === "operator" ? undefined : account || undefined, expires_at: fromLocalInput(expires) }));
  return (
    <FormDialog title={t.add} yes={t.add} act={save} onClose={onClose}>
      <Field label={t.name} hint={t.nameHint}>
        {(ids) => <input {...ids} required maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />}
      </Field>
      <Choice label={t.scope} value={scope} onChange={setScope} options={(["account", "read", "operator"] as const).map((value) => [value, texts.scopes[value][0]] as const)} hint={texts.scopes[scope][1]} />
      {scope !== "operator" && (
        <Field label={texts.account}>
          {(ids) => (
            <select {...ids} required={scope === "account"} value={account} onChange={(event) => setAccount(event.currentTarget.value)}>
              <option value="">{scope === "read" ? texts.allAccounts : t.choose}</option>
              {accounts.map((item) => (
                <option key={item.id} value={item.id}>
                  {item.name}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      {scope === "operator" && <Note tone="warn">{t.operatorWarning}</Note>}
      <Field label={t.expires} hint={t.expiresHint}>
        {(ids) => <input {...ids} type="datetime-local" value={expires} onInput={(event) => setExpires(event.currentTarget.value)} />}
      </Field>
    </FormDialog>
  );
}
