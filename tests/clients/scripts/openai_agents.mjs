// @openai/agents with its chat completions model, or with its default, the Responses API.

import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, tool } from "@openai/agents";
import assert from "node:assert/strict";
import OpenAI from "openai";
import { z } from "zod";
import * as cases from "./cases.mjs";

const Kind = cases.RESPONSES ? OpenAIResponsesModel : OpenAIChatCompletionsModel;
const runner = new Runner({ tracingDisabled: true }); // traces go to OpenAI's own servers

function agent({ model = cases.MODEL, apiKey = cases.API_KEY, ...more } = {}) {
  const client = new OpenAI({ baseURL: cases.BASE_URL, apiKey, maxRetries: 0 });
  return new Agent({ name: "a", model: new Kind(client, model), ...more });
}

async function text() {
  const result = await runner.run(agent(), cases.QUESTION);
  assert.ok(result.finalOutput);
  assert.ok(result.state.usage.totalTokens > 0);
}

async function stream() {
  const result = await runner.run(agent(), cases.QUESTION, { stream: true });
  const pieces = [];
  for await (const piece of result.toTextStream()) pieces.push(piece);
  await result.completed;
  cases.assertPieces(pieces, result.finalOutput);
  assert.ok(result.state.usage.totalTokens > 0);
}

async function tools() {
  const Weather = z.object({ city: z.string(), unit: z.enum(["celsius", "fahrenheit"]).nullable() });
  const getWeather = ({ city, unit }) => cases.getWeather({ city, unit: unit ?? undefined });
  const offered = [
    tool({ name: "get_weather", description: "The weather in a city", parameters: Weather, execute: getWeather }),
    tool({ name: "get_time", description: "The time in a city", parameters: cases.Time, execute: cases.getTime }),
  ];
  cases.assertToolsRan((await runner.run(agent({ tools: offered }), cases.TOOLS_QUESTION)).finalOutput);
}

async function structured() {
  const result = await runner.run(agent({ outputType: cases.Plan }), cases.PLAN_QUESTION);
  cases.Plan.parse(result.finalOutput);
}

async function image() {
  const content = [
    { type: "input_text", text: cases.IMAGE_QUESTION },
    { type: "input_image", image: cases.IMAGE },
  ];
  assert.match((await runner.run(agent(), [{ role: "user", content }])).finalOutput, /I see an image/);
}

async function error() {
  const unknown = runner.run(agent({ model: cases.WRONG_MODEL }), cases.QUESTION);
  await cases.assertRefused(unknown, (reason) => reason instanceof OpenAI.NotFoundError, 404);
  const stranger = runner.run(agent({ apiKey: cases.WRONG_KEY }), cases.QUESTION);
  await cases.assertRefused(stranger, (reason) => reason instanceof OpenAI.AuthenticationError, 401);
}

await cases.run("@openai/agents", { text, stream, tools, structured, image, error });
