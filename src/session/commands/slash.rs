//! The slash command. It comes from a channel as a whole: what needs a session acts on the channel's own, where there is one.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::{Asked, Way};
use crate::domain::command::{self, Command, Entry, Reading};
use crate::domain::conversation::{ConversationKey, Markup};
use crate::domain::ids::{OwedId, Ts, UserId};
use crate::domain::inbound::{Inbound, Message, Slash, What};
use crate::domain::outgoing::{Body, Place};
use crate::domain::ports::{Line, WriteErrorKind};
use crate::scope::OnCrash;
use crate::session::lines::{Delivered, Later};
use crate::session::manager::Inner;
use crate::session::words;

/// How often the post that opens a thread is tried, and the pause in between.
const THREAD_ATTEMPTS: usize = 3;
const THREAD_RETRY: Duration = Duration::from_secs(2);

impl Inner {
    /// Answers a slash command, for its author alone; `new` and `connect` open a thread.
    pub(in crate::session) async fn slash(
        self: &Arc<Self>,
        key: &ConversationKey,
        seq: i64,
        inbound: &Inbound,
        slash: &Slash,
    ) -> Result<Delivered, Later> {
        let by = match self.admit(inbound) {
            Ok(by) => by,
            Err(denied) => {
                self.respond(Some(slash.reply.clone()), &words::denied(denied, &inbound.author.user));
                return self.done(key, seq).await;
            }
        };
        let asked = Asked::replied(key, seq, &by, Some(slash.reply.clone()));
        let refused = match command::read(&slash.text, Entry::Slash) {
            Reading::Command(command @ (Command::New(_) | Command::Connect(_))) => {
                match self.why_no_thread(&asked, &command).await? {
                    Some(why_not) => why_not,
                    None => return self.in_new_thread(&asked, inbound, slash, &command).await,
                }
            }
            Reading::Command(command @ (Command::Discover(_) | Command::Projects)) => {
                return self.run_apart(asked, command).await;
            }
            Reading::Command(command) => return self.run_command(&asked, command).await,
            Reading::Misused(misuse) => Answer::aside(words::misused_slash(&misuse, &self.parts.policy.command)),
            Reading::Prompt(_) => Answer::aside(words::THREADS_ONLY),
        };
        self.give(&asked, refused).await
    }

    /// What can be said against a thread for this command before it is opened.
    async fn why_no_thread(self: &Arc<Self>, asked: &Asked<'_>, command: &Command) -> Result<Option<Answer>, Later> {
        if self.mapping(asked.key).await?.is_some() {
            return Ok(Some(Answer::aside(words::SESSION_EXISTS)));
        }
        match command {
            Command::Connect(id) => self.not_one_of_ours(asked, id).await,
            Command::New(args) => {
                let start = self.parts.policy.start(&asked.key.channel, args.agent.as_deref(), args.dir.as_deref());
                Ok(start.err().map(|refused| Answer::aside(words::not_started(&refused))))
            }
            _ => Ok(None),
        }
    }

    /// Lets a slash command stand in a thread of its own, like a message of its author.
    async fn in_new_thread(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        inbound: &Inbound,
        slash: &Slash,
        command: &Command,
    ) -> Result<Delivered, Later> {
        let root = self.thread_root(asked.by.user(), command);
        let ts = match self.open_thread(asked.key, root).await? {
            Ok(ts) => ts,
            Err(why_not) => return self.give(asked, Answer::aside(&why_not)).await,
        };
        // With the mark that makes it a command wherever it stands.
        let text = format!("!{}", slash.text.trim_start().trim_start_matches('!'));
        let message = Message { ts: ts.clone(), thread: Some(ts), text, mention: true, files: Vec::new() };
        self.go_on_in_thread(asked.seq, Inbound { what: What::Message(message), ..inbound.clone() }).await
    }

    /// Puts `inbound`, which stands in a thread, in the place of the event `seq`, which did not.
    pub(super) async fn go_on_in_thread(self: &Arc<Self>, seq: i64, inbound: Inbound) -> Result<Delivered, Later> {
        let key = inbound.queue();
        self.parts.store.replace(seq, inbound).await.map_err(|error| Later::because(&key, &error))?;
        self.stored_in(&key, Line::Turn, seq);
        Ok(None)
    }

    /// Posts the root of a thread into a channel. Or says why that can't be.
    pub(super) async fn open_thread(&self, key: &ConversationKey, root: String) -> Result<Result<Ts, String>, Later> {
        let place = Place { channel: key.channel.clone(), thread: None };
        let root = Body::Text(root);
        for _ in 0..THREAD_ATTEMPTS {
            let error = match self.parts.slack.post(&place, &root, &OwedId::new().into()).await {
                Ok(ts) => return Ok(Ok(ts)),
                Err(error) => error,
            };
            tracing::warn!(channel.id = %key.channel, %error, "A thread for a session could not be opened");
            if matches!(error.kind, WriteErrorKind::Permanent | WriteErrorKind::PlaceClosed) {
                return Ok(Err(words::no_thread(&error.code)));
            }
            self.pause(THREAD_RETRY).await;
            // It stays in the store, for the next start.
            if self.parts.scope.finish().is_cancelled() {
                return Err(Later);
            }
        }
        Ok(Err(words::NO_THREAD_NOW.to_owned()))
    }

    /// What a thread begins with that a slash command opened.
    fn thread_root(&self, author: &UserId, command: &Command) -> String {
        let said = match command {
            Command::New(args) => self.parts.render.parts(Markup::Slack, &args.text).into_iter().next(),
            _ => return words::connecting_for(author),
        };
        said.map_or_else(|| format!("A new session for <@{author}>"), |said| format!("<@{author}>: {said}"))
    }

    /// Runs a command that asks agents, and may take long, beside the channel's line: what comes next in it may be somebody else's.
    async fn run_apart(self: &Arc<Self>, asked: Asked<'_>, command: Command) -> Result<Delivered, Later> {
        let Ok(place) = self.slow.clone().try_acquire_owned() else {
            return self.give(&asked, Answer::aside(words::TOO_MUCH_AT_ONCE)).await;
        };
        // First: it is answered at most once, like everything that goes to a reply's address.
        let taken = self.done(asked.key, asked.seq).await?;
        let (inner, key, by) = (self.clone(), asked.key.clone(), asked.by.clone());
        let seq = asked.seq;
        let Way::Reply(reply) = asked.way else { return Ok(taken) };
        self.parts.scope.spawn("slash command", OnCrash::Log, async move {
            let asked = Asked::replied(&key, seq, &by, reply);
            let finish = inner.parts.scope.finish().clone();
            let _or_stopping = finish.run_until_cancelled(inner.run_command(&asked, command)).await;
            drop(place);
        });
        Ok(taken)
    }
}
