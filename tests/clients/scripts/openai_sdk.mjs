// openai-node, with its own runner for the tools.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import * as cases from "./cases.mjs";

const model = cases.MODEL;
const client = new OpenAI({ baseURL: cases.BASE_URL, apiKey: cases.API_KEY });
const userMessage = (content) => [{ role: "user", content }];

async function text() {
  const completion = await client.chat.completions.create({ model, messages: userMessage(cases.QUESTION) });
  assert.ok(completion.choices[0].message.content);
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.ok(completion.usage.total_tokens > 0);
}

async function stream() {
  const messages = userMessage(cases.QUESTION);
  const runner = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
  const pieces = [];
  for await (const chunk of runner) pieces.push(chunk.choices[0]?.delta.content ?? "");
  cases.assertPieces(pieces, await runner.finalContent());
  assert.ok((await runner.totalUsage()).total_tokens > 0);
}

async function tools() {
  const Weather = cases.Weather.extend({ unit: cases.Weather.shape.unit.unwrap().nullable() });
  const runner = client.chat.completions.runTools({
    model,
    stream: true,
    messages: userMessage(cases.TOOLS_QUESTION),
    tools: [
      zodFunction({
        name: "get_weather",
        parameters: Weather,
        function: ({ city, unit }) => cases.getWeather({ city, unit: unit ?? undefined }),
      }),
      zodFunction({ name: "get_time", parameters: cases.Time, function: cases.getTime }),
    ],
  });
  cases.assertToolsRan(await runner.finalContent());
}

async function structured() {
  const completion = await client.chat.completions.parse({
    model,
    messages: userMessage(cases.PLAN_QUESTION),
    response_format: zodResponseFormat(cases.Plan, "plan"),
  });
  cases.Plan.parse(completion.choices[0].message.parsed);
}

async function image() {
  const parts = [
    { type: "text", text: cases.IMAGE_QUESTION },
    { type: "image_url", image_url: { url: cases.IMAGE } },
  ];
  const completion = await client.chat.completions.create({ model, messages: userMessage(parts) });
  assert.match(completion.choices[0].message.content, /I see an image/);
}

async function error() {
  const messages = userMessage(cases.QUESTION);
  const unknown = client.chat.completions.create({ model: cases.WRONG_MODEL, messages });
  await cases.assertRefused(unknown, (reason) => reason instanceof OpenAI.NotFoundError, 404);
  const stranger = client.withOptions({ apiKey: cases.WRONG_KEY }).chat.completions.create({ model, messages });
  await cases.assertRefused(stranger, (reason) => reason instanceof OpenAI.AuthenticationError, 401);
}

const responses = cases.RESPONSES && { ...(await import("./openai_responses.mjs")) };
await cases.run("openai", responses || { text, stream, tools, structured, image, error });
