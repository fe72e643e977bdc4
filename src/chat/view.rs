//! What the API shows, in JSON.

use serde::Serialize;

use super::html;
use super::transcript::{Entry, Line};
use crate::domain::agent::OptionKind;
use crate::domain::ids::Ts;
use crate::domain::inbound::Button;
use crate::domain::outgoing::{ApprovalCard, ApprovalState, Body, List, ListRow};
use crate::domain::visible::visible;
use crate::session::Overview;
use crate::store::ChatAuthor;

/// Whether a session is connected, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Connection {
    session_connected: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
}

impl Connection {
    pub(super) fn to(session: Option<Session>) -> Self {
        Self { session_connected: session.is_some(), session }
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Session {
    #[serde(rename = "session_id")]
    id: String,
    agent: String,
    working_dir: String,
    description: String,
    created_ms: i64,
}

impl From<&crate::domain::session::SessionRecord> for Session {
    fn from(record: &crate::domain::session::SessionRecord) -> Self {
        Self {
            id: record.id.to_string(),
            agent: record.backend.clone(),
            working_dir: record.working_dir.display().to_string(),
            description: record.description.clone(),
            created_ms: record.created_ms,
        }
    }
}

/// A session in a list.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    session: Session,
    connected: bool,
    /// `working`, `idle`, `asleep`.
    doing: &'static str,
    /// How many messages wait for it.
    waiting: usize,
    last_active_ms: i64,
}

impl Listed {
    pub(super) fn new(overview: &Overview, connected: bool) -> Self {
        Self {
            session: (&overview.record).into(),
            connected,
            doing: overview.doing.word(),
            waiting: overview.waiting,
            last_active_ms: overview.record.last_active_ms,
        }
    }
}

/// A line of the transcript, with the name of its event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Told {
    /// `message` and `revised`.
    Message(Box<Message>),
    /// `withdrawn`.
    Withdrawn {
        /// The message that is gone.
        id: Ts,
    },
}

impl Told {
    /// What a line tells, and the event's name.
    pub(super) fn of(entry: Entry) -> (&'static str, Self) {
        let Entry { id, author, line, created_ms, .. } = entry;
        let message = |id, notice, body: &Body| {
            let author = if author == ChatAuthor::Web { "web" } else { "agent" };
            let content = Content::of(body, author == "web");
            Self::Message(Box::new(Message { id, author, notice, created_ms, content }))
        };
        match line {
            Line::Message(body) => ("message", message(id, false, &body)),
            Line::Notice(body) => ("message", message(id, true, &body)),
            Line::Revised { id, body } => ("revised", message(id, false, &body)),
            Line::Withdrawn { id } => ("withdrawn", Self::Withdrawn { id }),
        }
    }
}

/// A message.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    id: Ts,
    /// `web` or `agent`.
    author: &'static str,
    /// Whether in Slack only the person concerned would see it.
    notice: bool,
    created_ms: i64,
    #[serde(flatten)]
    content: Content,
}

/// What a message says.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Content {
    Text(Text),
    Approval(Approval),
    List {
        #[serde(flatten)]
        text: Text,
        rows: Vec<Row>,
    },
}

impl Content {
    fn of(body: &Body, plain: bool) -> Self {
        match body {
            Body::Text(text) if plain => Self::Text(Text { markdown: text.clone(), html: html::of_text(text) }),
            Body::Text(text) | Body::Plain(text) => Self::Text(Text::of(text)),
            Body::Approval(card) => Self::Approval(Approval::of(card)),
            Body::List(List { text, rows }) => {
                Self::List { text: Text::of(text), rows: rows.iter().map(Row::of).collect() }
            }
        }
    }
}

/// Markdown, and the same as HTML that may be put into a page as it is.
#[derive(Debug, Serialize)]
pub(super) struct Text {
    markdown: String,
    html: String,
}

impl Text {
    pub(super) fn of(markdown: &str) -> Self {
        Self { markdown: markdown.to_owned(), html: html::of_markdown(markdown) }
    }
}

