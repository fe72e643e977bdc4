// The official MCP client: connects to the server that SERVER describes as ACP does, lists its tools, makes the calls in CALLS one after
// the other, and prints what came. Where it has a session, that is ended behind its back, and the first call is made once more.
// NEWEST says which of its two lines it is: the one that speaks 2026-07-28, or the one before.
import { createRequire } from "node:module";

// The SDK lives in a cache folder, not next to this file.
const require = createRequire(`${process.env.SDK_FOLDER}/`);
const newest = Boolean(process.env.NEWEST);
const { Client, StreamableHTTPClientTransport, StdioClientTransport } = newest
  ? { ...require("@modelcontextprotocol/client"), ...require("@modelcontextprotocol/client/stdio") }
  : {
      ...require("@modelcontextprotocol/sdk/client/index.js"),
      ...require("@modelcontextprotocol/sdk/client/streamableHttp.js"),
      ...require("@modelcontextprotocol/sdk/client/stdio.js"),
    };

const server = JSON.parse(process.env.SERVER);
const calls = JSON.parse(process.env.CALLS);
const named = (pairs) => Object.fromEntries(pairs.map(({ name, value }) => [name, value]));

function transport() {
  if (!server.url) return new StdioClientTransport({ command: server.command, args: server.args, env: named(server.env) });
  return new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers: named(server.headers) } });
}

async function connect() {
  const options = newest ? { versionNegotiation: { mode: { pin: "2026-07-28" } } } : {};
  const client = new Client({ name: "test", version: "1" }, options);
  const connection = transport();
  await client.connect(connection);
  return { client, connection };
}

async function onceMore(lost) {
  const headers = { ...named(server.headers), "Mcp-Session-Id": lost.connection.sessionId };
  await fetch(server.url, { method: "DELETE", headers });
  const told = await lost.client.callTool(calls[0]).catch((error) => error.code);
  const found = await connect();
  const answer = await found.client.callTool(calls[0]);
  await found.connection.terminateSession();
  await found.client.close();
  return { told, answer };
}

const first = await connect();
const { tools } = await first.client.listTools();
const answers = [];
for (const call of calls) answers.push(await first.client.callTool(call));
const again = first.connection.sessionId ? await onceMore(first) : null;
await first.client.close();
console.log(JSON.stringify({ tools, answers, again }));
