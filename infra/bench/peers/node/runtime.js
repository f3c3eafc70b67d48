// The loop over Lambda's Runtime API. AWS's own for Node 20 (aws-lambda-ric 3) compiles curl and native code with
// Autotools when it is installed; this one does the least that works and is lighter, which is in this contender's favour.
import http from "node:http";
import { handler } from "./handler.js";

const [hostname, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
    const request = http.request(
      { hostname, port, agent, method, headers, path: `/2018-06-01/runtime/invocation/${path}` },
      (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(chunks).toString() }));
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

async function run() {
  for (;;) {
    const { headers, text } = await call("GET", "next");
    const id = headers["lambda-runtime-aws-request-id"];
    try {
      const answer = await handler(JSON.parse(text));
      await call("POST", `${id}/response`, JSON.stringify(answer));
    } catch (error) {
      console.error(error);
      const report = { errorType: error.name, errorMessage: error.message, stackTrace: error.stack.split("\n") };
      await call("POST", `${id}/error`, JSON.stringify(report));
    }
  }
}

run();
