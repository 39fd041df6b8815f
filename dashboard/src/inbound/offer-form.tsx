// The form of an offer.
import { useState } from "preact/hooks";
import type { Account, Invalid } from "../api/types";
import { EditorBox } from "../editor/editor-box";
import { Button, Choice, Field } from "../ui/basics";
import { checkLanding, landingMacros } from "./landing";
import { emptyAction, idFrom, splitWords, WORDS } from "./offer-draft";
import { isPercentage, payout, requiredParameters } from "./payout";
import { texts } from "./texts";
import { type ExtraParameter, MODELS, type OfferDraft, type ParameterTemplate, type PayoutAction, type ReportedStatus, ROUNDINGS, STATUSES } from "./types";

const t = texts.offer;

interface Props {
  draft: OfferDraft;
  onChange: (draft: OfferDraft) => void;
  faults: Invalid[];
  readOnly: boolean;
  isNew: boolean;
  /** Those that may own it; empty if the key has only one. */
  accounts: Account[];
}

/** The faults at a pointer and below it. */
const under = (faults: Invalid[], pointer: string): string[] => faults.filter((fault) => fault.pointer === pointer || fault.pointer.startsWith(`${pointer}/`)).map((fault) => fault.detail);

/** A list with one entry changed, or taken out. */
const changed = <T,>(list: T[], index: number, entry: T | undefined): T[] => list.flatMap((other, n) => (n === index ? (entry === undefined ? [] : [entry]) : [other]));

