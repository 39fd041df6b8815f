// Inbound keys: the part of the postback URL by which an advertiser is known.
import { useState } from "preact/hooks";
import { all, at, call, post } from "../api/client";
import type { Invalid } from "../api/types";
import { useDirectory } from "../directory";
import { fromLocalInput } from "../format";
import { useLive } from "../live";
import { address, go } from "../router";
import { chosenAccount, rights, session } from "../session";
import { useColumns } from "../screens/keys";
import { Button, CopyButton, Field, Head } from "../ui/basics";
import { Confirm, FormDialog, tell } from "../ui/dialog";
import { actionsColumn, RecordList } from "../ui/records";
import "./style.css";
import { splitWords } from "./offer-draft";
import { texts } from "./texts";
import type { InboundKey, Offer } from "./types";

const t = texts.keys;
const OVERLAP_HOURS = 24;

export function InboundKeys({ query }: { query: Record<string, string> }) {
  const account = chosenAccount.get();
  const keys = useLive(`inbound keys ${account}`, (signal) => all<InboundKey>("/v1/inbound-keys", { account }, signal), 10_000);
  const [rotating, setRotating] = useState<InboundKey>();
  const [removing, setRemoving] = useState<InboundKey>();
  const { write, allAccounts } = rights();
  const adding = query.new !== undefined && write;
  const close = () => go(address(["inbound-keys"]), "replace");
  const add = write && (
    <Button kind="primary" icon="plus" onClick={() => go(address(["inbound-keys"], { new: "1" }), "replace")}>
      {t.add}
    </Button>
  );
  return (
    <>
      <Head title={t.title} sub={t.sub}>
        {add}
      </Head>
      <RecordList
        live={keys}
        empty={{ title: t.emptyTitle, text: t.emptyText, action: add }}
        columns={[
          {
            name: t.name,
            cell: (key) => (
              <>
                <b>{key.name}</b>
                <span class="muted">
                  <code>{key.prefix}…</code>
                  {allAccounts && <> · {key.account}</>}
                </span>
              </>
            ),
          },
          {
            name: t.offer,
            cell: (key) => (key.offer ? <a href={address(["offers", key.offer, "codes"], { key: key.id })}>{key.offer}</a> : <span class="muted">{t.anyOffer}</span>),
          },
          { name: t.addresses, cell: (key) => (key.addresses.length > 0 ? <span class="break">{key.addresses.join(", ")}</span> : <span class="muted">{t.anyAddress}</span>) },
          ...useColumns<InboundKey>(),
          actionsColumn<InboundKey>((key) => (
            <>
              {key.key && <CopyButton text={key.key} label={t.copyKey} />}
              {write && (
                <>
                  <Button kind="quiet" icon="replays" onClick={() => setRotating(key)}>
                    {t.rotate}
                  </Button>
                  <Button kind="quiet" icon="trash" aria-label={t.removeTitle(key.name)} onClick={() => setRemoving(key)} />
                </>
              )}
            </>
          )),
        ]}
      />
      {adding && <AddKey offer={query.offer} account={query.account} onClose={close} onAdded={keys.again} />}
      {rotating && <Rotate key_={rotating} onClose={() => setRotating(undefined)} onDone={keys.again} />}
      {removing && (
        <Confirm
          title={t.removeTitle(removing.name)}
          yes={t.remove}
          onClose={() => setRemoving(undefined)}
          act={async () => {
            await call("DELETE", at`/v1/inbound-keys/${removing.id}`);
            tell(t.removed);
            keys.again();
          }}
        >
          <p>{t.removeText}</p>
        </Confirm>
      )}
    </>
  );
}

function Rotate({ key_: key, onClose, onDone }: { key_: InboundKey; onClose: () => void; onDone: () => void }) {
  const [hours, setHours] = useState(String(OVERLAP_HOURS));
  return (
    <FormDialog
      title={t.rotateTitle(key.name)}
      yes={t.rotate}
      onClose={onClose}
      act={async () => {
        await post<InboundKey>(at`/v1/inbound-keys/${key.id}/rotate`, { overlap_s: Math.round(Number(hours) * 3600) });
        tell(t.rotated);
        onDone();
      }}
    >
      <p class="lead">{t.rotateText}</p>
      <Field label={t.overlap}>
        {(ids) => (
          <span class="with-unit">
            <input {...ids} type="number" min="0" step="any" required value={hours} onInput={(event) => setHours(event.currentTarget.value)} />
            <span class="muted">{t.hours}</span>
          </span>
        )}
      </Field>
    </FormDialog>
  );
}

