// Every request this UI makes: same origin, with the session's cookie. What goes wrong becomes one sentence.

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export interface Session {
  tenant: string;
  operator: boolean;
  tenants: string[];
  instance: string;
  version: string;
}

export type Parameters = Record<string, string | number | string[] | undefined>;

export function addressed(path: string, parameters: Parameters = {}): string {
  const text = encoded(parameters);
  return text ? `${path}?${text}` : path;
}

function encoded(parameters: Parameters): string {
  const pairs = Object.entries(parameters).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one) => [name, one] as const),
  );
  const given = pairs.filter((pair): pair is [string, string | number] => pair[1] !== undefined && pair[1] !== "");
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

const SESSION = "/ui/session";

/** Hears of every answer 403, whatever was asked: the session may have ended. */
export const refusals = new EventTarget();

const NO_ANSWER = "The server does not answer. It may be restarting; this page tries again.";

async function answered(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...init });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(NO_ANSWER, 0);
  }
  if (response.status === 403 && path !== SESSION) refusals.dispatchEvent(new Event("refusal"));
  if (!response.ok) throw new ApiError(await sentence(response), response.status);
  return response;
}

// Prometheus's shape, Datadog's shape, or whatever a proxy in between says.
async function sentence(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { error?: string; errors?: string[] };
    return body.error ?? body.errors?.join("; ") ?? `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}. ${text.slice(0, 200)}`;
  }
}

export async function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  const response = await answered(addressed(path, parameters), { signal });
  return (await response.json()) as T;
}

export async function send<T>(method: string, path: string, body?: string, headers: HeadersInit = {}): Promise<T | null> {
  const response = await answered(path, { method, body, headers });
  return response.status === 204 ? null : ((await response.json()) as T);
}

export function session(): Promise<Session> {
  return get<Session>(SESSION);
}

export function logIn(key: string): Promise<Session | null> {
  return send<Session>("POST", SESSION, undefined, { "dd-api-key": key });
}

export function logOut(): Promise<null> {
  return send<null>("DELETE", SESSION);
}

// ---------------------------------------------------------------------------------------------------------------
// PromQL

export type Labels = Record<string, string>;
export type Sample = [number, string];

export type HistogramSample = [number, { count: string; sum: string }];

export interface Series {
  metric: Labels;
  values?: Sample[];
  value?: Sample;
  histograms?: HistogramSample[];
  histogram?: HistogramSample;
}

export interface Result {
  resultType: "matrix" | "vector" | "scalar" | "string";
  result: Series[];
  warnings: string[];
}

interface Envelope<T> {
  data: T;
  warnings?: string[];
  infos?: string[];
}

const API = "/prometheus/api/v1";
const FORM = { "content-type": "application/x-www-form-urlencoded" };

async function ask(path: string, parameters: Parameters, signal?: AbortSignal): Promise<Result> {
  const init = { method: "POST", body: encoded(parameters), headers: FORM, signal };
  const envelope = (await (await answered(API + path, init)).json()) as Envelope<{
    resultType: Result["resultType"];
    result: Series[] | Sample;
  }>;
  const { resultType, result } = envelope.data;
  const remarks = [...(envelope.warnings ?? []), ...(envelope.infos ?? [])];
  const scalar = resultType === "scalar" || resultType === "string";
  return {
    resultType,
    result: scalar ? [{ metric: {}, value: result as Sample }] : (result as Series[]),
    warnings: remarks,
  };
}

export function queryRange(query: string, start: number, end: number, step: number, signal?: AbortSignal) {
  return ask("/query_range", { query, start, end, step }, signal);
}

export function queryInstant(query: string, time: number, signal?: AbortSignal) {
  return ask("/query", { query, time }, signal);
}

export async function labelValues(label: string, match: string, start: number, end: number): Promise<string[]> {
  const path = `${API}/label/${encodeURIComponent(label)}/values`;
  const parameters = { "match[]": match || undefined, start, end };
  return (await get<Envelope<string[]>>(path, parameters)).data;
}

export async function labelNames(start: number, end: number): Promise<string[]> {
  return (await get<Envelope<string[]>>(`${API}/labels`, { start, end })).data;
}

export async function seriesOf(match: string, start: number, end: number): Promise<Labels[]> {
  return (await get<Envelope<Labels[]>>(`${API}/series`, { "match[]": match, start, end })).data;
}

export interface Metadata {
  type: string;
  help: string; // Datadog's name
  unit: string;
}

export async function metadata(): Promise<Record<string, Metadata[]>> {
  return (await get<Envelope<Record<string, Metadata[]>>>(`${API}/metadata`)).data;
}