export function OfferForm({ draft, onChange, faults, readOnly, isNew, accounts }: Props) {
  const change = (part: Partial<OfferDraft>) => onChange({ ...draft, ...part });
  const [ownId, setOwnId] = useState(draft.id !== "");
  const line = (name: "name" | "id" | "campaign_id" | "click_parameter" | "currency", label: string, hint: string | undefined, onInput: (text: string) => void, required = true) => (
    <Field label={label} hint={hint} faults={under(faults, `/${name}`)}>
      {(ids) => <input {...ids} required={required} spellcheck={false} maxLength={200} value={draft[name] ?? ""} onInput={(event) => onInput(event.currentTarget.value)} />}
    </Field>
  );
  return (
    <fieldset class="form" disabled={readOnly}>
      <section class="card" aria-label={t.basics}>
        <h2>{t.basics}</h2>
        {isNew && accounts.length > 0 && (
          <Field label={t.account} hint={t.accountHint} faults={under(faults, "/account")}>
            {(ids) => (
              <select {...ids} value={draft.account} onChange={(event) => change({ account: event.currentTarget.value })}>
                {accounts.map((item) => (
                  <option key={item.id} value={item.id}>
                    {item.name} ({item.id})
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
        <div class="two">
          {line("name", t.name, t.nameHint, (name) => change(isNew && !ownId ? { name, id: idFrom(name) } : { name }))}
          {isNew
            ? line("id", t.id, t.idHint, (id) => {
                setOwnId(true);
                change({ id });
              })
            : line("campaign_id", t.campaign, t.campaignHint, (campaign_id) => change({ campaign_id: campaign_id || null }), false)}
        </div>
      </section>

      <section class="card" aria-label={t.landingTitle}>
        <h2>{t.landingTitle}</h2>
        <EditorBox
          label={t.landing}
          hint={t.landingHint}
          text={draft.landing_url}
          onChange={(landing_url) => change({ landing_url })}
          format="url"
          engine="macro"
          macros={landingMacros}
          check={checkLanding}
          single
          rows={2}
          readOnly={readOnly}
          placeholder="https://shop.example/summer?click={click_id}&src={sub_id2}"
          faults={under(faults, "/landing_url")}
        />
        {line("click_parameter", t.clickParameter, t.clickParameterHint(draft.click_parameter), (click_parameter) => change({ click_parameter }))}
      </section>

      <section class="card" aria-label={t.payouts}>
        <h2>{t.payouts}</h2>
        <div class="short">{line("currency", t.currency, t.currencyHint, (currency) => change({ currency: currency.toUpperCase().slice(0, 3) }))}</div>
        {under(faults, "/actions").length > 0 && draft.actions.length === 0 && <p class="faults">{under(faults, "/actions")[0]}</p>}
        {draft.actions.map((action, index) => (
          <ActionBox
            key={index}
            action={action}
            place={index}
            draft={draft}
            faults={faults}
            onChange={(next) => change({ actions: changed(draft.actions, index, next) })}
            removable={!readOnly && draft.actions.length > 1}
          />
        ))}
        {!readOnly && (
          <Button icon="plus" onClick={() => change({ actions: [...draft.actions, emptyAction("")] })}>
            {t.addAction}
          </Button>
        )}
      </section>

      <section class="card" aria-label={t.whoTitle}>
        <h2>{t.whoTitle}</h2>
        <Choice label={t.who} value={draft.partners === "all" ? "all" : "listed"} options={t.whos} onChange={(who) => change({ partners: who === "all" ? "all" : [] })} />
        {draft.partners !== "all" && <WordsField label={t.listed} hint={t.listedHint} words={draft.partners} faults={under(faults, "/partners")} onChange={(partners) => change({ partners })} />}
        <Choice label={t.unknownClicks} value={draft.unknown_clicks} options={t.unknowns} onChange={(unknown_clicks) => change({ unknown_clicks })} hint={t.unknownHints[draft.unknown_clicks]} />
      </section>

      <section class="card" aria-label={t.statusTitle}>
        <div class="card-head">
          <h2>{t.statusTitle}</h2>
          {!readOnly && <Button onClick={() => change({ statuses: structuredClone(WORDS) })}>{t.defaultWords}</Button>}
        </div>
        <p class="hint">{t.statusHint}</p>
        <div class="three words">
          {STATUSES.map((status: ReportedStatus) => (
            <WordsField
              key={`${status} ${draft.statuses === WORDS}`}
              label={t.statusNames[status]}
              hint={t.statusBecomes[status]}
              words={draft.statuses[status]}
              faults={under(faults, `/statuses/${status}`)}
              rows={4}
              onChange={(words) => change({ statuses: { ...draft.statuses, [status]: words } })}
            />
          ))}
        </div>
        {faults.filter((fault) => fault.pointer === "/statuses").map((fault) => <p class="faults" key={fault.code}>{fault.detail}</p>)}
      </section>

      <Templates draft={draft} change={change} faults={faults} readOnly={readOnly} />

      <section class="card" aria-label={t.privacyTitle}>
        <h2>{t.privacyTitle}</h2>
        <Choice label={t.address} value={draft.privacy.ip} options={t.addresses} onChange={(ip) => change({ privacy: { ...draft.privacy, ip } })} />
        <Check checked={draft.privacy.user_agent} onChange={(user_agent) => change({ privacy: { ...draft.privacy, user_agent } })}>
          {t.userAgent}
        </Check>
      </section>
    </fieldset>
  );
}

function Check({ checked, onChange, children, hint }: { checked: boolean; onChange: (checked: boolean) => void; children: preact.ComponentChildren; hint?: string }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>
        {children}
        {hint && <span class="hint">{hint}</span>}
      </span>
    </label>
  );
}

/** A list of words as one text; what is typed stays as it is while it is typed. */
function WordsField({ label, hint, words, faults, rows = 2, onChange }: { label: string; hint: string; words: string[]; faults: string[]; rows?: number; onChange: (words: string[]) => void }) {
  const [typed, setTyped] = useState(words.join(", "));
  const shown = splitWords(typed).join() === words.join() ? typed : words.join(", ");
  return (
    <Field label={label} hint={hint} faults={faults}>
      {(ids) => (
        <textarea
          {...ids}
          rows={rows}
          spellcheck={false}
          value={shown}
          onInput={(event) => {
            setTyped(event.currentTarget.value);
            onChange(splitWords(event.currentTarget.value));
          }}
        />
      )}
    </Field>
  );
}

function ActionBox({ action, place, draft, faults, removable, onChange }: { action: PayoutAction; place: number; draft: OfferDraft; faults: Invalid[]; removable: boolean; onChange: (action: PayoutAction | undefined) => void }) {
  const set = (part: Partial<PayoutAction>) => onChange({ ...action, ...part });
  const percentage = isPercentage(action);
  const price = percentage ? "100.00" : undefined;
  const earned = payout(action, price ?? "0", draft.currency);
  const template = draft.parameter_templates.find((item) => item.name === action.template);
  const extra = template?.state === "active" ? template.parameters.filter((parameter) => parameter.required).map((parameter) => parameter.name) : [];
  const input = (name: "name" | "action_type" | "rate" | "partner_percent", label: string, hint?: string, unit?: string) => (
    <Field label={label} hint={hint} faults={under(faults, `/actions/${place}/${name}`)}>
      {(ids) => (
        <span class="with-unit">
          <input {...ids} required spellcheck={false} inputMode={unit === undefined ? undefined : "decimal"} value={action[name]} onInput={(event) => set({ [name]: event.currentTarget.value })} />
          {unit !== undefined && <span class="muted">{unit}</span>}
        </span>
      )}
    </Field>
  );
  return (
    <fieldset class="box">
      <legend>
        {t.action(place + 1, action.name)}
        {removable && <Button kind="quiet" icon="trash" aria-label={t.removeAction(action.name || String(place + 1))} onClick={() => onChange(undefined)} />}
      </legend>
      <div class="two">
        {input("name", t.actionName, t.actionNameHint)}
        {input("action_type", t.actionType)}
      </div>
      <Choice label={t.model} value={action.model} options={MODELS.map((model) => [model, t.models[model]] as const)} onChange={(model) => set({ model, rate_type: undefined })} hint={t.modelHints[action.model]} />
      {action.model === "recurring" && <Choice label={t.rateType} value={action.rate_type ?? "amount"} options={t.rateTypes} onChange={(rate_type) => set({ rate_type })} />}
      <div class="three">
        {input("rate", t.rate, t.rateHint, percentage ? "%" : draft.currency)}
        {input("partner_percent", t.partner, t.partnerHint, "%")}
        <Field label={t.rounding} faults={under(faults, `/actions/${place}/rounding`)}>
          {(ids) => (
            <select {...ids} value={action.rounding} onChange={(event) => set({ rounding: ROUNDINGS.find((name) => name === event.currentTarget.value) ?? "half_even" })}>
              {ROUNDINGS.map((name) => (
                <option key={name} value={name}>
                  {t.roundings[name]}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      {draft.parameter_templates.length > 0 && (
        <Field label={t.extra} faults={under(faults, `/actions/${place}/template`)}>
          {(ids) => (
            <select {...ids} value={action.template ?? ""} onChange={(event) => set({ template: event.currentTarget.value || null })}>
              <option value="">{t.noTemplate}</option>
              {draft.parameter_templates.map((item, index) => (
                <option key={index} value={item.name}>
                  {item.state === "active" ? item.name : t.inactiveTemplate(item.name)}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
      <Check checked={action.locks} onChange={(locks) => set({ locks })} hint={t.locksHint}>
        {t.locks}
      </Check>
      <p class="sums num">
        {earned !== undefined && t.examplePayout(price, earned, draft.currency)} {t.requires}{" "}
        {requiredParameters(action, extra).map((name) => (
          <code key={name} class="chip">
            {name}
          </code>
        ))}
      </p>
    </fieldset>
  );
}

function Templates({ draft, change, faults, readOnly }: { draft: OfferDraft; change: (part: Partial<OfferDraft>) => void; faults: Invalid[]; readOnly: boolean }) {
  const templates = draft.parameter_templates;
  const set = (index: number, next: ParameterTemplate | undefined) => {
    const before = templates[index]?.name;
    // An action that picked it goes on with it under its other name, and without it once it is gone.
    const actions = draft.actions.map((action) => (before !== undefined && action.template === before && next?.name !== before ? { ...action, template: next?.name ?? null } : action));
    change({ parameter_templates: changed(templates, index, next), actions });
  };
  return (
    <section class="card" aria-label={t.templatesTitle}>
      <h2>{t.templatesTitle}</h2>
      <p class="hint">{t.templatesHint}</p>
      {templates.map((template, index) => (
        <TemplateBox key={index} template={template} pointer={`/parameter_templates/${index}`} faults={faults} readOnly={readOnly} onChange={(next) => set(index, next)} />
      ))}
      {!readOnly && (
        <Button icon="plus" onClick={() => change({ parameter_templates: [...templates, { name: "", state: "active", parameters: [{ name: "", required: false, field: "Text1" }] }] })}>
          {t.addTemplate}
        </Button>
      )}
    </section>
  );
}

function TemplateBox({ template, pointer, faults, readOnly, onChange }: { template: ParameterTemplate; pointer: string; faults: Invalid[]; readOnly: boolean; onChange: (template: ParameterTemplate | undefined) => void }) {
  const { parameters } = template;
  const setParameter = (index: number, next: ExtraParameter | undefined) => onChange({ ...template, parameters: changed(parameters, index, next) });
  return (
    <fieldset class="box">
      <legend>
        {template.name || t.templateName}
        {!readOnly && <Button kind="quiet" icon="trash" aria-label={t.removeTemplate(template.name)} onClick={() => onChange(undefined)} />}
      </legend>
      <Field label={t.templateName} faults={under(faults, `${pointer}/name`)}>
        {(ids) => <input {...ids} required value={template.name} onInput={(event) => onChange({ ...template, name: event.currentTarget.value })} />}
      </Field>
      <Check checked={template.state === "active"} onChange={(active) => onChange({ ...template, state: active ? "active" : "inactive" })}>
        {t.templateActive}
      </Check>
      {parameters.map((parameter, index) => (
        <div key={index}>
          <div class="parameter-row">
            <input aria-label={t.parameter(index + 1)} placeholder="city" spellcheck={false} value={parameter.name} onInput={(event) => setParameter(index, { ...parameter, name: event.currentTarget.value })} />
            <span aria-hidden="true">→</span>
            <input aria-label={t.field(index + 1)} placeholder="Text1" spellcheck={false} value={parameter.field} onInput={(event) => setParameter(index, { ...parameter, field: event.currentTarget.value })} />
            <Check checked={parameter.required} onChange={(required) => setParameter(index, { ...parameter, required })}>
              {t.required}
            </Check>
            {!readOnly && <Button kind="quiet" icon="trash" aria-label={t.removeParameter(parameter.name || String(index + 1))} onClick={() => setParameter(index, undefined)} />}
          </div>
          {under(faults, `${pointer}/parameters/${index}`).map((fault) => (
            <p class="faults" key={fault}>
              {fault}
            </p>
          ))}
        </div>
      ))}
      {!readOnly && (
        <Button icon="plus" onClick={() => onChange({ ...template, parameters: [...parameters, { name: "", required: false, field: "" }] })}>
          {t.addParameter}
        </Button>
      )}
    </fieldset>
  );
}
