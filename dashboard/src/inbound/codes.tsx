// What is pasted elsewhere so that reports come in: addresses, pixel, frame, and the partner's link.
import { useState } from "preact/hooks";
import { all, at, get } from "../api/client";
import { curl } from "../curl";
import { useDirectory } from "../directory";
import { useLive } from "../live";
import { address, go } from "../router";
import { rights } from "../session";
import { Button, CopyButton, Empty, FailureNote, Field, Note, Skeleton } from "../ui/basics";
import { TextBlock } from "../ui/exchange";
import { texts } from "./texts";
import type { InboundKey, Model, Offer } from "./types";

const t = texts.codes;

interface ActionCodes {
  action: string;
  model: Model;
  get: string;
  post_url: string;
  post_body: Record<string, string>;
  pixel: string;
  frame: string;
  activate?: string;
  deactivate?: string;
}

interface CodesAnswer {
  key: string | null;
  actions: ActionCodes[];
  link?: string;
}

/** The accounts that may have links of an offer; none if the key does not see them all. */
export function usePartners(offer: Offer): string[] | undefined {
  const { accounts } = useDirectory();
  if (offer.partners !== "all") return offer.partners;
  return rights().allAccounts ? accounts.map((item) => item.id) : undefined;
}

export function PartnerField({ partners, value, onChange, hint }: { partners: string[] | undefined; value: string; onChange: (partner: string) => void; hint: string }) {
  return (
    <Field label={t.partner} hint={hint}>
      {(ids) =>
        partners ? (
          <select {...ids} required value={value} onChange={(event) => onChange(event.currentTarget.value)}>
            <option value="">{t.choosePartner}</option>
            {partners.map((id) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
          </select>
        ) : (
          <input {...ids} required spellcheck={false} placeholder={t.partnerId} value={value} onChange={(event) => onChange(event.currentTarget.value.trim())} />
        )
      }
    </Field>
  );
}

export function Codes({ offer, query }: { offer: Offer; query: Record<string, string> }) {
  const { data: keys, failure } = useLive(`keys of ${offer.account}`, (signal) => all<InboundKey>("/v1/inbound-keys", { account: offer.account }, signal), 0);
  const partners = usePartners(offer);
  const [chosenPartner, setPartner] = useState("");
  const partner = chosenPartner || (partners?.length === 1 ? (partners[0] ?? "") : "");
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
        {codes?.link && <CodeBox title={t.partnerTitle} code={codes.link} />}
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
      {codes?.actions.map((item) => (
        <section key={item.action} class="card" aria-label={item.action}>
          <h2>
            {item.action} <span class="theirs">{texts.offer.models[item.model]}</span>
          </h2>
          {item.activate && <CodeBox title={t.activate} code={item.activate} />}
          {item.deactivate && <CodeBox title={t.deactivate} code={item.deactivate} />}
          <CodeBox title={t.get} hint={t.getHint} code={item.get} />
          <CodeBox title={t.post} code={curl({ method: "POST", url: item.post_url, headers: [{ name: "Content-Type", value: "application/json" }], body: JSON.stringify(item.post_body, null, 2) })} />
          <CodeBox title={t.pixel} hint={t.pixelHint} code={item.pixel} />
          <CodeBox title={t.frame} code={item.frame} />
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
