// Something saved that is changed on the screen: read once, edited as a draft, written back with its version.
import { useEffect, useState } from "preact/hooks";
import { call, Failure } from "./api/client";
import type { Invalid } from "./api/types";
import { useLive } from "./live";
import { setGuard } from "./router";
import { texts } from "./texts";
import { useAction } from "./ui/basics";

/** Asks before the screen is left while there is unsaved work. */
export function useLeaveGuard(unsaved: boolean): void {
  useEffect(() => {
    setGuard(unsaved ? () => confirm(texts.unsaved) : undefined);
    const leaving = (event: BeforeUnloadEvent) => {
      if (unsaved) event.preventDefault();
    };
    window.addEventListener("beforeunload", leaving);
    return () => {
      window.removeEventListener("beforeunload", leaving);
      setGuard(undefined);
    };
  }, [unsaved]);
}

export interface Edited<T, D> {
  saved: T | undefined;
  draft: D | undefined;
  /** Why it could not be read. */
  failure: Failure | undefined;
  /** Why it could not be saved. */
  problem: Failure | undefined;
  faults: Invalid[];
  changed: boolean;
  saving: boolean;
  edit: (draft: D) => void;
  save: () => Promise<void>;
  discard: () => void;
  /** Reads it again; what was not saved is lost. */
  reload: () => void;
  /** Takes over a state that another call answered with; `draft` is what is being edited from now on. */
  adopt: (saved: T, etag: string | null, draft: D) => void;
}

/** `draftOf` is the part that can be edited, `bodyOf` what of it is sent. `told` hears of every saved state. */
export function useEdited<T, D>(path: string, draftOf: (saved: T) => D, bodyOf: (draft: D) => unknown, told: (saved: T, written: boolean) => void): Edited<T, D> {
  const [saved, setSaved] = useState<{ body: T; etag: string | null }>();
  const [draft, setDraft] = useState<D>();
  const [problem, setProblem] = useState<Failure>();
  const [round, setRound] = useState(0);
  const put = (body: T, etag: string | null, written: boolean) => {
    setSaved({ body, etag });
    setDraft(draftOf(body));
    setProblem(undefined);
    told(body, written);
  };
  const { failure } = useLive(
    `${path} ${round}`,
    async (signal) => {
      const { body, etag } = await call<T>("GET", path, { signal });
      put(body, etag, false);
    },
    0,
  );
  const changed = Boolean(saved && draft && JSON.stringify(bodyOf(draft)) !== JSON.stringify(bodyOf(draftOf(saved.body))));
  useLeaveGuard(changed);
  const [save, saving] = useAction(async () => {
    if (!draft || !saved) return;
    try {
      const { body, etag } = await call<T>("PUT", path, { body: bodyOf(draft), ifMatch: saved.etag ?? undefined });
      put(body, etag, true);
    } catch (error) {
      setProblem(Failure.of(error));
    }
  });
  return {
    saved: saved?.body,
    draft,
    failure,
    problem,
    faults: problem?.errors ?? [],
    changed,
    saving,
    edit: (next) => {
      setDraft(next);
      setProblem(undefined);
    },
    save,
    discard: () => saved && put(saved.body, saved.etag, false),
    reload: () => setRound((n) => n + 1),
    adopt: (body, etag, next) => {
      setSaved({ body, etag });
      setDraft(next);
    },
  };
}
