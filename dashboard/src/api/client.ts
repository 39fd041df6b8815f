// The calls of the REST API. The key is sent with each and goes nowhere else.
import { parseExact, writeExact } from "../exact-json";
import { texts } from "../texts";
import type { Invalid } from "./types";

/** Why a call failed, in words for people. */
export class Failure extends Error {
  constructor(
    /** The HTTP status; 0 if there was no answer. */
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: Invalid[] = [],
  ) {
    super(detail);
  }

  static of(error: unknown): Failure {
    if (error instanceof Failure) return error;
    return new Failure(0, "no_answer", texts.failure.noAnswer);
  }
}

export type Query = Record<string, string | number | undefined>;

export interface Answer<T> {
  body: T;
  etag: string | null;
}

let key: string | undefined;
let onUnauthorized: () => void = () => {};

/** Sets the key of all further calls, and what to do when one is turned away. */
export function useKey(text: string | undefined, unauthorized?: () => void): void {
  key = text;
  if (unauthorized) onUnauthorized = unauthorized;
}

function path(name: string, query: Query): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
  return `${name}${text ? `?${text}` : ""}`;
}

interface Options {
  query?: Query;
  body?: unknown;
  ifMatch?: string;
  signal?: AbortSignal;
  /** Whether numbers of the answer keep their digits, as those of events must. */
  exact?: boolean;
}

/** Makes a call. Throws a {@link Failure} for everything but success. */
export async function call<T>(method: string, name: string, options: Options = {}): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const sent = key;
  if (sent) headers.Authorization = `Bearer ${sent}`;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.ifMatch) headers["If-Match"] = options.ifMatch;
  let response: Response;
  let text: string;
  try {
    response = await fetch(path(name, options.query ?? {}), {
      method,
      headers,
      body: options.body === undefined ? undefined : writeExact(options.body),
      signal: options.signal,
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    text = await response.text();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw Failure.of(error);
  }
  if (response.ok) return { body: (text ? (options.exact ? parseExact(text) : JSON.parse(text)) : undefined) as T, etag: response.headers.get("etag") };
  const failure = readProblem(response.status, text);
  // A late answer to the key before says nothing about the one that took its place.
  if (failure.status === 401 && sent === key) onUnauthorized();
  throw failure;
}

function readProblem(status: number, text: string): Failure {
  try {
    const problem = JSON.parse(text) as { code?: string; detail?: string; errors?: Invalid[] };
    return new Failure(status, problem.code ?? "", problem.detail ?? texts.failure.status(status), problem.errors ?? []);
  } catch {
    return new Failure(status, "", texts.failure.status(status));
  }
}

export const get = async <T>(name: string, query: Query = {}, signal?: AbortSignal): Promise<T> =>
  (await call<T>("GET", name, { query, signal })).body;

export const post = async <T>(name: string, body?: unknown, signal?: AbortSignal): Promise<T> =>
  (await call<T>("POST", name, { body, signal })).body;

/** The same for events: an amount of 5.00 stays 5.00. */
export const getExact = async <T>(name: string, query: Query = {}, signal?: AbortSignal): Promise<T> =>
  (await call<T>("GET", name, { query, signal, exact: true })).body;

/** A path of the API with ids put in safely. */
export function at(strings: TemplateStringsArray, ...ids: string[]): string {
  return strings.reduce((all, part, index) => all + encodeURIComponent(ids[index - 1] ?? "") + part);
}

/** All items of a list, page by page, up to `max`. */
export async function all<T>(name: string, query: Query = {}, signal?: AbortSignal, max = 2000): Promise<T[]> {
  const found: T[] = [];
  let cursor: string | undefined;
  do {
    const page = await get<{ data: T[]; next_cursor: string | null }>(name, { ...query, limit: 200, cursor }, signal);
    found.push(...page.data);
    cursor = page.next_cursor ?? undefined;
  } while (cursor && found.length < max);
  return found;
}
