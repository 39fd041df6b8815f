// A new subscription: from a ready-made template, from another platform's URL, or from nothing.
import { useEffect, useState } from "preact/hooks";
import { at, call, Failure, get, post } from "../api/client";
import type { Imported, Listed, Preset, PresetEntry, Subscription, SubscriptionSpec } from "../api/types";
import { refreshDirectory, useDirectory } from "../directory";
import { useLeaveGuard } from "../edited";
import { address, go, setGuard } from "../router";
import { chosenAccount, rights, session } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Field, Head, Note, Skeleton, useAction } from "../ui/basics";
import { SecretDialog, tell } from "../ui/dialog";
import { SearchBox } from "../ui/records";
import { bodyOf, emptyDraft, fillPreset } from "./draft";
import { SubscriptionEditor } from "./editor";

const t = texts.start;

export function NewSubscription({ query }: { query: Record<string, string> }) {
  const now = session.get();
  const { accounts } = useDirectory();
  const only = now.state === "in" && now.me.accounts !== "all" ? now.me.accounts[0] : undefined;
  const [account, setAccount] = useState(only ?? chosenAccount.get());
  const [draft, setDraft] = useState<SubscriptionSpec>();
  const [notes, setNotes] = useState<{ title: string; lines: string[] }>();
  const chosen = account || accounts[0]?.id || "";
  const back: [string, string] = [address(["subscriptions"]), texts.sections.subscriptions];
  useEffect(() => setGuard(undefined), []);
  if (!rights().write) return <Empty title={texts.notFound.title}>{t.readOnly}</Empty>;
  if (!only && accounts.length === 0) {
    return (
      <>
        <Head title={t.title} back={back} />
        <Empty title={t.noAccountTitle} action={<a class="button primary" href={address(["accounts"])}>{t.noAccountGo}</a>}>
          {t.noAccountText}
        </Empty>
      </>
    );
  }
  if (draft) {
    return (
      <Create
        first={draft}
        notes={notes}
        onBack={() => {
          setDraft(undefined);
          go(address(["subscriptions", "new"]), "replace");
        }}
      />
    );
  }
  const begin = (next: SubscriptionSpec, told?: typeof notes) => {
    setNotes(told);
    setDraft(next);
    window.scrollTo(0, 0);
  };
  return (
    <>
      <Head title={t.title} back={back} sub={t.sub} />
      {!only && accounts.length > 1 && (
        <div class="card">
          <Field label={texts.account} hint={t.accountHint}>
            {(ids) => (
              <select {...ids} value={chosen} onChange={(event) => setAccount(event.currentTarget.value)}>
                {accounts.map((item) => (
                  <option key={item.id} value={item.id}>
                    {item.name} ({item.id})
                  </option>
                ))}
              </select>
            )}
          </Field>
        </div>
      )}
      {query.preset ? (
        <FillPreset name={query.preset} account={chosen} begin={begin} />
      ) : (
        <>
          <Import account={chosen} begin={begin} />
          <Gallery />
          <p class="or">
            <Button onClick={() => begin(emptyDraft(chosen))}>{t.blank}</Button>
          </p>
        </>
      )}
    </>
  );
}

type Begin = (draft: SubscriptionSpec, notes?: { title: string; lines: string[] }) => void;

function Gallery() {
  const [presets, setPresets] = useState<PresetEntry[]>();
  const [failure, setFailure] = useState<Failure>();
  const [wanted, setWanted] = useState("");
  useEffect(() => {
    get<Listed<PresetEntry>>("/v1/presets").then((list) => setPresets(list.data), (error: unknown) => setFailure(Failure.of(error)));
  }, []);
  const found = presets?.filter((preset) => `${preset.title} ${preset.receiver} ${preset.name}`.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <section class="card" aria-label={t.presets}>
      <div class="card-head">
        <h2>{t.presets}</h2>
        <SearchBox label={t.search} value={wanted} onInput={setWanted} />
      </div>
      {failure && <FailureNote failure={failure} />}
      {!presets && !failure && <Skeleton rows={4} />}
      <ul class="gallery">
        {found?.map((preset) => (
          <li key={preset.name}>
            <a href={address(["subscriptions", "new"], { preset: preset.name })}>
              <b>{preset.title}</b>
              <span class="muted">{preset.receiver}</span>
              <span class="tags">
                <span class="method">{preset.method}</span>
                <span>{texts.form.formats[preset.body_format]}</span>
                {preset.verified !== "yes" && !preset.name.startsWith("generic") && <span class="warn">{t.verified[preset.verified] ?? preset.verified}</span>}
              </span>
            </a>
          </li>
        ))}
      </ul>
      {found?.length === 0 && <p class="nothing">{t.noneFits}</p>}
    </section>
  );
}

