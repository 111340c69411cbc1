// LangChain's agent on LangGraph, with its model of OpenAI's chat completions or of the Responses API.

import { ChatOpenAI } from "@langchain/openai";
import { createAgent, HumanMessage, tool } from "langchain";
import assert from "node:assert/strict";
import * as cases from "./cases.mjs";

function chatModel({ model = cases.MODEL, apiKey = cases.API_KEY } = {}) {
  const configuration = { baseURL: cases.BASE_URL };
  return new ChatOpenAI({ model, apiKey, configuration, maxRetries: 0, useResponsesApi: cases.RESPONSES });
}

async function text() {
  const message = await chatModel().invoke(cases.QUESTION);
  assert.ok(message.text);
  assert.ok(message.usage_metadata.total_tokens > 0);
}

async function stream() {
  const chunks = [];
  for await (const chunk of await chatModel().stream(cases.QUESTION)) chunks.push(chunk);
  const joined = chunks.reduce((before, chunk) => before.concat(chunk));
  cases.assertPieces(chunks.map((chunk) => chunk.text), joined.text);
  assert.ok(joined.usage_metadata.total_tokens > 0);
}

async function tools() {
  const offered = [
    tool(cases.getWeather, { name: "get_weather", description: "The weather in a city", schema: cases.Weather }),
    tool(cases.getTime, { name: "get_time", description: "The time in a city", schema: cases.Time }),
  ];
  const agent = createAgent({ model: chatModel(), tools: offered });
  const state = await agent.invoke({ messages: [new HumanMessage(cases.TOOLS_QUESTION)] });
  cases.assertToolsRan(state.messages.at(-1).text);
}

async function structured() {
  for (const method of ["jsonSchema", "functionCalling"]) {
    cases.Plan.parse(await chatModel().withStructuredOutput(cases.Plan, { method }).invoke(cases.PLAN_QUESTION));
  }
}

async function image() {
  const content = [
    { type: "text", text: cases.IMAGE_QUESTION },
    { type: "image_url", image_url: { url: cases.IMAGE } },
  ];
  assert.match((await chatModel().invoke([new HumanMessage({ content })])).text, /I see an image/);
}

async function error() {
  const unknown = chatModel({ model: cases.WRONG_MODEL }).invoke(cases.QUESTION);
  await cases.assertRefused(unknown, (reason) => reason.lc_error_code === "MODEL_NOT_FOUND", 404);
  const stranger = chatModel({ apiKey: cases.WRONG_KEY }).invoke(cases.QUESTION);
  await cases.assertRefused(stranger, (reason) => reason.lc_error_code === "MODEL_AUTHENTICATION", 401);
}

await cases.run("@langchain/langgraph", { text, stream, tools, structured, image, error });
