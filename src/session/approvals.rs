//! The decisions that one turn waits for: asked once, answered once, and never by silence in favour of the agent.

use std::time::{Duration, Instant};

use crate::domain::access::Admitted;
use crate::domain::agent::{Decision, PermissionRequest};
use crate::domain::ids::{ApprovalId, OwedId, RequestId, UserId};
use crate::domain::outgoing::{ApprovalCard, ApprovalState};
use crate::domain::ports::Upload;

/// The open approvals of a turn.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    open: Vec<Approval>,
}

/// One open approval.
#[derive(Debug)]
struct Approval {
    request: PermissionRequest,
    card: ApprovalCard,
    /// The row that posted its message.
    row: OwedId,
    expires: Instant,
}

/// A settled approval: what the agent is told and what people see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) request: RequestId,
    pub(super) decision: Decision,
    pub(super) row: OwedId,
    pub(super) card: ApprovalCard,
}

/// Why a press did nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotPressed {
    /// It is settled, or never was.
    Stale,
    /// Somebody else has to decide.
    NotYours,
}

impl Approvals {
    /// Opens an approval. Returns the row's id and the card to post. A command of which `shows_whole` says no comes as a file, too.
    pub(super) fn open(
        &mut self,
        request: PermissionRequest,
        requester: &UserId,
        now: Instant,
        timeout: Duration,
        shows_whole: impl Fn(&ApprovalCard) -> bool,
    ) -> (OwedId, ApprovalCard) {
        let card = ApprovalCard {
            id: ApprovalId::new(),
            requester: requester.clone(),
            title: request.title.clone(),
            detail: request.detail.clone(),
            options: request.options.iter().map(|option| (option.label.clone(), option.kind)).collect(),
            attached: false,
            state: ApprovalState::Open { expires_after_s: timeout.as_secs() },
        };
        let card = ApprovalCard { attached: !shows_whole(&card), ..card };
        let row = OwedId::new();
        self.open.push(Approval { request, card: card.clone(), row, expires: now + timeout });
        (row, card)
    }

    /// The whole command of an open approval, where it comes as a file.
    pub(super) fn attachment(&self, id: ApprovalId) -> Option<Upload> {
        let card = self.open.iter().map(|approval| &approval.card).find(|card| card.id == id && card.attached)?;
        Some(Upload { name: card.file_name(), bytes: card.command().as_bytes().to_vec() })
    }

    /// How many wait for a decision.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether anything waits for a decision.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the next one expires.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.open.iter().map(|approval| approval.expires).min()
    }

    /// Somebody pressed an option.
    pub(super) fn press(&mut self, id: ApprovalId, option: usize, by: &Admitted) -> Result<Settled, NotPressed> {
        let found = self.open.iter().position(|approval| approval.card.id == id).ok_or(NotPressed::Stale)?;
        let approval = &self.open[found];
        if !by.may_decide_for(&approval.card.requester) {
            return Err(NotPressed::NotYours);
        }
        let chosen = approval.request.options.get(option).ok_or(NotPressed::Stale)?;
        let decision = Decision::Selected { option: chosen.id.clone() };
        Ok(self.open.remove(found).settle(decision, ApprovalState::Decided { by: by.user().clone(), option }))
    }

    /// Takes out one whose time is over, as a rejection.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Settled> {
        let found = self.open.iter().position(|approval| approval.expires <= now)?;
        let approval = self.open.remove(found);
        let decision = approval.request.rejection();
        Some(approval.settle(decision, ApprovalState::Expired))
    }

    /// Takes out one that nobody will ever see, as a rejection.
    pub(super) fn reject(&mut self, id: ApprovalId) -> Option<Settled> {
        let found = self.open.iter().position(|approval| approval.card.id == id)?;
        let approval = self.open.remove(found);
        let decision = approval.request.rejection();
        Some(approval.settle(decision, ApprovalState::Expired))
    }

    /// Takes out one that the agent withdrew.
    pub(super) fn withdraw(&mut self, request: &RequestId) -> Option<Settled> {
        let found = self.open.iter().position(|approval| approval.request.id == *request)?;
        Some(self.open.remove(found).settle(Decision::Cancelled, ApprovalState::Withdrawn))
    }

    /// Takes out all of them: the turn is over or being stopped.
    pub(super) fn withdraw_all(&mut self) -> Vec<Settled> {
        let withdraw = |approval: Approval| approval.settle(Decision::Cancelled, ApprovalState::Withdrawn);
        self.open.drain(..).map(withdraw).collect()
    }
}

