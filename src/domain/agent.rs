//! What goes to an agent and what comes back, whatever kind of agent it is.

use std::fmt::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::access::Admitted;
use super::ids::{RequestId, TurnId, UserId};
use super::visible::hides;

/// One prompt of one admitted person.
#[derive(Debug, Clone)]
pub struct Prompt {
    turn: TurnId,
    requester: UserId,
    text: String,
    attachments: Vec<Attachment>,
}

/// A file that came with a prompt, and lies on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What its sender calls it.
    pub name: String,
    /// Its type, as Slack says, such as `image/png`.
    pub mime: Option<String>,
    /// Where it lies until the session ends, for a week at the most. Absolute.
    pub path: PathBuf,
}

impl Prompt {
    /// A prompt; only who passed the gate can have one made.
    pub fn new(turn: TurnId, by: &Admitted, text: String) -> Self {
        Self { turn, requester: by.user().clone(), text, attachments: Vec::new() }
    }

    /// The same with files.
    #[must_use]
    pub fn with_files(self, attachments: Vec<Attachment>) -> Self {
        Self { attachments, ..self }
    }

    /// The same with `context` before what the person said.
    #[must_use]
    pub fn after(self, context: &str) -> Self {
        Self { text: format!("{context}\n\n{}", self.text), ..self }
    }

    /// The same in other words.
    #[must_use]
    pub fn reworded(self, text: String) -> Self {
        Self { text, ..self }
    }

    /// The turn that it starts.
    pub fn turn(&self) -> TurnId {
        self.turn
    }

    /// Who asked.
    pub fn requester(&self) -> &UserId {
        &self.requester
    }

    /// What the agent is told, without its files.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The files that came with it.
    pub fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// What the agent is told, and below it a line for each file: for agents that take nothing but text.
    pub fn text_and_files(&self) -> String {
        let mut text = self.text.clone();
        for Attachment { name, mime, path } in &self.attachments {
            let kind = mime.as_ref().map(|mime| format!(" ({})", printable(mime))).unwrap_or_default();
            let gap = if text.is_empty() { "" } else { "\n" };
            let _infallible = write!(text, "{gap}[attached file {}{kind}: {}]", printable(name), path.display());
        }
        text
    }
}

/// A sender's word in one line, in which nothing can pass for a line of its own.
fn printable(word: &str) -> String {
    word.chars().map(|c| if hides(c) || matches!(c, '[' | ']') { '_' } else { c }).collect()
}

/// Something an agent says or does during a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// A piece of the answer, as Markdown.
    Text {
        /// The agent's id of the message it belongs to; another one than before starts a new paragraph.
        message: Option<String>,
        /// The piece.
        delta: String,
    },
    /// A piece of the agent's thinking; never shown word for word.
    Thought(String),
    /// A tool call began or changed; the same id again is the same call.
    Tool(ToolCall),
    /// The agent's whole plan, replacing the one before.
    Plan(Vec<PlanEntry>),
    /// The agent waits for a decision.
    Permission(PermissionRequest),
    /// The agent took a permission request back: nobody needs to decide any more.
    PermissionWithdrawn(RequestId),
    /// Something the agent wants the person to know beside its answer.
    Notice(String),
    /// The agent shortens what it remembers of the session.
    Compacting,
    /// What the session has used so far, replacing what was said of it before.
    Usage(Usage),
}

/// What a session has used so far, as far as its agent says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many tokens the model has to remember.
    pub used: u64,
    /// How many it can.
    pub size: u64,
    /// What it has cost, such as `0.02 USD`.
    pub cost: Option<String>,
}

/// A tool call, as far as it is known. Absent fields are unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The agent's id of the call.
    pub id: String,
    /// What it does, in the agent's words.
    pub title: Option<String>,
    /// How far it is.
    pub status: Option<Progress>,
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Failed.
    Failed,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanEntry {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub status: Progress,
}

/// A decision that an agent asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionRequest {
    /// By this id it is answered.
    pub id: RequestId,
    /// What the agent wants to do, in its words.
    pub title: String,
    /// The exact command, path or input, where the agent gives one.
    pub detail: Option<String>,
    /// The options, in the agent's order.
    pub options: Vec<PermissionOption>,
}

/// One way to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionOption {
    /// The agent's id of the option.
    pub id: String,
    /// What the agent calls it.
    pub label: String,
    /// What it means. Options are chosen by this, never by place or id.
    pub kind: OptionKind,
}

