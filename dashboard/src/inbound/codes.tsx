// What is pasted elsewhere so that reports come in: addresses, pixel, frame, and the partner's link.
import { useState } from "preact/hooks";
import { all, at, get } from "../api/client";
import { useDirectory } from "../directory";
import { useLive } from "../live";
import { address, go } from "../router";
import { rights, session } from "../session";
import { Button, CopyButton, Empty, FailureNote, Field, Note, Skeleton } from "../ui/basics";
import { TextBlock } from "../ui/exchange";
import { texts } from "./texts";
import type { InboundKey, Model, Offer } from "./types";

const t = texts.codes;

interface Code {
  kind: "postback" | "post" | "pixel" | "frame";
  purpose: "lead" | "customer";
  code: string;
}

interface CodesAnswer {
  key: string;
  partner_link: string | null;
  actions: { action: string; model: Model; codes: Code[] }[];
}

const TITLES: Record<Code["kind"], string> = { postback: t.postback, post: t.post, pixel: t.pixel, frame: t.frame };
const HINTS: Partial<Record<Code["kind"], string>> = { postback: t.postbackHint, pixel: t.pixelHint };

/** The accounts that may have links of an offer, as far as the key sees them. */
export function usePartners(offer: Offer): string[] {
  const { accounts } = useDirectory();
  const now = session.get();
  if (offer.partners !== "all") return offer.partners;
  if (now.state === "in" && now.me.accounts !== "all") return now.me.accounts;
  return accounts.map((item) => item.id);
}

export function PartnerField({ partners, value, onChange, hint }: { partners: string[]; value: string; onChange: (partner: string) => void; hint: string }) {
  return (
    <Field label={t.partner} hint={hint}>
      {(ids) => (
        <select {...ids} required value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          <option value="">{t.choosePartner}</option>
          {partners.map((id) => (
            <option key={id} value={id}>
              {id}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function Codes({ offer, query }: { offer: Offer; query: Record<string, string> }) {
  const { data: keys, failure } = useLive(`keys of ${offer.account}`, (signal) => all<InboundKey>("/v1/inbound-keys", { account: offer.account }, signal), 0);
  const partners = usePartners(offer);
  const [chosenPartner, setPartner] = useState("");
  const partner = chosenPartner || (partners.length === 1 ? (partners[0] ?? "") : "");
  const usable = keys?.filter((key) => (!key.offer || key.offer === offer.id) && (!key.expires_at || new Date(key.expires_at).getTime() > Date.now())) ?? [];
  const key = usable.find((item) => item.id === query.key) ?? usable[0];
  const { data: codes, failure: refused } = useLive(
    `codes ${offer.id} ${offer.version} ${key?.id} ${partner}`,
    async (signal) => (key ? get<CodesAnswer>(at`/v1/offers/${offer.id}/codes`, { key: key.id, partner }, signal) : undefined),
    0,
  );
  const make = rights().write && (
    <Button kind="primary" icon="plus" onClick={() => go(address(["inbound-keys"], { new: "1", offer: offer.id, account: offer.account }))}>
      {t.makeKey}
    </Button>
  );
  if (failure) return <FailureNote failure={failure} />;
  if (!keys) return <Skeleton />;
  if (!key) {
    return (
      <Empty title={t.noKeyTitle} action={make}>
        {rights().write ? t.noKeyText : t.noKeyRead}
      </Empty>
    );
  }
  return (
    <div class="offer-form">
      {refused && <FailureNote failure={refused} />}
      <section class="card" aria-label={t.partnerTitle}>
        <h2>{t.partnerTitle}</h2>
        <PartnerField partners={partners} value={partner} onChange={setPartner} hint={t.partnerHint} />
        {codes?.partner_link && <CodeBox title={t.partnerTitle} code={codes.partner_link} />}
      </section>
      <section class="card">
        <Field label={t.key} hint={t.publicUrl}>
          {(ids) => (
            <select {...ids} value={key.id} onChange={(event) => go(address(["offers", offer.id, "codes"], { key: event.currentTarget.value }), "replace")}>
              {usable.map((item) => (
                <option key={item.id} value={item.id}>
                  {item.name} ({item.prefix}…)
                </option>
              ))}
            </select>
          )}
        </Field>
        <Note tone="warn">{t.secret}</Note>
      </section>
      {!codes && !refused && <Skeleton rows={3} />}
      {codes?.actions.map(({ action, model, codes: listed }) => (
        <section key={action} class="card" aria-label={action}>
          <h2>
            {action} <span class="theirs">{texts.offer.models[model]}</span>
          </h2>
          {listed.map((code) => (
            <CodeBox
              key={`${code.kind} ${code.purpose}`}
              title={model === "recurring" ? `${TITLES[code.kind]}: ${code.purpose === "customer" ? t.customer : t.lead}` : TITLES[code.kind]}
              hint={code.purpose === "lead" ? HINTS[code.kind] : undefined}
              code={code.code}
            />
          ))}
        </section>
      ))}
    </div>
  );
}

function CodeBox({ title, hint, code }: { title: string; hint?: string; code: string }) {
  return (
    <div class="code">
      <div>
        <h3>{title}</h3>
        <CopyButton text={code} />
      </div>
      <TextBlock text={code} label={title} />
      {hint && <p class="hint">{hint}</p>}
    </div>
  );
}