function FillPreset({ name, account, begin }: { name: string; account: string; begin: Begin }) {
  const [preset, setPreset] = useState<Preset>();
  const [failure, setFailure] = useState<Failure>();
  const [words, setWords] = useState<Record<string, string>>({});
  useEffect(() => {
    get<Preset>(at`/v1/presets/${name}`).then(setPreset, (error: unknown) => setFailure(Failure.of(error)));
  }, [name]);
  if (failure) return <FailureNote failure={failure} />;
  if (!preset) return <Skeleton />;
  const notes = { title: preset.title, lines: preset.notes.split("\n").filter(Boolean) };
  return (
    <section class="card" aria-label={preset.title}>
      <h2>{preset.title}</h2>
      <p class="muted">{preset.receiver}</p>
      <ul class="preset-notes">
        {notes.lines.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          begin(fillPreset(preset, account, words), notes);
        }}
      >
        {preset.parameters.map((parameter) => (
          <Field key={parameter.name} label={parameter.meaning} hint={t.replaces(parameter.name)}>
            {(ids) => (
              <input {...ids} required spellcheck={false} placeholder={parameter.example} value={words[parameter.name] ?? ""} onInput={(event) => setWords({ ...words, [parameter.name]: event.currentTarget.value })} />
            )}
          </Field>
        ))}
        <div class="form-actions">
          <Button onClick={() => go(address(["subscriptions", "new"]))}>{t.others}</Button>
          <Button kind="primary" type="submit">
            {t.use}
          </Button>
        </div>
      </form>
    </section>
  );
}

function Import({ account, begin }: { account: string; begin: Begin }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState<Imported>();
  const [failure, setFailure] = useState<Failure>();
  const [read, busy] = useAction(async () => {
    setFailure(undefined);
    try {
      setFound(await post<Imported>("/v1/templates/import", { text: text.trim(), account: account || undefined }));
    } catch (error) {
      setFound(undefined);
      setFailure(Failure.of(error));
    }
  });
  const use = () => {
    if (!found) return;
    const draft = emptyDraft(account);
    if (found.url) draft.request = { ...draft.request, url: found.url };
    else draft.request = { ...draft.request, method: "POST", body: found.body ?? "", body_format: found.body_format ?? "raw" };
    begin(draft);
  };
  return (
    <section class="card" aria-label={t.import}>
      <h2>{t.import}</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void read();
        }}
      >
        <Field label={t.importLabel} hint={t.importHint}>
          {(ids) => (
            <textarea
              {...ids}
              class="mono"
              rows={2}
              required
              spellcheck={false}
              placeholder="https://tracker.example/postback?clickid=[SUBID]&payout=[PAYOUT]"
              value={text}
              onInput={(event) => {
                setText(event.currentTarget.value);
                setFound(undefined);
              }}
            />
          )}
        </Field>
        <div class="form-actions left">
          <Button type="submit" busy={busy} disabled={!text.trim()}>
            {t.importRead}
          </Button>
        </div>
      </form>
      {failure && <FailureNote failure={failure} />}
      {found && (
        <div class="imported" role="status">
          <p>{found.style ? t.style(found.style) : t.noStyle}</p>
          <pre class="wrap" tabIndex={0} role="region" aria-label={t.importResult}>
            {found.url ?? found.body}
          </pre>
          {found.mapped.length > 0 && (
            <p class="mapped">
              {found.mapped.map((pair) => (
                <span key={`${pair.from} ${pair.to}`}>
                  <code>{pair.from}</code> → <code>{pair.to}</code>
                </span>
              ))}
            </p>
          )}
          {found.unmapped.length > 0 && (
            <Note tone="warn">
              {t.unmapped} {found.unmapped.map((item) => item.name).join(", ")}
            </Note>
          )}
          {found.notes.map((note) => (
            <Note key={note}>{note}</Note>
          ))}
          <Button kind="primary" onClick={use}>
            {t.importUse}
          </Button>
        </div>
      )}
    </section>
  );
}

function Create({ first, notes, onBack }: { first: SubscriptionSpec; notes?: { title: string; lines: string[] }; onBack: () => void }) {
  const [draft, setDraft] = useState(() => ({ ...first, name: first.name || "" }));
  const [failure, setFailure] = useState<Failure>();
  const [made, setMade] = useState<Subscription>();
  useLeaveGuard(true);
  const finish = (subscription: Subscription) => {
    setGuard(undefined);
    go(address(["subscriptions", subscription.id]));
  };
  const [save, saving] = useAction(async () => {
    setFailure(undefined);
    try {
      const { body } = await call<Subscription>("POST", "/v1/subscriptions", { body: bodyOf(draft) });
      void refreshDirectory().catch(() => {});
      tell(t.created);
      if (body.signing_secret) setMade(body);
      else finish(body);
    } catch (error) {
      setFailure(Failure.of(error));
    }
  });
  return (
    <>
      <Head title={t.title} sub={t.forAccount(draft.account)} />
      {notes && notes.lines.length > 0 && (
        <details class="card preset-notes" open>
          <summary>{t.about(notes.title)}</summary>
          <ul>
            {notes.lines.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </details>
      )}
      {failure && <FailureNote failure={failure} />}
      <SubscriptionEditor
        draft={draft}
        onChange={(next) => {
          setDraft(next);
          setFailure(undefined);
        }}
        faults={failure?.errors ?? []}
        warnings={[]}
      />
      <div class="save-bar on">
        <Button onClick={onBack}>{t.startOver}</Button>
        <Button kind="primary" busy={saving} disabled={!draft.name || !draft.request.url} onClick={() => void save()}>
          {t.create}
        </Button>
        {(!draft.name || !draft.request.url) && <span class="muted">{t.needs}</span>}
      </div>
      {made?.signing_secret && <SecretDialog title={texts.subscription.secretTitle} text={texts.subscription.secretText} secret={made.signing_secret} onClose={() => finish(made)} />}
    </>
  );
}
