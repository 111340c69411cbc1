// openai-node with the Responses API.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import * as cases from "./cases.mjs";

const model = cases.MODEL;
const client = new OpenAI({ baseURL: cases.BASE_URL, apiKey: cases.API_KEY });

export async function text() {
  const response = await client.responses.create({ model, input: cases.QUESTION });
  assert.ok(response.output_text);
  assert.equal(response.status, "completed");
  assert.ok(response.usage.total_tokens > 0);
}

export async function stream() {
  const events = client.responses.stream({ model, input: cases.QUESTION });
  const pieces = [];
  for await (const event of events) if (event.type === "response.output_text.delta") pieces.push(event.delta);
  cases.assertPieces(pieces, (await events.finalResponse()).output_text);
}

export async function tools() {
  const Weather = cases.Weather.extend({ unit: cases.Weather.shape.unit.unwrap().nullable() });
  const offered = [
    zodResponsesFunction({ name: "get_weather", parameters: Weather }),
    zodResponsesFunction({ name: "get_time", parameters: cases.Time }),
  ];
  const first = await client.responses.parse({ model, input: cases.TOOLS_QUESTION, tools: offered });
  const calls = first.output.filter((item) => item.type === "function_call");
  const outputs = calls.map(({ call_id, name, parsed_arguments: { city, unit } }) => ({
    type: "function_call_output",
    call_id,
    output: name === "get_time" ? cases.getTime({ city }) : cases.getWeather({ city, unit: unit ?? undefined }),
  }));
  const final = await client.responses.create({ model, previous_response_id: first.id, input: outputs, tools: offered });
  cases.assertToolsRan(final.output_text);
}

export async function structured() {
  const response = await client.responses.parse({
    model,
    input: cases.PLAN_QUESTION,
    text: { format: zodTextFormat(cases.Plan, "plan") },
  });
  cases.Plan.parse(response.output_parsed);
}

export async function image() {
  const content = [
    { type: "input_text", text: cases.IMAGE_QUESTION },
    { type: "input_image", image_url: cases.IMAGE, detail: "auto" },
  ];
  const response = await client.responses.create({ model, input: [{ role: "user", content }] });
  assert.match(response.output_text, /I see an image/);
}

export async function error() {
  const unknown = client.responses.create({ model: cases.WRONG_MODEL, input: cases.QUESTION });
  await cases.assertRefused(unknown, (reason) => reason instanceof OpenAI.NotFoundError, 404);
  const stranger = client.withOptions({ apiKey: cases.WRONG_KEY }).responses.create({ model, input: cases.QUESTION });
  await cases.assertRefused(stranger, (reason) => reason instanceof OpenAI.AuthenticationError, 401);
}
