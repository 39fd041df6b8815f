// Short lists of what was set up: all of it at once, one block for each on a narrow screen.
import type { ComponentChildren } from "preact";
import type { Live } from "../live";
import { texts } from "../texts";
import { Empty, FailureNote, Skeleton } from "./basics";

export interface Column<T> {
  name: string;
  class?: string;
  cell: (row: T) => ComponentChildren;
}

/** A table whose first column names the row. */
export function Records<T extends { id: string }>({ rows, columns, fixed = false }: { rows: T[]; columns: Column<T>[]; fixed?: boolean }) {
  return (
    <table class={`rows stack ${fixed ? "fixed" : ""}`}>
      <thead>
        <tr>
          {columns.map((column) => (
            <th key={column.name} class={column.class}>
              {column.class?.includes("row-actions") ? <span class="offscreen">{column.name}</span> : column.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.id}>
            {columns.map((column, index) => {
              const main = index === 0 || column.class?.includes("row-actions");
              return (
                <td key={column.name} class={`${index === 0 ? "main-cell" : ""} ${column.class ?? ""}`} data-label={main ? undefined : column.name}>
                  {column.cell(row)}
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The same for a list that is read from the API, with what stands there until it has come, and if it is empty. */
export function RecordList<T extends { id: string }>({
  live: { data, failure, again },
  columns,
  empty,
}: {
  live: Live<T[]>;
  columns: Column<T>[];
  empty?: { title: string; text: ComponentChildren; action?: ComponentChildren };
}) {
  return (
    <>
      {failure && <FailureNote failure={failure} again={again} />}
      {!data && !failure && <Skeleton />}
      {data?.length === 0 && empty && (
        <Empty title={empty.title} action={empty.action}>
          {empty.text}
        </Empty>
      )}
      {data && data.length > 0 && (
        <div class="card flush">
          <Records rows={data} columns={columns} />
        </div>
      )}
    </>
  );
}

/** What can be done with a row; the last column. */
export function actionsColumn<T>(cell: (row: T) => ComponentChildren): Column<T> {
  return { name: texts.actions, class: "right row-actions", cell };
}

/** Narrows a short list by what is typed; the address keeps it. */
export function SearchBox({ label, value, onInput, children }: { label: string; value: string; onInput: (text: string) => void; children?: ComponentChildren }) {
  return (
    <>
      <label class="search">
        <span class="offscreen">{label}</span>
        <input type="search" placeholder={label} value={value} onInput={(event) => onInput(event.currentTarget.value)} />
      </label>
      {children}
    </>
  );
}
