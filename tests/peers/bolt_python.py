"""A bot on Slack's own Python SDK: answers a mention, a button and a command. Its server is named by SIMULATOR_URL."""

import os
from threading import Event

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

client = WebClient(token="xoxb-simulator", base_url=os.environ["SIMULATOR_URL"] + "/api/")
app = App(client=client)

BUTTON = {
    "type": "actions",
    "elements": [{"type": "button", "action_id": "more", "text": {"type": "plain_text", "text": "More"}}],
}


@app.event("message")
def message(event):
    """Registered so that it is acknowledged: Bolt leaves events without a listener alone."""


@app.event("app_mention")
def mention(event, say, client):
    client.reactions_add(channel=event["channel"], timestamp=event["ts"], name="eyes")
    say(text=f"Hello <@{event['user']}>", blocks=[BUTTON], thread_ts=event.get("thread_ts", event["ts"]))


@app.event({"type": "message", "subtype": "message_changed"})
def changed(event):
    """The bot's own edits come back, too."""


@app.event("reaction_added")
def reaction(event):
    """The bot's own reactions come back, too."""


@app.action("more")
def more(ack, body, client):
    ack()
    place = {"channel": body["channel"]["id"], "thread_ts": body["message"]["thread_ts"]}
    stream = client.chat_startStream(**place, recipient_user_id=body["user"]["id"], recipient_team_id=body["team"]["id"])
    target = {"channel": stream["channel"], "ts": stream["ts"]}
    client.chat_appendStream(**target, markdown_text="More ")
    client.chat_stopStream(**target, markdown_text="from Python")


@app.command("/hitch")
def command(ack, respond, command):
    ack(f"You said {command['text']}")
    respond("And later")


SocketModeHandler(app, "xapp-simulator").connect()
print("ready", flush=True)
Event().wait()
