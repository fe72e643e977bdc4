use super::*;
use crate::domain::access::{Gate, Rules};
use crate::domain::conversation::ConversationKey;
use crate::domain::inbound::{Author, ChannelKind};

fn person(user: &str) -> Admitted {
    let rules = Rules { users: vec!["*".into()], admins: vec!["UADMIN".into()], ..Rules::default() };
    let author = Author { user: user.into(), team: None, bot: None };
    Gate::new(rules, "T1".into()).admit(&author, &"D1".into(), ChannelKind::Direct).unwrap()
}

fn record(creator: &str, status: SessionStatus) -> SessionRecord {
    SessionRecord {
        id: SessionId::new(),
        conversation: ConversationKey { team: "T1".into(), channel: "C1".into(), thread: "1.0".into() },
        backend: "echo".into(),
        backend_ref: None,
        working_dir: "/".into(),
        description: String::new(),
        creator: creator.into(),
        created_ms: 0,
        last_active_ms: 0,
        options: std::collections::BTreeMap::new(),
        status,
    }
}

// holds: M-6, S-6
#[test]
fn the_one_active_session_of_ones_own_is_meant() {
    use SessionStatus::{Active, Ended};
    let (mine, old, theirs) = (record("U1", Active), record("U1", Ended), record("U2", Active));
    let one = |record: &SessionRecord| Ours::One(Box::new(record.clone()));
    let cases = [
        (vec![], "U1", Ours::Unknown),
        (vec![mine.clone(), old.clone(), theirs.clone()], "U1", one(&mine)),
        (vec![mine.clone(), old.clone()], "U2", Ours::Refused(Refusal::NotYours)),
        (vec![old.clone(), theirs.clone()], "U1", Ours::Refused(Refusal::Ended)),
        (vec![theirs.clone()], "UADMIN", one(&theirs)),
        (vec![mine.clone(), theirs.clone()], "UADMIN", Ours::Several(vec![mine, theirs])),
    ];
    for (found, who, expected) in cases {
        assert_eq!(choose(found, &person(who)), expected, "{who}");
    }
}