/// A request for a decision. Its texts are plain, and nothing in them hides.
#[derive(Debug, Serialize)]
struct Approval {
    title: String,
    /// Whether it asks for an answer rather than for permission.
    question: bool,
    detail: Option<String>,
    /// `open`, `decided`, `expired` or `withdrawn`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_after_s: Option<u64>,
    /// What was decided, and by whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<Decided>,
    /// Empty unless it is open.
    buttons: Vec<Press>,
}

#[derive(Debug, Serialize)]
struct Decided {
    by: String,
    label: String,
}

impl Approval {
    fn of(card: &ApprovalCard) -> Self {
        let (state, expires_after_s, decided) = match &card.state {
            ApprovalState::Open { expires_after_s } => ("open", Some(*expires_after_s), None),
            ApprovalState::Decided { by, option } => {
                let label = card.options.get(*option).map(|(label, _)| visible(label)).unwrap_or_default();
                ("decided", None, Some(Decided { by: by.to_string(), label }))
            }
            ApprovalState::Expired => ("expired", None, None),
            ApprovalState::Withdrawn | ApprovalState::CutOff => ("withdrawn", None, None),
        };
        let button = |(option, (label, kind)): (usize, &(String, OptionKind))| Press {
            label: visible(label),
            danger: !kind.allows() && *kind != OptionKind::Choice,
            sends: Button::Approval { id: card.id, option },
        };
        let options = if state == "open" { &card.options[..] } else { &[] };
        let buttons = options.iter().enumerate().map(button).collect();
        let question = card.is_question();
        Self {
            title: visible(&card.title),
            question,
            detail: card.detail.as_deref().map(visible),
            state,
            expires_after_s,
            decided,
            buttons,
        }
    }
}

/// A button, and what stands on it.
#[derive(Debug, Serialize)]
struct Press {
    label: String,
    /// Whether it denies or destroys something.
    danger: bool,
    /// What a press of it sends.
    #[serde(rename = "press")]
    sends: Button,
}

/// A row of a list.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    text: Text,
    button: Option<Press>,
}

