// Live data: a call is made again every two seconds while the page is seen.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "./api/client";

export const LIVE_MS = 2000;

export interface Live<T> {
  /** The last good answer. */
  data: T | undefined;
  /** Why the last call failed; the data stays on the screen meanwhile. */
  failure: Failure | undefined;
  /** Asks again now. */
  again: () => void;
}

/**
 * Calls `load` now, when `key` changes, and then every `every` milliseconds (never again if 0). A hidden
 * page asks nothing. A late answer to an old question is dropped.
 */
export function useLive<T>(key: string, load: (signal: AbortSignal) => Promise<T>, every: number = LIVE_MS): Live<T> {
  const [state, setState] = useState<{ key: string; data?: T; failure?: Failure }>({ key });
  const latest = useRef(load);
  latest.current = load;
  const [round, setRound] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      timer = undefined;
      if (document.hidden && every > 0) return; // asked again when the page is seen
      let pause = every;
      try {
        const data = await latest.current(abort.signal);
        if (abort.signal.aborted) return;
        setState({ key, data });
      } catch (error) {
        if (abort.signal.aborted) return;
        const failure = Failure.of(error);
        setState((old) => ({ key, data: old.key === key ? old.data : undefined, failure }));
        pause = every > 0 ? Math.max(every, 5000) : 0;
      }
      if (pause > 0) timer = setTimeout(ask, pause);
    };
    const seen = () => {
      if (!document.hidden && timer === undefined && every > 0) void ask();
    };
    void ask();
    document.addEventListener("visibilitychange", seen);
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key, every, round]);
  const again = useCallback(() => setRound((n) => n + 1), []);
  const fresh = state.key === key;
  return { data: fresh ? state.data : undefined, failure: fresh ? state.failure : undefined, again };
}
