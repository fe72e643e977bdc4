//! What agents really said, once more: each line of a recorded exchange goes through our connection and means what it should.
//!
//! The recordings are of claude-agent-acp 0.100.0, codex-acp 2.6.0, gemini-cli 0.61.0, opencode 1.18.33, the TypeScript SDK's example
//! agent 1.9.0, and the Rust SDK's test agent; long lists in them are cut.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hitchline::backend::config::{Acp, Config};
use hitchline::backend::{Outcome, TurnEvent};
use hitchline::domain::agent::{AgentEvent, Decision, OptionCategory};

use super::peer::{Peer, prompt, soon};
use super::program::program;

/// What is done with a recording, and what comes of it.
struct Replay {
    /// Its file's name, without the end.
    of: &'static str,
    /// Variables that the agent has.
    env: &'static [(&'static str, &'static str)],
    /// What is asked, turn by turn. The turn is cancelled after this many texts.
    turns: &'static [(&'static str, Option<usize>)],
    /// What is decided, by the agent's id.
    decision: &'static str,
    /// The categories of its options, by id.
    options: &'static [(&'static str, OptionCategory)],
    /// The turns, an event a line; texts that follow each other are one.
    heard: &'static str,
}

#[tokio::test]
async fn what_agents_said_means_what_it_should() {
    for replay in REPLAYS {
        let Some(python) = program("python3") else { return };
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");
        let command = [
            python.to_string_lossy().into_owned(),
            format!("{root}/replay.py"),
            format!("{root}/transcripts/{}.txt", replay.of),
        ];
        let env = replay.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env: BTreeMap<String, String> = env.collect();
        let peer = Peer::of(&Config::Acp(Acp { command: command.to_vec(), env, ..Acp::default() }));
        let session = peer.start().await;
        let mut heard = String::new();
        for (text, cancelled_after) in replay.turns {
            let mut stream = soon(session.prompt(prompt(text))).await.unwrap();
            let mut texts = 0;
            while let Some(event) = soon(stream.next()).await {
                if let TurnEvent::Agent(AgentEvent::Permission(request)) = &event {
                    let decision = Decision::Selected { option: replay.decision.to_owned() };
                    session.answer(&request.id, decision).await;
                }
                texts += usize::from(matches!(&event, TurnEvent::Agent(AgentEvent::Text { .. })));
                if cancelled_after.is_some_and(|after| after == texts) {
                    session.cancel().await.unwrap();
                }
                note(&mut heard, &event);
            }
        }
        assert_eq!(heard.trim(), replay.heard.trim(), "{}", replay.of);
        let options = session.offers().options;
        let options: Vec<_> = options.iter().map(|option| (option.id.as_str(), option.category)).collect();
        assert_eq!(options, replay.options, "{}", replay.of);
        peer.finish(&session).await;
    }
}

/// Adds an event to what was heard.
fn note(heard: &mut String, event: &TurnEvent) {
    let line = match event {
        TurnEvent::Agent(AgentEvent::Text { delta, .. }) => {
            let delta = delta.replace('\n', "\\n");
            if heard.lines().last().is_some_and(|line| line.starts_with("text: ")) {
                heard.truncate(heard.trim_end_matches('\n').len());
                writeln!(heard, "{delta}").unwrap();
                return;
            }
            format!("text: {delta}")
        }
        TurnEvent::Agent(AgentEvent::Tool(call)) => {
            format!("tool: {} {:?}", call.title.as_deref().unwrap_or("-"), call.status)
        }
        TurnEvent::Agent(AgentEvent::Permission(request)) => {
            let options = request.options.iter().map(|option| format!("{}={:?}", option.label, option.kind));
            let detail = request.detail.as_deref().unwrap_or("-");
            format!("ask: {} ({detail}): {}", request.title, options.collect::<Vec<_>>().join(", "))
        }
        TurnEvent::Agent(AgentEvent::Plan(entries)) => {
            let entries = entries.iter().map(|entry| format!("{} {:?}", entry.text, entry.status));
            format!("plan: {}", entries.collect::<Vec<_>>().join(", "))
        }
        TurnEvent::Agent(AgentEvent::Thought(text)) => format!("thought: {text}"),
        TurnEvent::Agent(AgentEvent::Notice(text)) => format!("notice: {text}"),
        TurnEvent::Agent(AgentEvent::Usage(usage)) => {
            format!("usage: {} of {}, {}", usage.used, usage.size, usage.cost.as_deref().unwrap_or("-"))
        }
        TurnEvent::Agent(AgentEvent::Compacting) => "compacting".to_owned(),
        TurnEvent::Agent(AgentEvent::PermissionWithdrawn(_)) => "withdrawn".to_owned(),
        TurnEvent::End(Outcome::Failed(error)) => format!("failed: {error}"),
        TurnEvent::End(outcome) => format!("end: {outcome:?}"),
    };
    writeln!(heard, "{line}").unwrap();
}

