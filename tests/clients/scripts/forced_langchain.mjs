// Forced tool calls of LangChain: withStructuredOutput with functionCalling, whole and streamed.

import { ChatOpenAI } from "@langchain/openai";
import * as cases from "./cases.mjs";

const configuration = { baseURL: cases.BASE_URL };
const model = new ChatOpenAI({ model: cases.MODEL, apiKey: cases.API_KEY, configuration, maxRetries: 0 });
const structured = model.withStructuredOutput(cases.Plan, { method: "functionCalling" });

async function whole() {
  cases.Plan.parse(await structured.invoke(cases.PLAN_QUESTION));
}

async function streamed() {
  let last;
  for await (const plan of await structured.stream(cases.PLAN_QUESTION)) last = plan;
  cases.Plan.parse(last);
}

await cases.runRepeatedly({ whole, streamed });
