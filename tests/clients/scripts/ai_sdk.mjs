// The Vercel AI SDK with its provider for OpenAI-compatible servers, or with the one for OpenAI's Responses API.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, isStepCount, streamText, tool } from "ai";
import assert from "node:assert/strict";
import * as cases from "./cases.mjs";

function chatModel({ model = cases.MODEL, apiKey = cases.API_KEY } = {}) {
  if (cases.RESPONSES) return createOpenAI({ baseURL: cases.BASE_URL, apiKey })(model);
  const provider = createOpenAICompatible({
    name: "gateway",
    baseURL: cases.BASE_URL,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  return provider.chatModel(model);
}

async function text() {
  const result = await generateText({ model: chatModel(), prompt: cases.QUESTION });
  assert.ok(result.text);
  assert.equal(result.finishReason, "stop");
  assert.ok(result.usage.totalTokens > 0);
}

async function stream() {
  const result = streamText({ model: chatModel(), prompt: cases.QUESTION });
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  cases.assertPieces(pieces, await result.text);
  assert.ok((await result.usage).totalTokens > 0);
}

async function tools() {
  const offered = {
    get_weather: tool({ description: "The weather in a city", inputSchema: cases.Weather, execute: cases.getWeather }),
    get_time: tool({ description: "The time in a city", inputSchema: cases.Time, execute: cases.getTime }),
  };
  const prompt = cases.TOOLS_QUESTION;
  const result = await generateText({ model: chatModel(), prompt, tools: offered, stopWhen: isStepCount(3) });
  cases.assertToolsRan(result.text);
}

async function structured() {
  const output = Output.object({ schema: cases.Plan });
  cases.Plan.parse((await generateText({ model: chatModel(), prompt: cases.PLAN_QUESTION, output })).output);
}

async function image() {
  const content = [
    { type: "text", text: cases.IMAGE_QUESTION },
    { type: "image", image: cases.IMAGE },
  ];
  const result = await generateText({ model: chatModel(), messages: [{ role: "user", content }] });
  assert.match(result.text, /I see an image/);
}

async function error() {
  const prompt = cases.QUESTION;
  const unknown = generateText({ model: chatModel({ model: cases.WRONG_MODEL }), prompt });
  await cases.assertRefused(unknown, APICallError.isInstance, 404);
  const stranger = generateText({ model: chatModel({ apiKey: cases.WRONG_KEY }), prompt });
  await cases.assertRefused(stranger, APICallError.isInstance, 401);
}

await cases.run("ai", { text, stream, tools, structured, image, error });
