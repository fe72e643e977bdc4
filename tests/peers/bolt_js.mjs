// A bot on Slack's own JavaScript SDK: answers a mention, a button and a command. Its server is named by SIMULATOR_URL.
import { createRequire } from "node:module";

// The SDK lives in a cache folder, not next to this file.
const require = createRequire(`${process.env.SDK_FOLDER}/`);
const { App, LogLevel } = require("@slack/bolt");

const app = new App({
  token: "xoxb-simulator",
  appToken: "xapp-simulator",
  socketMode: true,
  logLevel: LogLevel.ERROR,
  clientOptions: { slackApiUrl: `${process.env.SIMULATOR_URL}/api/` },
});

const button = {
  type: "actions",
  elements: [{ type: "button", action_id: "more", text: { type: "plain_text", text: "More" } }],
};

app.event("app_mention", async ({ event, say, client }) => {
  await client.reactions.add({ channel: event.channel, timestamp: event.ts, name: "eyes" });
  await say({ text: `Hello <@${event.user}>`, blocks: [button], thread_ts: event.thread_ts ?? event.ts });
});

app.action("more", async ({ ack, body, client }) => {
  await ack();
  const stream = await client.chat.startStream({
    channel: body.channel.id,
    thread_ts: body.message.thread_ts,
    recipient_user_id: body.user.id,
    recipient_team_id: body.team.id,
  });
  const target = { channel: stream.channel, ts: stream.ts };
  await client.chat.appendStream({ ...target, markdown_text: "More " });
  await client.chat.stopStream({ ...target, chunks: [{ type: "markdown_text", text: "from JavaScript" }] });
});

app.command("/hitch", async ({ ack, respond, command }) => {
  await ack(`You said ${command.text}`);
  await respond("And later");
});

await app.start();
console.log("ready");