impl Approval {
    fn settle(self, decision: Decision, state: ApprovalState) -> Settled {
        Settled { request: self.request.id, decision, row: self.row, card: ApprovalCard { state, ..self.card } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::domain::access::{Gate, Rules};
    use crate::domain::agent::{OptionKind, PermissionOption};
    use crate::domain::inbound::{Author, ChannelKind};

    fn person(user: &str) -> Admitted {
        let rules = Rules { users: vec!["*".into()], admins: vec!["UADMIN".into()], ..Rules::default() };
        let author = Author { user: user.into(), team: None, bot: None };
        Gate::new(rules, "T1".into()).admit(&author, &"D1".into(), ChannelKind::Direct).unwrap()
    }

    fn request(kinds: &[OptionKind]) -> PermissionRequest {
        let option = |(n, kind): (usize, &OptionKind)| PermissionOption {
            id: format!("o{n}"),
            label: format!("O{n}"),
            kind: *kind,
        };
        PermissionRequest {
            id: "r1".into(),
            title: "touch f".into(),
            detail: None,
            options: kinds.iter().enumerate().map(option).collect(),
        }
    }

    fn opened(kinds: &[OptionKind]) -> (Approvals, ApprovalCard, Instant) {
        let now = Clock::system().now();
        let mut approvals = Approvals::default();
        let (_, card) = approvals.open(request(kinds), &"U1".into(), now, Duration::from_secs(10), |_card| true);
        (approvals, card, now)
    }

    use OptionKind::{AllowAlways, AllowOnce, RejectOnce};

    #[test]
    fn only_the_requester_or_an_admin_decides_and_only_once() {
        let (mut approvals, card, _) = opened(&[AllowAlways, AllowOnce, RejectOnce]);
        assert_eq!(approvals.press(card.id, 1, &person("U2")), Err(NotPressed::NotYours));
        assert_eq!(approvals.press(card.id, 9, &person("U1")), Err(NotPressed::Stale));
        let settled = approvals.press(card.id, 1, &person("UADMIN")).unwrap();
        assert_eq!(settled.decision, Decision::Selected { option: "o1".into() });
        assert_eq!(settled.card.state, ApprovalState::Decided { by: "UADMIN".into(), option: 1 });
        assert_eq!(approvals.press(card.id, 1, &person("U1")), Err(NotPressed::Stale));
        assert!(approvals.is_empty());
    }

    #[test]
    fn what_a_card_can_not_show_comes_as_a_file_to_the_byte_while_it_is_asked() {
        let (now, mut approvals) = (Clock::system().now(), Approvals::default());
        let exact = PermissionRequest { detail: Some("rm \u{202e}x\n".into()), ..request(&[AllowOnce]) };
        let (_, card) = approvals.open(exact, &"U1".into(), now, Duration::from_secs(10), |_card| false);
        let (_, short) =
            approvals.open(request(&[AllowOnce]), &"U1".into(), now, Duration::from_secs(10), |_card| true);
        assert!(card.attached && !short.attached);
        let file = approvals.attachment(card.id).unwrap();
        assert_eq!((file.name, file.bytes), (card.file_name(), "rm \u{202e}x\n".as_bytes().to_vec()));
        assert_eq!(approvals.attachment(short.id), None);
        approvals.withdraw_all();
        assert_eq!(approvals.attachment(card.id), None, "nobody has to read it any more");
    }

    #[test]
    fn silence_is_a_rejection_chosen_by_kind() {
        let (mut approvals, _, now) = opened(&[AllowAlways, RejectOnce]);
        assert_eq!(approvals.expire(now + Duration::from_secs(9)), None);
        let settled = approvals.expire(approvals.next_expiry().unwrap()).unwrap();
        assert_eq!(settled.decision, Decision::Selected { option: "o1".into() });
        let (mut no_rejection, _, _) = opened(&[AllowOnce]);
        let due = no_rejection.next_expiry().unwrap();
        assert_eq!(no_rejection.expire(due).unwrap().decision, Decision::Cancelled);
    }

    #[test]
    fn what_is_withdrawn_is_answered_as_cancelled() {
        let (mut approvals, _, _) = opened(&[AllowOnce]);
        assert_eq!(approvals.withdraw(&"other".into()), None);
        assert_eq!(approvals.withdraw_all().len(), 1);
        assert_eq!(approvals.withdraw(&"r1".into()), None);
    }
}
