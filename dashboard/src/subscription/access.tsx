// How the receiver knows us: signatures, credentials, client certificates. Secrets are written, never read.
import type { Credentials, Invalid, Signing, SubscriptionSpec, Tls } from "../api/types";
import { texts } from "../texts";
import { Button, Choice, CopyButton, Field, Time } from "../ui/basics";

interface Props {
  draft: SubscriptionSpec;
  change: (part: Partial<SubscriptionSpec>) => void;
  faults: Invalid[];
  isNew: boolean;
  onRotate?: () => void;
}

const t = texts.access;

const EMPTY: Record<Credentials["type"], Credentials> = {
  basic: { type: "basic", username: "" },
  bearer: { type: "bearer" },
  header: { type: "header", name: "X-Api-Key" },
  oauth2: { type: "oauth2", token_url: "https://", client_id: "", client_authentication: "basic" },
};

export function Access({ draft, change, faults, isNew, onRotate }: Props) {
  const { signing, credentials, tls } = draft;
  const under = (pointer: string) => faults.filter((fault) => fault.pointer.startsWith(pointer)).map((fault) => fault.detail);
  const set = (part: Partial<Signing>) => change({ signing: { version: "v1", form: "auto", ...signing, ...part } });
  return (
    <section class="card" aria-label={t.title}>
      <h2>{t.title}</h2>
      <Choice
        label={t.signing}
        value={signing?.version ?? "none"}
        options={t.versions}
        onChange={(version) => (version === "none" ? change({ signing: null }) : set({ version }))}
        hint={t.versionHints[signing?.version ?? "none"]}
      />
      {signing && (
        <>
          <Choice label={t.form} value={signing.form} options={t.forms} onChange={(form) => set({ form })} hint={t.formHint} />
          {signing.public_key && (
            <p class="public-key">
              <span>{t.publicKey}</span> <code>{signing.public_key}</code> <CopyButton text={signing.public_key} />
            </p>
          )}
          {isNew || !onRotate ? (
            <p class="hint">{t.generated}</p>
          ) : (
            <p class="rotate">
              <Button icon="keys" onClick={onRotate}>
                {t.rotate}
              </Button>
              {signing.previous_until && (
                <span class="muted">
                  {t.previousUntil} <Time at={signing.previous_until} />
                </span>
              )}
            </p>
          )}
        </>
      )}
      {under("/signing").map((fault) => (
        <p class="faults" key={fault}>
          {fault}
        </p>
      ))}
      <Choice
        label={t.credentials}
        value={credentials?.type ?? "none"}
        options={t.types}
        onChange={(type) => change({ credentials: type === "none" ? null : EMPTY[type] })}
        hint={t.credentialsHint}
      />
      {credentials && <CredentialFields credentials={credentials} onChange={(next) => change({ credentials: next })} />}
      {under("/credentials").map((fault) => (
        <p class="faults" key={fault}>
          {fault}
        </p>
      ))}
      <details class="more-options" open={Boolean(tls)}>
        <summary>{t.tls}</summary>
        <p class="hint">{t.tlsHint}</p>
        <TlsFields tls={tls ?? {}} onChange={(next) => change({ tls: next })} />
        {under("/tls").map((fault) => (
          <p class="faults" key={fault}>
            {fault}
          </p>
        ))}
      </details>
    </section>
  );
}

function Secret({ label, value, kept, onChange }: { label: string; value: string | undefined; kept: boolean; onChange: (value: string) => void }) {
  return (
    <Field label={label} hint={kept ? t.kept : undefined}>
      {(ids) => <input {...ids} type="password" autoComplete="new-password" spellcheck={false} placeholder={kept ? "••••••••" : ""} value={value ?? ""} onInput={(event) => onChange(event.currentTarget.value)} />}
    </Field>
  );
}

function Plain({ label, value, onChange }: { label: string; value: string; onChange: (value: string) => void }) {
  return (
    <Field label={label}>
      {(ids) => <input {...ids} value={value} autoComplete="off" spellcheck={false} onInput={(event) => onChange(event.currentTarget.value)} />}
    </Field>
  );
}

function CredentialFields({ credentials, onChange }: { credentials: Credentials; onChange: (credentials: Credentials) => void }) {
  const kept = credentials.has_secret === true;
  switch (credentials.type) {
    case "basic":
      return (
        <div class="two">
          <Plain label={t.username} value={credentials.username} onChange={(username) => onChange({ ...credentials, username })} />
          <Secret label={t.password} value={credentials.password} kept={kept} onChange={(password) => onChange({ ...credentials, password })} />
        </div>
      );
    case "bearer":
      return <Secret label={t.token} value={credentials.token} kept={kept} onChange={(token) => onChange({ ...credentials, token })} />;
    case "header":
      return (
        <div class="two">
          <Plain label={t.headerName} value={credentials.name} onChange={(name) => onChange({ ...credentials, name })} />
          <Secret label={t.headerValue} value={credentials.value} kept={kept} onChange={(value) => onChange({ ...credentials, value })} />
        </div>
      );
    case "oauth2":
      return (
        <>
          <Plain label={t.tokenUrl} value={credentials.token_url} onChange={(token_url) => onChange({ ...credentials, token_url })} />
          <div class="two">
            <Plain label={t.clientId} value={credentials.client_id} onChange={(client_id) => onChange({ ...credentials, client_id })} />
            <Secret label={t.clientSecret} value={credentials.client_secret} kept={kept} onChange={(client_secret) => onChange({ ...credentials, client_secret })} />
            <Plain label={t.scope} value={credentials.scope ?? ""} onChange={(scope) => onChange({ ...credentials, scope })} />
            <Plain label={t.audience} value={credentials.audience ?? ""} onChange={(audience) => onChange({ ...credentials, audience })} />
          </div>
          <Choice
            label={t.clientAuthentication}
            value={credentials.client_authentication}
            options={t.clientAuthentications}
            onChange={(client_authentication) => onChange({ ...credentials, client_authentication })}
          />
        </>
      );
  }
}

function TlsFields({ tls, onChange }: { tls: Tls; onChange: (tls: Tls | null) => void }) {
  const set = (part: Partial<Tls>) => {
    const next = Object.fromEntries(Object.entries({ ...tls, ...part }).filter(([, value]) => value !== "" && value !== null)) as Tls;
    onChange(next.client_certificate || next.client_key || next.ca ? next : null);
  };
  const area = (label: string, name: "client_certificate" | "client_key" | "ca", kept = false) => (
    <Field label={label} hint={kept ? t.kept : undefined}>
      {(ids) => <textarea {...ids} class="mono" rows={3} spellcheck={false} placeholder="-----BEGIN …" value={tls[name] ?? ""} onInput={(event) => set({ [name]: event.currentTarget.value })} />}
    </Field>
  );
  return (
    <>
      {area(t.certificate, "client_certificate")}
      {area(t.key, "client_key", tls.has_secret === true)}
      {area(t.ca, "ca")}
      {tls.client_certificate_expires_at && (
        <p class="hint">
          {t.expires} <Time at={tls.client_certificate_expires_at} />
        </p>
      )}
    </>
  );
}
