// A screen with one long list: filters that stand in the address, rows that come in live, and the whole as a file.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, get, type Query } from "../api/client";
import type { Listed } from "../api/types";
import { type CsvColumn, exportCsv, ROWS_MAX, save } from "../csv";
import { count, exactCount, fromLocalInput, toLocalInput } from "../format";
import { address, go } from "../router";
import { chosenAccount, rights } from "../session";
import { texts } from "../texts";
import { Button, Empty, FailureNote, Head, Skeleton } from "./basics";
import { tell } from "./dialog";
import { PAGE, type Row, usePages } from "./pages";
import type { Column } from "./records";
import { VirtualTable } from "./virtual-table";

const t = texts.list;

export type Change = Record<string, string | undefined>;

interface Props<T extends Row> {
  title: string;
  sub?: ComponentChildren;
  /** What can be done with all that is shown; right of the title. */
  actions?: ComponentChildren;
  /** The address of the screen. */
  place: string[];
  query: Record<string, string>;
  /** The names of the filters in the address, besides the period. */
  filters: string[];
  /** The controls of the filters. */
  controls?: (show: (change: Change) => void) => ComponentChildren;
  /** What is asked of the API, if it is not called as in the address. */
  asked?: Query;
  /** Where the API has the list. */
  path: string;
  read?: (path: string, query: Query, signal: AbortSignal) => Promise<Listed<T>>;
  columns: Column<T>[];
  csv: CsvColumn<T>[];
  /** Reads what the file needs besides the rows. */
  beforeExport?: () => Promise<void>;
  /** Between the filters and the rows. */
  above?: (rows: T[]) => ComponentChildren;
  onRows?: (rows: T[]) => void;
  empty: { title: string; text: ComponentChildren; action?: ComponentChildren };
  noneFits: { title: string; text?: string };
}

export function LiveList<T extends Row>({ read = get<Listed<T>>, columns, csv, place, query, path, ...props }: Props<T>) {
  const account = chosenAccount.get();
  const { since, until } = query;
  const asked: Query = { account, since, until, ...(props.asked ?? Object.fromEntries(props.filters.map((name) => [name, query[name]]))) };
  const view = useRef<{ top: boolean; first: string | undefined }>({ top: true, first: undefined });
  const pages = usePages<T>(
    JSON.stringify(asked),
    (cursor, signal) => read(path, { ...asked, limit: PAGE, cursor }, signal),
    () => view.current,
  );
  useEffect(() => props.onRows?.(pages.rows), [pages.rows]);
  const show = (change: Change) => go(address(place, { ...query, ...change }), "replace");
  const used = [...props.filters, "since", "until"].filter((name) => query[name]).length;
  const filtered = used > 0;
  const [open, setOpen] = useState(false);
  const clear = () => go(address(place), "replace");
  const period = (name: "since" | "until") => (
    <label class="inline">
      {texts[name]}
      <input type="datetime-local" value={toLocalInput(query[name])} onChange={(event) => show({ [name]: fromLocalInput(event.currentTarget.value) })} />
    </label>
  );
  return (
    <div class="fill">
      <Head title={props.title} sub={props.sub}>
        {props.actions}
        <Export name={place.join("-")} columns={csv} before={props.beforeExport} load={(more, signal) => read(path, { ...asked, ...more }, signal)} disabled={pages.rows.length === 0} />
      </Head>
      <div class={`filters ${open ? "" : "folded"}`}>
        <Button class="toggle" icon="filter" aria-expanded={open} onClick={() => setOpen(!open)}>
          {t.filters(used)}
        </Button>
        {props.controls?.(show)}
        <div class="period">
          {period("since")}
          {period("until")}
        </div>
        {filtered && (
          <Button kind="quiet" icon="close" onClick={clear}>
            {t.clear}
          </Button>
        )}
        <span class="live muted num" role="status">
          {pages.ready && t.loaded(count(pages.rows.length), pages.complete)}
        </span>
      </div>
      {props.above?.(pages.rows)}
      {pages.failure && <FailureNote failure={pages.failure} again={pages.restart} />}
      {pages.behind && (
        <button type="button" class="behind" onClick={pages.restart}>
          {t.behind}
        </button>
      )}
      {!pages.ready && <Skeleton rows={10} />}
      {pages.ready && pages.rows.length === 0 && !pages.failure && (
        <Empty title={filtered ? props.noneFits.title : props.empty.title} action={filtered ? <Button onClick={clear}>{t.clear}</Button> : props.empty.action}>
          {filtered ? (props.noneFits.text ?? t.noneFitsText) : props.empty.text}
        </Empty>
      )}
      {pages.rows.length > 0 && (
        <VirtualTable
          label={props.title}
          columns={columns}
          rows={pages.rows}
          complete={pages.complete}
          onEnd={pages.more}
          onView={(first, top) => (view.current = { first: first?.id, top })}
          end={!pages.complete && <p class="nothing">{texts.loading}</p>}
        />
      )}
    </div>
  );
}

