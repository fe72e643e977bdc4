// The official MCP client: connects to the server that SERVER describes as ACP does, lists its tools, calls some, and prints what came.
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
const named = (pairs) => Object.fromEntries(pairs.map(({ name, value }) => [name, value]));

function transport() {
  if (!server.url) return new StdioClientTransport({ command: server.command, args: server.args, env: named(server.env) });
  return new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers: named(server.headers) } });
}

const options = newest ? { versionNegotiation: { mode: { pin: "2026-07-28" } } } : {};
const client = new Client({ name: "test", version: "1" }, options);
const connection = transport();
await client.connect(connection);
const { tools } = await client.listTools();
const posted = await client.callTool({ name: "post", arguments: { text: "from the official client" } });
// No turn runs, so that there is nobody to ask.
const refused = await client.callTool({ name: "ask", arguments: { question: "?", choices: ["a", "b"] } });
const session = connection.sessionId;
if (session) await connection.terminateSession();
await client.close();
console.log(JSON.stringify({ tools, posted, refused, session }));
