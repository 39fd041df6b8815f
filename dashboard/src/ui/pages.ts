// A long, live list: pages are read as they are scrolled to, and what is seen is read again.
//
// Ids are in order of time, also as text, newest first in the list. So a page says of every id between
// its first and its last whether it belongs to the list, and pages can be read again in any order.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../api/client";
import type { Listed } from "../api/types";
import { LIVE_MS } from "../live";

export interface Row {
  id: string;
}

/** The rows after `page` was read from just below `upper`; `whole` if nothing follows the page. */
export function merge<T extends Row>(rows: T[], page: T[], upper: string | undefined, whole: boolean): T[] {
  const [last, lowest] = [page.at(-1)?.id, rows.at(-1)?.id];
  if (last === undefined && !whole) return rows;
  // The next older page, as nearly always: nothing is between.
  if (lowest !== undefined && upper === lowest) return [...rows, ...page];
  const covered = (id: string) => (upper === undefined || id < upper) && (whole || (last !== undefined && id >= last));
  const kept = rows.filter((row) => !covered(row.id));
  return [...kept, ...page].sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
}

/** Whether rows lie unread between the page of the newest and what was read before. */
export function leavesGap<T extends Row>(rows: T[], page: T[], whole: boolean): boolean {
  const [top, last] = [rows[0]?.id, page.at(-1)?.id];
  return !whole && top !== undefined && last !== undefined && last > top;
}

export const PAGE = 200;

export interface Pages<T> {
  rows: T[];
  /** Whether the first page was read. */
  ready: boolean;
  /** Whether nothing older follows. */
  complete: boolean;
  /** So much came in that the list was not brought up to date under the reader. */
  behind: boolean;
  failure: Failure | undefined;
  /** Reads the next older page. */
  more: () => void;
  /** Starts again at the newest. */
  restart: () => void;
}

export type Load<T> = (cursor: string | undefined, signal: AbortSignal) => Promise<Listed<T>>;

export function usePages<T extends Row>(key: string, load: Load<T>, seen: () => { top: boolean; first: string | undefined }): Pages<T> {
  const [round, setRound] = useState(0);
  const [state, setState] = useState({ rows: [] as T[], ready: false, complete: false, behind: false, failure: undefined as Failure | undefined });
  const pages = useRef<{ cursor: string | undefined; upper: string | undefined }[]>([]);
  const next = useRef<string | undefined>();
  const busy = useRef(false);
  const abort = useRef(new AbortController());
  const [loader, visible] = [useRef(load), useRef(seen)];
  loader.current = load;
  visible.current = seen;

  useEffect(() => {
    const control = new AbortController();
    abort.current = control;
    pages.current = [];
    next.current = undefined;
    busy.current = false;
    setState({ rows: [], ready: false, complete: false, behind: false, failure: undefined });
    let rows: T[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;

    const readFirst = async () => {
      const page = await loader.current(undefined, control.signal);
      const whole = page.next_cursor === null;
      if (leavesGap(rows, page.data, whole) && !visible.current().top) {
        setState((old) => ({ ...old, behind: true, failure: undefined }));
        return;
      }
      const fresh = pages.current.length === 0 || leavesGap(rows, page.data, whole);
      if (fresh) {
        rows = page.data;
        pages.current = [{ cursor: undefined, upper: undefined }];
        next.current = page.next_cursor ?? undefined;
      }
      setState((old) => {
        rows = fresh ? page.data : merge(old.rows, page.data, undefined, whole);
        const complete = fresh ? whole : old.complete || whole;
        return { rows, ready: true, complete, behind: false, failure: undefined };
      });
    };
    // The page that is seen, if it is not the first.
    const readSeen = async () => {
      const first = visible.current().first;
      const page = pages.current.findLast((page) => page.upper !== undefined && first !== undefined && first < page.upper);
      if (!page) return;
      const found = await loader.current(page.cursor, control.signal);
      setState((old) => {
        rows = merge(old.rows, found.data, page.upper, found.next_cursor === null);
        return { ...old, rows };
      });
    };
    const poll = async () => {
      timer = undefined;
      if (document.hidden) return;
      let pause = LIVE_MS;
      try {
        await readFirst();
        await readSeen();
      } catch (error) {
        if (control.signal.aborted) return;
        pause = 5000;
        setState((old) => ({ ...old, ready: true, failure: Failure.of(error) }));
      }
      if (!control.signal.aborted) timer = setTimeout(poll, pause);
    };
    const woken = () => {
      if (!document.hidden && timer === undefined) void poll();
    };
    void poll();
    document.addEventListener("visibilitychange", woken);
    return () => {
      control.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", woken);
    };
  }, [key, round]);

  const more = useCallback(() => {
    const cursor = next.current;
    if (cursor === undefined || busy.current) return;
    busy.current = true;
    const control = abort.current;
    loader.current(cursor, control.signal).then(
      (page) => {
        if (control.signal.aborted) return;
        next.current = page.next_cursor ?? undefined;
        setState((old) => {
          const upper = old.rows.at(-1)?.id;
          if (upper !== undefined && !pages.current.some((known) => known.cursor === cursor)) pages.current.push({ cursor, upper });
          return { ...old, rows: merge(old.rows, page.data, upper, page.next_cursor === null), complete: page.next_cursor === null };
        });
        busy.current = false;
      },
      (error: unknown) => {
        if (control.signal.aborted) return;
        busy.current = false;
        setState((old) => ({ ...old, failure: Failure.of(error) }));
      },
    );
  }, []);
  const restart = useCallback(() => setRound((n) => n + 1), []);
  return { ...state, more, restart };
}