/** What is wrong with each network, after its text. */
function addressFaults(faults: Invalid[], networks: string[]): string[] {
  return faults.flatMap((fault) => {
    const index = /^\/addresses\/(\d+)$/.exec(fault.pointer)?.[1];
    return index === undefined ? [] : [`\`${networks[Number(index)] ?? ""}\`: ${fault.detail}`];
  });
}

function AddKey({ offer: wanted, account: wantedAccount, onClose, onAdded }: { offer: string | undefined; account: string | undefined; onClose: () => void; onAdded: () => void }) {
  const { accounts } = useDirectory();
  const { data: offers } = useLive("offers for keys", (signal) => all<Offer>("/v1/offers", {}, signal), 0);
  const now = session.get();
  const only = now.state === "in" && now.me.accounts !== "all" ? now.me.accounts[0] : undefined;
  const [name, setName] = useState("");
  const [account, setAccount] = useState(only ?? wantedAccount ?? chosenAccount.get());
  const [offer, setOffer] = useState(wanted ?? "");
  const [addresses, setAddresses] = useState("");
  const [perSecond, setPerSecond] = useState("");
  const [expires, setExpires] = useState("");
  const act = async () => {
    const made = await post<InboundKey>("/v1/inbound-keys", {
      account,
      offer: offer || undefined,
      name,
      addresses: splitWords(addresses),
      per_second: perSecond ? Number(perSecond) : undefined,
      expires_at: fromLocalInput(expires),
    });
    tell(t.added);
    onAdded();
    // Whoever came from an offer goes back to its codes, with the key chosen.
    if (wanted) go(address(["offers", wanted, "codes"], { key: made.id }));
  };
  return (
    <FormDialog title={t.add} yes={t.add} act={act} onClose={onClose}>
      {(faults) => (
        <>
          <Field label={t.name} hint={t.nameHint}>
            {(ids) => <input {...ids} required maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />}
          </Field>
          {!only && (
            <Field label={t.account}>
              {(ids) => (
                <select
                  {...ids}
                  required
                  value={account}
                  onChange={(event) => {
                    setAccount(event.currentTarget.value);
                    setOffer("");
                  }}
                >
                  <option value="">{t.choose}</option>
                  {accounts.map((item) => (
                    <option key={item.id} value={item.id}>
                      {item.name}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          )}
          <Field label={t.offer} hint={t.offerHint}>
            {(ids) => (
              <select {...ids} value={offer} onChange={(event) => setOffer(event.currentTarget.value)}>
                <option value="">{t.anyOffer}</option>
                {offers
                  ?.filter((item) => item.account === account)
                  .map((item) => (
                    <option key={item.id} value={item.id}>
                      {item.name}
                    </option>
                  ))}
              </select>
            )}
          </Field>
          <Field label={t.addresses} hint={t.addressesHint} faults={addressFaults(faults, splitWords(addresses))}>
            {(ids) => <textarea {...ids} class="mono" rows={2} spellcheck={false} placeholder="203.0.113.0/24" value={addresses} onInput={(event) => setAddresses(event.currentTarget.value)} />}
          </Field>
          <div class="two">
            <Field label={t.perSecond} hint={t.perSecondHint}>
              {(ids) => <input {...ids} type="number" min="1" step="1" value={perSecond} onInput={(event) => setPerSecond(event.currentTarget.value)} />}
            </Field>
            <Field label={t.expires} hint={t.expiresHint}>
              {(ids) => <input {...ids} type="datetime-local" value={expires} onInput={(event) => setExpires(event.currentTarget.value)} />}
            </Field>
          </div>
        </>
      )}
    </FormDialog>
  );
}
