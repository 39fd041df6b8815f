// Questions that must be answered first, and short news that need no answer.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Failure } from "../api/client";
import type { Invalid } from "../api/types";
import { store, useStore } from "../store";
import { texts } from "../texts";
import { Button, CopyButton, FailureNote, useAction } from "./basics";

export function Dialog({ title, onClose, children, wide = false }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={wide ? "wide" : ""}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <Button kind="quiet" icon="close" aria-label={texts.close} onClick={onClose} />
      </header>
      {children}
    </dialog>
  );
}

/** Asks before something that cannot be taken back, and runs it. */
export function Confirm({
  title,
  children,
  yes,
  danger = true,
  act,
  onClose,
}: {
  title: string;
  children: ComponentChildren;
  yes: string;
  danger?: boolean;
  act: () => Promise<void>;
  onClose: () => void;
}) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const run = async () => {
    setBusy(true);
    try {
      await act();
      onClose();
    } catch (error) {
      setFailure(Failure.of(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="dialog-body">
        {children}
        {failure && <FailureNote failure={failure} />}
      </div>
      <footer>
        <Button onClick={onClose}>{texts.cancel}</Button>
        <Button kind={danger ? "danger" : "primary"} busy={busy} onClick={run}>
          {yes}
        </Button>
      </footer>
    </Dialog>
  );
}

/** A form in a dialog: saved by `act`, which closes it, or told why not; the faults may be shown at their fields, too. */
export function FormDialog({ title, yes, act, ready = true, onClose, wide, children }: { title: string; yes: string; act: () => Promise<void>; ready?: boolean; onClose: () => void; wide?: boolean; children: ComponentChildren | ((faults: Invalid[]) => ComponentChildren) }) {
  const [failure, setFailure] = useState<Failure>();
  const [save, busy] = useAction(async () => {
    setFailure(undefined);
    try {
      await act();
      onClose();
    } catch (error) {
      setFailure(Failure.of(error));
    }
  });
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <div class="dialog-body">
          {typeof children === "function" ? children(failure?.errors ?? []) : children}
          {failure && <FailureNote failure={failure} />}
        </div>
        <footer>
          <Button onClick={onClose}>{texts.cancel}</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!ready}>
            {yes}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

/** Shows a secret the only time that it can be seen. */
export function SecretDialog({ title, text, secret, onClose }: { title: string; text: string; secret: string; onClose: () => void }) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="dialog-body">
        <p>{text}</p>
        <div class="secret">
          <code>{secret}</code>
          <CopyButton text={secret} />
        </div>
      </div>
      <footer>
        <Button kind="primary" onClick={onClose}>
          {texts.kept}
        </Button>
      </footer>
    </Dialog>
  );
}

interface News {
  id: number;
  text: string;
  tone: "good" | "bad";
}

const news = store<News[]>([]);
let last = 0;

/** Tells something for a few seconds. */
export function tell(text: string, tone: "good" | "bad" = "good"): void {
  const id = ++last;
  news.set([...news.get().slice(-2), { id, text, tone }]);
  setTimeout(() => news.set(news.get().filter((item) => item.id !== id)), tone === "bad" ? 8000 : 4000);
}

/** Runs an action; a failure is told. */
export async function attempt(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    tell(Failure.of(error).message, "bad");
    return false;
  }
}

export function NewsStack() {
  const items = useStore(news);
  return (
    <div class="news" role="status" aria-live="polite">
      {items.map((item) => (
        <div key={item.id} class={item.tone}>
          {item.text}
        </div>
      ))}
    </div>
  );
}
