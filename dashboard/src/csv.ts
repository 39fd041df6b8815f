// Lists as a file for spreadsheets: RFC 4180, with texts that a spreadsheet would run as a formula made harmless.
import { Failure, type Query } from "./api/client";
import type { Listed } from "./api/types";
import { writeExact } from "./exact-json";

export interface CsvColumn<T> {
  name: string;
  value: (row: T) => unknown;
}

/** Most rows of one file. */
export const ROWS_MAX = 100_000;
const PAGE = 200;

/** What makes a spreadsheet take a cell for a formula, also in its wide forms, or after a blank that it drops. */
const FORMULA = /^[\s\u0000]*[=+\-@＝＋－＠]|^[\t\r\n]/;
const NUMBER = /^-?\d+(?:\.\d+)?$/;

/** One cell. An apostrophe goes before what would be run; a negative number is only a number. */
export function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? writeExact(value) : String(value);
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const line = (values: unknown[]): string => `${values.map(cell).join(",")}\r\n`;

export interface Exported {
  file: Blob;
  rows: number;
  /** Whether older rows were left out, because the file has as many as one may have. */
  cut: boolean;
}

/** Reads a list page by page to its end and writes it; `told` hears how many rows are done. */
export async function exportCsv<T>(
  columns: CsvColumn<T>[],
  load: (query: Query, signal: AbortSignal) => Promise<Listed<T>>,
  told: (rows: number) => void,
  signal: AbortSignal,
  max: number = ROWS_MAX,
): Promise<Exported> {
  // The mark tells spreadsheets that the text is UTF-8.
  const parts = [`\ufeff${line(columns.map((column) => column.name))}`];
  let rows = 0;
  let cursor: string | undefined;
  for (;;) {
    const page = await patient(() => load({ limit: Math.min(PAGE, max - rows), cursor }, signal), signal);
    parts.push(page.data.map((row) => line(columns.map((column) => column.value(row)))).join(""));
    rows += page.data.length;
    told(rows);
    cursor = page.next_cursor ?? undefined;
    if (cursor === undefined || rows >= max) break;
  }
  return { file: new Blob(parts, { type: "text/csv;charset=utf-8" }), rows, cut: cursor !== undefined };
}

/** A server that is busy for a moment does not end a long export. */
async function patient<T>(read: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await read();
    } catch (error) {
      const { status } = Failure.of(error);
      if (signal.aborted || tries === 5 || ![0, 429, 503].includes(status)) throw error;
      await new Promise((again) => setTimeout(again, tries * 500));
    }
  }
}

/** Hands a file to the browser's downloads. */
export function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
