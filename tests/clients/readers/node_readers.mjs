// Reads the stream at READ_URL with the reader named READER; prints what it got as one line of JSON.

import { fetchEventSource } from "@microsoft/fetch-event-source";
import { streamSse } from "@continuedev/fetch";
import { createParser } from "eventsource-parser";

const request = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };
const url = process.env.READ_URL;
const texts = [];

// Takes an event of any of the APIs.
function take(event) {
  const error = event.error ?? event.response?.error;
  if (error) throw new Error(error.message);
  if (event.type === "response.output_text.delta") texts.push(event.delta);
  else if (event.type === "content_block_delta") texts.push(event.delta.text);
  else if (!event.type) for (const choice of event.choices) texts.push(choice.delta.content ?? "");
}

function takeData(data) {
  if (data !== "[DONE]") take(JSON.parse(data));
}

const readers = {
  async "fetch-event-source"() {
    globalThis.window = globalThis; // it is written for browsers
    globalThis.document = { addEventListener() {}, removeEventListener() {} };
    await fetchEventSource(url, {
      ...request,
      openWhenHidden: true,
      onmessage: (message) => takeData(message.data),
      onerror(error) {
        throw error;
      },
    });
  },
  async continuedev() {
    console.error = () => {};
    for await (const chunk of streamSse(await fetch(url, request))) take(chunk);
  },
  async "eventsource-parser"() {
    const parser = createParser({
      onEvent: (event) => takeData(event.data),
      onError(error) {
        throw error;
      },
      onComment(comment) {
        throw new Error(`a comment: ${comment}`);
      },
    });
    const response = await fetch(url, request);
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text);
  },
};

let error = null;
try {
  await readers[process.env.READER]();
} catch (failure) {
  error = failure.message;
}
console.log(JSON.stringify({ text: texts.join(""), error }));