/// What an option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// Yes, this time.
    AllowOnce,
    /// Yes, and don't ask again.
    AllowAlways,
    /// No, this time.
    RejectOnce,
    /// No, and don't ask again.
    RejectAlways,
    /// One of several answers to a question that is about no permission.
    Choice,
    /// A kind that we don't know.
    Other,
}

impl OptionKind {
    /// Whether it lets the agent go on.
    pub fn allows(self) -> bool {
        matches!(self, Self::AllowOnce | Self::AllowAlways)
    }

    /// Whether it binds later requests too.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::AllowAlways | Self::RejectAlways)
    }
}

impl PermissionRequest {
    /// How nobody's decision is answered: the rejection for this time, where the agent offers one.
    pub fn rejection(&self) -> Decision {
        let reject = |kind| self.options.iter().find(move |option| option.kind == kind);
        reject(OptionKind::RejectOnce)
            .map_or(Decision::Cancelled, |option| Decision::Selected { option: option.id.clone() })
    }
}

/// The answer to a permission request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// One of the options, by the agent's id.
    Selected {
        /// The option's id.
        option: String,
    },
    /// None: the turn is being cancelled, or no option means "no".
    Cancelled,
}

// === What an agent offers beside answering ===

/// What the agent of a session offers beside answering.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offers {
    /// Its slash commands, in its order.
    pub commands: Vec<AgentCommand>,
    /// What can be chosen about it, in its order.
    pub options: Vec<AgentOption>,
}

/// A slash command of an agent. It is used by sending `/NAME` and what follows as a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCommand {
    /// Its name, without the slash.
    pub name: String,
    /// What it does, in the agent's words.
    pub description: String,
    /// What may follow the name, in the agent's words; `None` when nothing does.
    pub hint: Option<String>,
}

/// Something that can be chosen about an agent, such as its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOption {
    /// The agent's id of the option; by this it is set.
    pub id: String,
    /// What the agent calls it.
    pub name: String,
    /// What it is about.
    pub category: OptionCategory,
    /// The value that is chosen now; one of `values`, unless the agent says otherwise.
    pub current: String,
    /// What can be chosen, in the agent's order.
    pub values: Vec<OptionValue>,
}

/// One choice of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionValue {
    /// The agent's id of the choice.
    pub value: String,
    /// What the agent calls it.
    pub name: String,
    /// What it means, in the agent's words.
    pub description: Option<String>,
}

/// What an option is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionCategory {
    /// Which model answers.
    Model,
    /// How the agent works, such as asking first or only planning.
    Mode,
    /// Something else.
    Other,
}

// === What an agent can reach ===

/// How an agent reaches its own conversation: an MCP server, and the token that says which conversation that is. It lives as long as the
/// agent's session does, and is never written down.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolAccess {
    /// The server's address for agents that speak MCP over HTTP.
    pub url: String,
    /// The address for [`Self::program`].
    pub stdio_url: String,
    /// What each request carries as `Authorization: Bearer …`.
    pub token: String,
    /// Our own program, which serves the same over standard streams, as `PROGRAM mcp-stdio`, to agents that don't speak HTTP.
    pub program: PathBuf,
}

impl ToolAccess {
    /// The variable in which [`Self::program`] finds its address.
    pub const URL: &str = "HITCHLINE_MCP_URL";
    /// The variable in which it finds the token.
    pub const TOKEN: &str = "HITCHLINE_MCP_TOKEN";
}

impl fmt::Debug for ToolAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolAccess").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{Gate, Rules};
    use crate::domain::inbound::{Author, ChannelKind};

    #[test]
    fn an_agent_that_takes_only_text_reads_where_its_files_lie() {
        let rules = Rules { users: vec!["*".into()], ..Rules::default() };
        let author = Author { user: "U1".into(), team: None, bot: None };
        let admitted = Gate::new(rules, "T1".into()).admit(&author, &"D1".into(), ChannelKind::Direct).unwrap();
        let file = |name: &str, mime: Option<&str>| Attachment {
            name: name.into(),
            mime: mime.map(Into::into),
            path: PathBuf::from("/files/1"),
        };
        let prompt = |text: &str| Prompt::new(TurnId::new(), &admitted, text.into());
        assert_eq!(prompt("look").text_and_files(), "look");
        let files = vec![file("a.png", Some("image/png")), file("b]\n[\u{202e}attached", None)];
        let told = prompt("look").with_files(files.clone());
        let lines = "[attached file a.png (image/png): /files/1]\n[attached file b____attached: /files/1]";
        assert_eq!(told.text_and_files(), format!("look\n{lines}"));
        assert_eq!(prompt("").with_files(files).text_and_files(), lines);
        assert_eq!((told.text(), told.attachments().len()), ("look", 2));
    }
}