/** The column with the account, where rows of several are shown. */
export function accountColumn<T extends { account: string | null }>(): Column<T>[] {
  return rights().allAccounts && !chosenAccount.get() ? [{ name: texts.account, class: "wide-only", cell: (item) => item.account ?? "–" }] : [];
}

/** A filter that is one of many; a value that is not among them is shown as it is. */
export function SelectFilter({ label, any, value, options, onChange }: { label: string; any: string; value: string | undefined; options: readonly (readonly [string, string])[]; onChange: (value: string) => void }) {
  return (
    <label>
      <span class="offscreen">{label}</span>
      <select value={value ?? ""} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">{any}</option>
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
        {value && !options.some(([option]) => option === value) && <option value={value}>{value}</option>}
      </select>
    </label>
  );
}

/** A filter that is one of few, all in sight. */
export function ChipFilter({ label, value, options, onChange }: { label: string; value: string | undefined; options: readonly (readonly [string, string])[]; onChange: (value: string) => void }) {
  return (
    <div class="chips" role="group" aria-label={label}>
      {options.map(([option, text]) => (
        <button key={option} type="button" aria-pressed={(value ?? "") === option} onClick={() => onChange(option)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** A filter by a text, asked for when it is whole. */
export function TextFilter({ label, value, placeholder, onChange }: { label: string; value: string | undefined; placeholder: string; onChange: (value: string) => void }) {
  const [typed, setTyped] = useState(value ?? "");
  useEffect(() => setTyped(value ?? ""), [value]);
  return (
    <form
      class="text-filter"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        onChange(typed.trim());
      }}
    >
      <input type="search" aria-label={label} placeholder={placeholder} spellcheck={false} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} onBlur={() => typed.trim() !== (value ?? "") && onChange(typed.trim())} />
    </form>
  );
}

/** Writes all rows that fit the filters, not only those that were scrolled to. */
function Export<T>({ name, columns, before, load, disabled }: { name: string; columns: CsvColumn<T>[]; before?: () => Promise<void>; load: (query: Query, signal: AbortSignal) => Promise<Listed<T>>; disabled: boolean }) {
  const [rows, setRows] = useState<number>();
  const stop = useRef<AbortController>();
  useEffect(() => () => stop.current?.abort(), []);
  const run = async () => {
    const control = new AbortController();
    stop.current = control;
    setRows(0);
    try {
      await before?.();
      const done = await exportCsv(columns, load, setRows, control.signal);
      save(done.file, `postrider-${name}-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv`);
      tell(done.cut ? t.exportedPart(exactCount(ROWS_MAX)) : t.exported(exactCount(done.rows)));
    } catch (error) {
      if (!control.signal.aborted) tell(Failure.of(error).message, "bad");
    }
    setRows(undefined);
  };
  if (rows === undefined) {
    return (
      <Button icon="download" disabled={disabled} onClick={() => void run()}>
        {t.export}
      </Button>
    );
  }
  return (
    <Button icon="close" onClick={() => stop.current?.abort()}>
      <span class="num">{t.exporting(exactCount(rows))}</span>
    </Button>
  );
}
