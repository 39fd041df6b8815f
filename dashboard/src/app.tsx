// The frame: navigation, who is signed in, and the screen of the present address.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "./api/client";
import { forgetDirectory, refreshDirectory, useDirectory } from "./directory";
import { lazy } from "./lazy";
import { address, type Place, usePlace } from "./router";
import { Deliveries } from "./screens/deliveries";
import { DeliveryScreen } from "./screens/delivery";
import { Overview } from "./screens/overview";
import { SignIn } from "./screens/sign-in";
import { Subscriptions } from "./screens/subscriptions";
import { chooseAccount, chosenAccount, rights, session, signOut } from "./session";
import { useStore } from "./store";
import { texts } from "./texts";
import { setTheme, theme, THEMES } from "./theme";
import { Button, Empty } from "./ui/basics";
import { NewsStack } from "./ui/dialog";
import { Icon, type IconName } from "./ui/icon";

const SubscriptionScreen = lazy(() => import("./subscription/screen").then((m) => m.SubscriptionScreen));
const NewSubscription = lazy(() => import("./subscription/start").then((m) => m.NewSubscription));
const Events = lazy(() => import("./screens/events").then((m) => m.Events));
const EventScreen = lazy(() => import("./screens/event").then((m) => m.EventScreen));
const ActionScreen = lazy(() => import("./screens/action").then((m) => m.ActionScreen));
const Replays = lazy(() => import("./screens/replays").then((m) => m.Replays));
const Macros = lazy(() => import("./screens/macros").then((m) => m.Macros));
const Actions = lazy(() => import("./inbound/actions").then((m) => m.Actions));
const Offers = lazy(() => import("./inbound/offers").then((m) => m.Offers));
const OfferScreen = lazy(() => import("./inbound/offer").then((m) => m.OfferScreen));
const NewOffer = lazy(() => import("./inbound/offer").then((m) => m.NewOffer));
const InboundKeys = lazy(() => import("./inbound/keys").then((m) => m.InboundKeys));
const InboundCalls = lazy(() => import("./inbound/calls").then((m) => m.InboundCalls));
const InboundCallScreen = lazy(() => import("./inbound/calls").then((m) => m.InboundCallScreen));
const Clicks = lazy(() => import("./inbound/clicks").then((m) => m.Clicks));
const ClickScreen = lazy(() => import("./inbound/clicks").then((m) => m.ClickScreen));
const Accounts = lazy(() => import("./screens/accounts").then((m) => m.Accounts));
const Keys = lazy(() => import("./screens/keys").then((m) => m.Keys));
const Audit = lazy(() => import("./screens/audit").then((m) => m.Audit));

interface Section {
  name: keyof typeof texts.sections & IconName;
  /** For whom it stands in the navigation; all others may still open it by its address. */
  for?: "operator" | "inbound";
}

const SECTIONS: Section[] = [
  { name: "overview" },
  { name: "subscriptions" },
  { name: "deliveries" },
  { name: "events" },
  { name: "actions" },
  { name: "replays" },
  { name: "macros" },
  { name: "offers", for: "inbound" },
  { name: "inbound-keys", for: "inbound" },
  { name: "inbound-calls", for: "inbound" },
  { name: "clicks", for: "inbound" },
  { name: "accounts", for: "operator" },
  { name: "keys", for: "operator" },
  { name: "audit", for: "operator" },
];

function screen({ path, query }: Place): ComponentChildren {
  const [section = "", id, more] = path;
  const operator = rights().operator;
  switch (section) {
    case "":
    case "overview":
      return <Overview query={query} />;
    case "subscriptions":
      if (id === "new") return <NewSubscription query={query} />;
      return id ? <SubscriptionScreen key={id} id={id} /> : <Subscriptions query={query} />;
    case "deliveries":
      return id ? <DeliveryScreen key={id} id={id} /> : <Deliveries query={query} />;
    case "events":
      return id ? <EventScreen key={id} id={id} /> : <Events query={query} />;
    case "actions":
      return id ? <ActionScreen key={id} id={id} account={more} /> : <Actions query={query} />;
    case "offers":
      if (id === "new") return <NewOffer />;
      return id ? <OfferScreen key={id} id={id} tab={more} query={query} /> : <Offers query={query} />;
    case "inbound-keys":
      return <InboundKeys query={query} />;
    case "inbound-calls":
      return id ? <InboundCallScreen key={id} id={id} /> : <InboundCalls query={query} />;
    case "clicks":
      return id ? <ClickScreen key={id} id={id} /> : <Clicks query={query} />;
    case "replays":
      return <Replays query={query} />;
    case "macros":
      return <Macros query={query} />;
    case "accounts":
      if (operator) return <Accounts />;
      break;
    case "keys":
      if (operator) return <Keys />;
      break;
    case "audit":
      if (operator) return <Audit query={query} />;
      break;
  }
  return (
    <Empty title={texts.notFound.title} action={<a href="#/">{texts.notFound.home}</a>}>
      {texts.notFound.text}
    </Empty>
  );
}

