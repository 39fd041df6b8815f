// API keys: made, rotated, taken back. The text of a key is shown once.
import { useState } from "preact/hooks";
import { all, at, call, Failure, post } from "../api/client";
import type { Key, KeyScope } from "../api/types";
import { useDirectory } from "../directory";
import { fromLocalInput } from "../format";
import { useLive } from "../live";
import { session } from "../session";
import { texts } from "../texts";
import { Button, Choice, CopyButton, FailureNote, Field, Head, Note, Pill, Skeleton, Time } from "../ui/basics";
import { Confirm, Dialog, tell } from "../ui/dialog";

const t = texts.keys;

export function Keys() {
  const { data: keys, failure, again } = useLive("keys", (signal) => all<Key>("/v1/keys", {}, signal), 10_000);
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
      {failure && <FailureNote failure={failure} again={again} />}
      {!keys && !failure && <Skeleton />}
      {keys && (
        <div class="card flush">
          <table class="rows stack">
            <thead>
              <tr>
                <th>{t.name}</th>
                <th>{t.scope}</th>
                <th>{texts.account}</th>
                <th>{t.used}</th>
                <th>{t.expires}</th>
                <th>
                  <span class="offscreen">{texts.actions}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {keys.map((key) => {
                const over = key.expires_at !== null && new Date(key.expires_at).getTime() < Date.now();
                return (
                  <tr key={key.id}>
                    <td class="main-cell">
                      <b>{key.name}</b>
                      <span class="muted">
                        <code>{key.prefix}…</code> {key.id === own && t.own}
                      </span>
                    </td>
                    <td data-label={t.scope}>{texts.scopes[key.scope][0]}</td>
                    <td data-label={texts.account}>{key.account ?? <span class="muted">{texts.allAccounts}</span>}</td>
                    <td data-label={t.used}>{key.last_used_at ? <Time at={key.last_used_at} ago /> : <span class="muted">{t.never}</span>}</td>
                    <td data-label={t.expires}>{over ? <Pill tone="idle">{t.over}</Pill> : key.expires_at ? <Time at={key.expires_at} /> : <span class="muted">{t.noEnd}</span>}</td>
                    <td class="right row-actions">
                      <Button kind="quiet" icon="replays" onClick={() => setRotating(key)}>
                        {t.rotate}
                      </Button>
                      <Button kind="quiet" icon="trash" aria-label={t.removeTitle(key.name)} onClick={() => setRemoving(key)} />
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
      {adding && (
        <AddKey
          onClose={() => setAdding(false)}
          onAdded={(key) => {
            setAdding(false);
            setShown(key);
            again();
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
            again();
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
            again();
          }}
        >
          <p>{removing.id === own ? t.removeOwn : t.removeText}</p>
        </Confirm>
      )}
      {shown?.key && (
        <Dialog title={t.shownTitle} onClose={() => setShown(undefined)}>
          <div class="dialog-body">
            <p>{t.shownText}</p>
            <div class="secret">
              <code>{shown.key}</code>
              <CopyButton text={shown.key} />
            </div>
          </div>
          <footer>
            <Button kind="primary" onClick={() => setShown(undefined)}>
              {t.shownDone}
            </Button>
          </footer>
        </Dialog>
      )}
    </>
  );
}

function AddKey({ onClose, onAdded }: { onClose: () => void; onAdded: (key: Key) => void }) {
  const { accounts } = useDirectory();
  const [name, setName] = useState("");
  const [scope, setScope] = useState<KeyScope>("account");
  const [account, setAccount] = useState("");
  const [expires, setExpires] = useState("");
  const [failure, setFailure] = useState<Failure>();
  const save = async () => {
    try {
      onAdded(await post<Key>("/v1/keys", { name, scope, account: scope === "operator" ? undefined : account || undefined, expires_at: fromLocalInput(expires) }));
    } catch (error) {
      setFailure(Failure.of(error));
    }
  };
  return (
    <Dialog title={t.add} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <div class="dialog-body">
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
          {failure && <FailureNote failure={failure} />}
        </div>
        <footer>
          <Button onClick={onClose}>{texts.cancel}</Button>
          <Button kind="primary" type="submit">
            {t.add}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