impl Row {
    fn of(row: &ListRow) -> Self {
        let button = row.button.as_ref();
        let press = |shown: &crate::domain::outgoing::ListButton| Press {
            label: shown.label.clone(),
            danger: shown.danger,
            sends: shown.button.clone(),
        };
        Self { text: Text::of(&row.text), button: button.map(press) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::agent::OptionKind;
    use crate::domain::ids::ApprovalId;
    use crate::domain::inbound::Button;
    use crate::domain::outgoing::ListButton;

    fn told(author: ChatAuthor, line: Line) -> (&'static str, Value) {
        let (name, told) = Told::of(Entry { pos: 1, id: "w.1".into(), author, line, created_ms: 5 });
        (name, serde_json::to_value(told).unwrap())
    }

    #[test]
    fn a_person_s_text_is_shown_word_for_word_and_an_agent_s_as_markdown() {
        let line = Line::Message(Body::Text("*a*".to_owned()));
        let (name, person) = told(ChatAuthor::Web, line.clone());
        let expected = json!({
            "id": "w.1", "author": "web", "notice": false, "created_ms": 5, "kind": "text", "markdown": "*a*", "html": "<p>*a*</p>\n"
        });
        assert_eq!((name, person), ("message", expected));
        assert_eq!(told(ChatAuthor::Agent, line).1["html"], "<p><em>a</em></p>\n");
        let gone = told(ChatAuthor::Agent, Line::Withdrawn { id: "w.0".into() });
        assert_eq!(gone, ("withdrawn", json!({"id": "w.0"})));
    }

    #[test]
    fn an_approval_has_buttons_while_it_is_open() {
        let id = ApprovalId::new();
        let options = vec![("Yes".to_owned(), OptionKind::AllowOnce), ("No".to_owned(), OptionKind::RejectOnce)];
        let open = ApprovalState::Open { expires_after_s: 600 };
        let card = ApprovalCard {
            id,
            requester: "web".into(),
            title: "Run".into(),
            detail: None,
            options,
            attached: false,
            state: open,
        };
        let (_, shown) = told(ChatAuthor::Agent, Line::Message(Body::Approval(card.clone())));
        let press = json!({"approval": {"id": id, "option": 1}});
        assert_eq!(shown["question"], false);
        assert_eq!(shown["buttons"][1], json!({"label": "No", "danger": true, "press": press}));
        assert_eq!((&shown["state"], &shown["expires_after_s"]), (&json!("open"), &json!(600)));
        let decided = ApprovalState::Decided { by: "web".into(), option: 0 };
        let body = Body::Approval(ApprovalCard { state: decided, ..card });
        let (name, shown) = told(ChatAuthor::Agent, Line::Revised { id: "w.0".into(), body });
        assert_eq!((name, &shown["id"], &shown["buttons"]), ("revised", &json!("w.0"), &json!([])));
        assert_eq!(shown["decided"], json!({"by": "web", "label": "Yes"}));
    }

    #[test]
    fn nothing_hides_in_what_is_to_be_approved() {
        let card = ApprovalCard {
            id: ApprovalId::new(),
            requester: "web".into(),
            title: "Run\u{200b}".into(),
            detail: Some("rm \u{202e}x\u{1b}[2K\n".into()),
            options: vec![("Yes\u{202e}".into(), OptionKind::AllowOnce)],
            attached: false,
            state: ApprovalState::Open { expires_after_s: 600 },
        };
        let (_, shown) = told(ChatAuthor::Agent, Line::Message(Body::Approval(card.clone())));
        assert_eq!(
            (&shown["title"], &shown["detail"]),
            (&json!("Run\\u{200B}"), &json!("rm \\u{202E}x\\u{001B}[2K\n"))
        );
        assert_eq!(shown["buttons"][0]["label"], "Yes\\u{202E}");
        let decided = ApprovalState::Decided { by: "web".into(), option: 0 };
        let (_, shown) =
            told(ChatAuthor::Agent, Line::Message(Body::Approval(ApprovalCard { state: decided, ..card })));
        assert_eq!(shown["decided"]["label"], "Yes\\u{202E}");
    }

    #[test]
    fn a_question_has_choices_of_which_none_is_a_danger() {
        let options = ["Left", "Right"].map(|label| (label.to_owned(), OptionKind::Choice)).into();
        let (requester, title) = ("web".into(), "Which?".to_owned());
        let state = ApprovalState::Open { expires_after_s: 600 };
        let card =
            ApprovalCard { id: ApprovalId::new(), requester, title, detail: None, attached: false, options, state };
        let (_, shown) = told(ChatAuthor::Agent, Line::Message(Body::Approval(card)));
        assert_eq!((&shown["question"], &shown["buttons"][0]["danger"]), (&json!(true), &json!(false)));
    }

    #[test]
    fn a_list_has_a_button_in_each_row_that_has_something_to_do() {
        let button = Button::Approval { id: ApprovalId::new(), option: 0 };
        let button = ListButton { label: "Connect".into(), button, danger: false };
        let rows = vec![
            ListRow { text: "**one**".into(), button: Some(button) },
            ListRow { text: "two".into(), button: None },
        ];
        let (_, shown) = told(ChatAuthor::Agent, Line::Notice(Body::List(List { text: "Sessions".into(), rows })));
        assert_eq!(
            (&shown["kind"], &shown["notice"], &shown["markdown"]),
            (&json!("list"), &json!(true), &json!("Sessions"))
        );
        assert_eq!(shown["rows"][0]["html"], "<p><strong>one</strong></p>\n");
        assert_eq!(shown["rows"][0]["button"]["label"], "Connect");
        assert_eq!(shown["rows"][1]["button"], Value::Null);
    }
}