export function App() {
  const now = useStore(session);
  if (now.state === "starting") return null;
  if (now.state === "out") {
    return (
      <>
        <SignIn />
        <NewsStack />
      </>
    );
  }
  return <Frame expired={now.expired} who={now.me.key.name || now.me.key.id} />;
}

function Frame({ expired, who }: { expired: boolean; who: string }) {
  const place = usePlace();
  const account = useStore(chosenAccount);
  const [open, setOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const path = place.path.join("/");
  const first = useRef(true);
  useEffect(() => {
    setOpen(false);
    if (first.current) {
      first.current = false;
      return;
    }
    // A new screen is announced and read from its heading; the keyboard goes on from there.
    window.scrollTo(0, 0);
    main.current?.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
  }, [path]);
  useEffect(() => {
    forgetDirectory();
    void refreshDirectory().catch((error: unknown) => Failure.of(error));
  }, [who]);
  const present = place.path[0] ?? "overview";
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        {texts.skip}
      </a>
      <div class={`frame ${open ? "open" : ""}`}>
        <aside>
          <div class="brand">
            <a href="#/" class="logo">
              <Logo />
              Postrider
            </a>
            <Button kind="quiet" class="menu" icon={open ? "close" : "menu"} aria-label={texts.menu} aria-expanded={open} onClick={() => setOpen(!open)} />
          </div>
          <div class="aside-rest">
            <AccountChoice />
            <Sections present={present} />
            <Footer who={who} />
          </div>
        </aside>
        <main id="main" ref={main} tabIndex={-1} key={account}>
          {screen(place)}
        </main>
      </div>
      {expired && <SignIn again />}
      <NewsStack />
    </>
  );
}

function Sections({ present }: { present: string }) {
  const { offers } = useDirectory();
  const { operator } = rights();
  const shown = SECTIONS.filter((section) => !section.for || operator || (section.for === "inbound" && offers));
  return (
    <nav aria-label={texts.navigation}>
      {shown.map((section, index) => (
        <a key={section.name} class={section.for !== shown[index - 1]?.for && index > 0 ? "apart" : ""} href={address([section.name])} aria-current={present === section.name ? "page" : undefined}>
          <Icon name={section.name} />
          {texts.sections[section.name]}
        </a>
      ))}
    </nav>
  );
}

function AccountChoice() {
  const account = useStore(chosenAccount);
  const { accounts } = useDirectory();
  const now = session.get();
  if (now.state !== "in") return null;
  if (now.me.accounts !== "all") {
    return (
      <div class="account-choice fixed">
        <span>{texts.account}</span>
        <b>{now.me.accounts.join(", ")}</b>
      </div>
    );
  }
  // It stands from the start, so that nothing moves when the names come.
  const unnamed = account !== "" && !accounts.some((item) => item.id === account);
  return (
    <label class="account-choice">
      <span>{texts.account}</span>
      <select value={account} onChange={(event) => chooseAccount(event.currentTarget.value)}>
        <option value="">{texts.allAccounts}</option>
        {unnamed && <option value={account}>{account}</option>}
        {accounts.map((item) => (
          <option key={item.id} value={item.id}>
            {item.name}
          </option>
        ))}
      </select>
    </label>
  );
}

function Footer({ who }: { who: string }) {
  const chosen = useStore(theme);
  const now = session.get();
  const scope = now.state === "in" ? texts.scopes[now.me.key.scope][0] : "";
  return (
    <div class="aside-foot">
      <label>
        <span class="offscreen">{texts.theme.label}</span>
        <Icon name="theme" />
        <select value={chosen} onChange={(event) => setTheme(THEMES.find((name) => name === event.currentTarget.value) ?? "system")}>
          {THEMES.map((name) => (
            <option key={name} value={name}>
              {texts.theme[name]}
            </option>
          ))}
        </select>
      </label>
      <div class="who">
        <div>
          <b title={who}>{who}</b>
          <span>{scope}</span>
        </div>
        <Button kind="quiet" icon="out" aria-label={texts.signIn.out} title={texts.signIn.out} onClick={signOut} />
      </div>
    </div>
  );
}

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" class="mark">
      <rect width="32" height="32" rx="8" />
      <path d="M8 23V9h8.5a5 5 0 0 1 0 10H12" />
      <path d="m18 23 6-4-6-4" />
    </svg>
  );
}
