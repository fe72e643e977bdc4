//! Who may prompt, and who may decide.
//!
//! One gate for every entry path. An [`Admitted`] can only come from [`Gate`], and a [`Prompt`](super::agent::Prompt) can only be
//! made with one, so that an unauthorised prompt can't be constructed:
//!
//! ```compile_fail
//! use hitchline::domain::access::Admitted;
//! let forged = Admitted { user: "U1".into(), admin: true };
//! ```

use super::ids::{BotId, ChannelId, TeamId, UserId};
use super::inbound::{Author, ChannelKind};

/// The user as whom the web page's people act. No id of Slack's looks like this.
pub const OPERATOR: &str = "web";

/// The rules, as configured. Empty means nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Users who may prompt: ids, `team:user` for people of other workspaces, or `*` for everybody of ours.
    pub users: Vec<String>,
    /// Channels in which they may, or `*`. DMs are ruled by `users` alone.
    pub channels: Vec<String>,
    /// Users who may also decide for others. They may always prompt.
    pub admins: Vec<String>,
    /// Bots that may prompt, by bot id.
    pub bots: Vec<String>,
    /// Whether people of other workspaces may prompt when they are listed as `team:user`.
    pub external: bool,
}

/// The gate. It is built from the rules and our own workspace, and holds nothing else.
#[derive(Debug, Clone)]
pub struct Gate {
    rules: Rules,
    home: TeamId,
}

/// Proof that somebody passed the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    user: UserId,
    admin: bool,
}

/// Why somebody did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The user is not listed.
    User,
    /// The channel is not listed.
    Channel,
    /// The user belongs to another workspace.
    External,
    /// A bot that is not listed.
    Bot,
}

impl Admitted {
    /// Who passed.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Whether they may decide for others.
    pub fn is_admin(&self) -> bool {
        self.admin
    }

    /// Whether they may answer what was asked on behalf of `requester`: the requester or an admin.
    pub fn may_decide_for(&self, requester: &UserId) -> bool {
        self.admin || self.user == *requester
    }
}

impl Gate {
    /// A gate for people of `home`.
    pub fn new(rules: Rules, home: TeamId) -> Self {
        Self { rules, home }
    }

    /// Lets `author` pass in `channel`, or says why not.
    ///
    /// # Errors
    /// The first rule that keeps them out.
    pub fn admit(&self, author: &Author, channel: &ChannelId, kind: ChannelKind) -> Result<Admitted, Denied> {
        if kind == ChannelKind::Web {
            return Ok(Self::operator());
        }
        let admin = match &author.bot {
            Some(bot) => self.admit_bot(bot)?,
            None => self.admit_person(author)?,
        };
        if !admin && kind != ChannelKind::Direct && !lists(&self.rules.channels, channel.as_str()) {
            return Err(Denied::Channel);
        }
        Ok(Admitted { user: author.user.clone(), admin })
    }

    /// Our own workspace.
    pub fn home(&self) -> &TeamId {
        &self.home
    }

    /// Whether people may prompt in every channel, also in one that is made now.
    pub fn is_open_everywhere(&self) -> bool {
        self.rules.channels.iter().any(|listed| listed == "*")
    }

    /// Whoever writes on the web page: they have shown the operator's token, and act as an admin of this name.
    pub fn operator() -> Admitted {
        Admitted { user: OPERATOR.into(), admin: true }
    }

    fn admit_bot(&self, bot: &BotId) -> Result<bool, Denied> {
        // Never by wildcard: two bots that answer each other don't stop by themselves.
        if self.rules.bots.iter().any(|listed| listed == bot.as_str()) { Ok(false) } else { Err(Denied::Bot) }
    }

    fn admit_person(&self, author: &Author) -> Result<bool, Denied> {
        if let Some(team) = author.team.as_ref().filter(|team| **team != self.home) {
            return self.admit_external(team, &author.user);
        }
        let admin = self.rules.admins.iter().any(|listed| listed == author.user.as_str());
        if admin || lists(&self.rules.users, author.user.as_str()) { Ok(admin) } else { Err(Denied::User) }
    }

    fn admit_external(&self, team: &TeamId, user: &UserId) -> Result<bool, Denied> {
        let name = format!("{team}:{user}");
        let named = |list: &[String]| list.contains(&name);
        if !self.rules.external {
            return Err(Denied::External);
        }
        let admin = named(&self.rules.admins);
        if admin || named(&self.rules.users) { Ok(admin) } else { Err(Denied::External) }
    }
}

fn lists(list: &[String], name: &str) -> bool {
    list.iter().any(|listed| listed == "*" || listed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(users: &[&str], admins: &[&str]) -> Gate {
        let text = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let rules = Rules {
            users: text(users),
            admins: text(admins),
            channels: text(&["C1"]),
            bots: text(&["B1"]),
            external: true,
        };
        Gate::new(rules, "T1".into())
    }

    fn person(user: &str, team: Option<&str>) -> Author {
        Author { user: user.into(), team: team.map(Into::into), bot: None }
    }

    fn bot(bot: &str) -> Author {
        Author { user: "UB".into(), team: None, bot: Some(bot.into()) }
    }

    #[test]
    fn the_gate_fails_closed() {
        let closed = gate(&[], &[]);
        assert_eq!(closed.admit(&person("U1", None), &"C1".into(), ChannelKind::Channel), Err(Denied::User));
    }

    #[test]
    fn each_identity_meets_its_rule() {
        let open = gate(&["*"], &["UADMIN"]);
        let listed = gate(&["U1", "T2:U9"], &["UADMIN", "T2:UA"]);
        let cases = [
            (&open, person("U1", None), "C1", Ok(false)),
            (&open, person("U1", Some("T1")), "C1", Ok(false)),
            (&open, person("U1", None), "C2", Err(Denied::Channel)),
            (&open, person("UADMIN", None), "C2", Ok(true)),
            (&open, person("U9", Some("T2")), "C1", Err(Denied::External)),
            (&open, bot("B2"), "C1", Err(Denied::Bot)),
            (&open, bot("B1"), "C1", Ok(false)),
            (&listed, person("U1", None), "C1", Ok(false)),
            (&listed, person("U2", None), "C1", Err(Denied::User)),
            (&listed, person("U9", Some("T2")), "C1", Ok(false)),
            (&listed, person("UA", Some("T2")), "C1", Ok(true)),
            // The same user id in another workspace is another person.
            (&listed, person("U1", Some("T2")), "C1", Err(Denied::External)),
            (&listed, person("UADMIN", Some("T2")), "C1", Err(Denied::External)),
        ];
        for (gate, author, channel, expected) in cases {
            let admitted = gate.admit(&author, &channel.into(), ChannelKind::Channel).map(|pass| pass.is_admin());
            assert_eq!(admitted, expected, "{author:?} in {channel}");
        }
    }

    #[test]
    fn a_direct_message_needs_no_listed_channel() {
        let pass = gate(&["U1"], &[]).admit(&person("U1", None), &"D7".into(), ChannelKind::Direct).unwrap();
        assert!(pass.may_decide_for(&"U1".into()) && !pass.may_decide_for(&"U2".into()));
    }
}