use OptionCategory::{Mode, Model, Other};

const KEY: &[(&str, &str)] = &[("GEMINI_API_KEY", "x")];
const HELLO_AND_TOOL: &[(&str, Option<usize>)] = &[("hello there", None), ("TOOL now", None)];
const SLOW: &str = "SLOW one";
const CLAUDE: &[(&str, OptionCategory)] =
    &[("mode", Mode), ("model", Model), ("effort", Other), ("fast", Other), ("ultracode", Other)];
const CODEX: &[(&str, OptionCategory)] = &[("mode", Mode), ("collaboration_mode", Other), ("model", Model)];

#[rustfmt::skip]
const REPLAYS: &[Replay] = &[
    Replay {
        of: "claude-agent-acp-0.100.0",
        env: &[],
        turns: HELLO_AND_TOOL,
        decision: "allow-once",
        options: CLAUDE,
        heard: r"
usage: 11 of 1000000, -
text: mock reply to: ps://claude.com/claude-code)\n</system-reminder>\n hello there
usage: 30 of 1000000, -
usage: 30 of 1000000, less than 0.01 USD
end: Completed
usage: 11 of 1000000, -
text: Let me run it. 
tool: Terminal Some(Pending)
tool: touch mock_was_here None
ask: touch mock_was_here (touch mock_was_here): Yes=AllowOnce, No=RejectOnce
usage: 30 of 1000000, -
tool: - None
tool: - Some(Done)
usage: 11 of 1000000, -
text: mock reply to: (Bash completed with no output)
usage: 30 of 1000000, -
usage: 30 of 1000000, less than 0.01 USD
end: Completed
",
    },
    Replay {
        of: "claude-agent-acp-0.100.0.cancel",
        env: &[],
        turns: &[(SLOW, Some(3))],
        decision: "",
        options: CLAUDE,
        heard: r"
usage: 11 of 1000000, -
text: tick0 tick1 tick2 
usage: 11 of 1000000, -
end: Cancelled
",
    },
    Replay {
        of: "codex-acp-2.6.0",
        env: &[],
        turns: HELLO_AND_TOOL,
        decision: "",
        options: CODEX,
        heard: r"
notice: Warning: Model metadata for `mock-1` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.
text: mock reply to: hello there
usage: 15 of 258400, -
end: Completed
notice: Warning: Model metadata for `mock-1` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.
usage: 15 of 258400, -
text: mock reply to: TOOL now
usage: 15 of 258400, -
end: Completed
",
    },
    Replay {
        of: "codex-acp-2.6.0.cancel",
        env: &[],
        turns: &[(SLOW, Some(3))],
        decision: "",
        options: CODEX,
        heard: r"
notice: Warning: Model metadata for `mock-1` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.
text: tick0 tick1 tick2 
end: Cancelled
",
    },
    // Its key is all that is configured: that it wants to be asked to sign in is known.
    Replay {
        of: "gemini-0.61.0",
        env: KEY,
        turns: HELLO_AND_TOOL,
        decision: "proceed_always",
        options: &[("mode", Mode)],
        heard: r"
text: mock reply to: nts/srv/agent/\n└───mock_was_here\n\n\n</session_context> hello there
end: Completed
ask: touch mock_was_here (-): Allow for this session=AllowAlways, Allow=AllowOnce, Reject=RejectOnce
tool: touch mock_was_here Some(Done)
text: mock reply to: TOOL now
end: Completed
",
    },
    Replay {
        of: "gemini-0.61.0.cancel",
        env: KEY,
        turns: &[(SLOW, Some(4))],
        decision: "",
        options: &[("mode", Mode)],
        heard: r"
text: tick0 tick1 tick2 tick3 
end: Cancelled
",
    },
    Replay {
        of: "opencode-1.18.33",
        env: &[],
        turns: HELLO_AND_TOOL,
        decision: "once",
        options: &[("model", Model), ("mode", Mode)],
        heard: r"
text: mock reply to: hello there
end: Completed
tool: bash Some(Pending)
tool: touch mock_was_here Some(Running)
ask: touch mock_was_here (touch mock_was_here): Allow once=AllowOnce, Always allow=AllowAlways, Reject=RejectOnce
tool: touch mock_was_here Some(Running)
tool: touch mock_was_here Some(Done)
text: mock reply to: TOOL now
end: Completed
",
    },
    Replay {
        of: "opencode-1.18.33.cancel",
        env: &[],
        turns: &[(SLOW, Some(3))],
        decision: "",
        options: &[("model", Model), ("mode", Mode)],
        heard: r"
text: tick0 tick1 tick2 
end: Cancelled
",
    },
    Replay {
        of: "ts-example-1.9.0",
        env: &[],
        turns: HELLO_AND_TOOL,
        decision: "allow",
        options: &[],
        heard: r"
text: I'll help you with that. Let me start by reading some files to understand the current situation.
tool: Reading project files Some(Pending)
tool: - Some(Done)
text:  Now I understand the project structure. I need to make some changes to improve it.
tool: Modifying critical configuration file Some(Pending)
ask: Modifying critical configuration file (/home/user/project/config.json): Allow this change=AllowOnce, Skip this change=RejectOnce
tool: - Some(Done)
text:  Perfect! I've successfully updated the configuration. The changes have been applied.
end: Completed
text: I'll help you with that. Let me start by reading some files to understand the current situation.
tool: Reading project files Some(Pending)
tool: - Some(Done)
text:  Now I understand the project structure. I need to make some changes to improve it.
tool: Modifying critical configuration file Some(Pending)
ask: Modifying critical configuration file (/home/user/project/config.json): Allow this change=AllowOnce, Skip this change=RejectOnce
tool: - Some(Done)
text:  Perfect! I've successfully updated the configuration. The changes have been applied.
end: Completed
",
    },
    Replay {
        of: "ts-example-1.9.0.cancel",
        env: &[],
        turns: &[(SLOW, Some(1))],
        decision: "",
        options: &[],
        heard: r"
text: I'll help you with that. Let me start by reading some files to understand the current situation.
tool: Reading project files Some(Pending)
tool: - Some(Done)
end: Cancelled
",
    },
    Replay {
        of: "testy",
        env: &[],
        turns: &[("session_updates", None), ("callbacks", None)],
        decision: "allow_once",
        options: &[("verbosity", Other), ("mode", Mode)],
        heard: r#"
usage: 128 of 4096, -
thought: thinking deterministically
text: text content block[Testy reference](file:///srv/testy-reference.txt)
tool: Read deterministic fixture None
tool: - Some(Running)
tool: - Some(Done)
tool: Apply deterministic edit None
tool: Apply deterministic edit Some(Done)
plan: Emit session updates Done, Exercise callbacks Running, Summarize results Pending
text: scenario: session_updates\nsession_updates: sent
end: Completed
ask: Permission request (-): Allow once=AllowOnce, Reject once=RejectOnce
text: scenario: callbacks\nsession/request_permission: ok RequestPermissionResponse { outcome: Selected(SelectedPermissionOutcome { option_id: PermissionOptionId("allow_once"), meta: None }), meta: None }\nfs/write_text_file: ok WriteTextFileResponse { meta: None }\nfs/read_text_file: ok ReadTextFileResponse
end: Completed
"#,
    },
];
