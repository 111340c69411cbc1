// Shared by all Node clients: prompts, tools, checks and the output of results, like cases.py for Python.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { z } from "zod";

export const { BASE_URL, API_KEY, MODEL } = process.env;
// The API to use: the chat completions API, or the Responses API with its defaults.
export const RESPONSES = process.env.API === "responses";
export const WRONG_KEY = "sk_cdx_wrong";
export const WRONG_MODEL = "no-such-model";

export const QUESTION = "Why is the sky blue?";
export const TOOLS_QUESTION = "What are the weather and the time in Paris?";
export const PLAN_QUESTION = "Plan a picnic.";
export const IMAGE_QUESTION = "What is in this picture?";
export const IMAGE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

export const Plan = z.object({
  kind: z.enum(["indoors", "outdoors"]),
  note: z.string().nullable(),
  cost: z.number().int().min(0).max(100),
  steps: z.array(z.object({ title: z.string(), minutes: z.number() })),
});

export const Weather = z.object({ city: z.string(), unit: z.enum(["celsius", "fahrenheit"]).optional() });
export const Time = z.object({ city: z.string() });

const calls = [];

export function getWeather(args) {
  calls.push(["get_weather", Weather.parse(args)]);
  return `17 degrees and dry in ${args.city}`;
}

export function getTime(args) {
  calls.push(["get_time", Time.parse(args)]);
  return `12:34 in ${args.city}`;
}

export function assertToolsRan(text) {
  assert.deepEqual(calls.map(([name]) => name).sort(), ["get_time", "get_weather"]);
  assert.match(text, /17 degrees/);
  assert.match(text, /12:34/);
}

export function assertPieces(pieces, text) {
  assert.ok(pieces.filter(Boolean).length > 1, JSON.stringify(pieces));
  assert.equal(pieces.join(""), text);
}

export async function assertRefused(promise, isOfKind, status) {
  const error = await promise.then(() => undefined, (reason) => reason);
  assert.ok(error, `expected ${status}, but nothing was raised`);
  assert.ok(isOfKind(error), `expected ${status}: ${error.name}: ${error.message}`);
  assert.equal(error.status ?? error.statusCode, status);
}

/** Prints a JSON line with the version of a package, then one for each case. */
export async function run(name, cases) {
  const manifest = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  console.log(JSON.stringify({ version: JSON.parse(readFileSync(manifest)).version }));
  for (const [name, ask] of Object.entries(cases)) await runCase(name, ask);
}

/** Runs each case as often as RUNS says; prints a JSON line for each run. */
export async function runRepeatedly(cases) {
  for (const [name, ask] of Object.entries(cases)) {
    for (let run = 0; run < Number(process.env.RUNS); run++) await runCase(name, ask);
  }
}

async function runCase(name, ask) {
  const detail = await ask().then(() => "", (error) => `${error.name}: ${error.message}`.replaceAll(/\s+/g, " "));
  console.log(JSON.stringify({ case: name, ok: !detail, detail }));
}
