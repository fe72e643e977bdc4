use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

fn link() -> (Link, Instant) {
    let now = Clock::system().now();
    (Link::new(now, 1), now)
}

/// A link with a greeted connection.
fn live() -> (Link, Instant) {
    let (mut link, now) = link();
    assert_eq!(link.on(Input::Timer, now), [Action::Dial(1)]);
    assert!(link.on(Input::Greeted(1), now).is_empty());
    assert_eq!(link.state(), LinkState::Live);
    (link, now)
}

const S: Duration = Duration::from_secs(1);

// holds: T-4
#[test]
fn a_quiet_connection_is_pinged_and_kept() {
    let (mut link, mut now) = live();
    for _ in 0..100 {
        now = link.next_timer().unwrap();
        assert_eq!(link.on(Input::Timer, now), [Action::Ping(1)]);
        assert!(link.on(Input::Heard(1, now), now).is_empty());
    }
    assert_eq!(link.state(), LinkState::Live);
    assert!(now > link.current.as_ref().unwrap().since + 400 * S);
}

// holds: T-4
#[test]
fn a_silent_connection_is_replaced_beside_itself() {
    let (mut link, start) = live();
    assert_eq!(link.on(Input::Timer, start + 5 * S), [Action::Ping(1)]);
    assert_eq!(link.on(Input::Timer, start + 10 * S), [Action::Ping(1), Action::Dial(2)]);
    assert_eq!(link.state(), LinkState::Live);
    assert_eq!(link.on(Input::Greeted(2), start + 11 * S), [Action::Close(1)]);
    assert_eq!(link.state(), LinkState::Live);
}

// holds: T-5
#[test]
fn a_refresh_opens_the_replacement_before_the_old_one_goes() {
    for reason in [Reason::Warning, Reason::Refresh, Reason::Unknown] {
        let (mut link, start) = live();
        let now = start + 60 * S;
        link.on(Input::Heard(1, now), now);
        assert!(link.on(Input::Disconnect(1, reason), now).is_empty());
        assert!(link.on(Input::Timer, now).contains(&Action::Dial(2)));
        assert!(link.on(Input::Greeted(2), now + S).is_empty(), "the old one is still read");
        link.on(Input::Heard(2, now + S + OVERLAP), now + S + OVERLAP);
        assert!(link.on(Input::Timer, now + S + OVERLAP).contains(&Action::Close(1)));
    }
}

// holds: T-5
#[test]
fn a_link_that_is_switched_off_says_what_to_do_and_looks_again() {
    let (mut link, now) = live();
    assert_eq!(link.on(Input::Disconnect(1, Reason::Disabled), now), [Action::Close(1)]);
    let LinkState::Halted { reason } = link.state() else { panic!("{:?}", link.state()) };
    assert!(reason.contains("switch it on"), "{reason}");
    assert_eq!(link.next_timer(), Some(now + PROBE_EVERY));
    assert_eq!(link.on(Input::Timer, now + PROBE_EVERY), [Action::Dial(2)]);
    link.on(Input::Greeted(2), now + PROBE_EVERY);
    assert_eq!(link.state(), LinkState::Live);
}

// holds: T-6
#[test]
fn the_first_attempt_comes_at_once_and_the_next_ones_later_and_later() {
    let (mut link, start) = live();
    let mut now = start + 31 * S;
    link.on(Input::Lost(1, Loss::Transient), now);
    assert_eq!(link.next_timer(), Some(now));
    let mut last = Duration::ZERO;
    for conn in 2..12 {
        assert_eq!(link.on(Input::Timer, now), [Action::Dial(conn)]);
        link.on(Input::Lost(conn, Loss::Transient), now);
        let due = link.next_timer().unwrap();
        last = due - now;
        assert!(last <= 60 * S && last >= S / 2);
        now = due;
    }
    assert!(last >= 30 * S, "{last:?}");
}

// holds: T-6
#[test]
fn a_connection_that_does_not_live_earns_no_fresh_start() {
    let (mut link, mut now) = link();
    let mut attempts = 0;
    let end = now + 60 * S;
    while now < end {
        attempts += 1;
        let conn = attempts;
        assert_eq!(link.on(Input::Timer, now), [Action::Dial(conn)]);
        link.on(Input::Greeted(conn), now);
        link.on(Input::Lost(conn, Loss::Transient), now);
        now = link.next_timer().unwrap();
    }
    assert!(attempts < 14, "{attempts} attempts in a minute");
}

// holds: T-6
#[test]
fn a_link_that_is_cut_again_and_again_is_never_deaf() {
    let (mut link, mut now) = link();
    for conn in 1..30 {
        assert_eq!(link.next_timer(), Some(now), "at once after a cut");
        assert_eq!(link.on(Input::Timer, now), [Action::Dial(conn)]);
        link.on(Input::Greeted(conn), now);
        now += 8 * S;
        link.on(Input::Lost(conn, Loss::Transient), now);
    }
}

// holds: T-4
#[test]
fn a_server_that_never_answers_is_not_asked_for_ever_more_connections() {
    let (mut link, start) = link();
    let (mut now, mut dialed) = (start, 0);
    while now < start + 300 * S {
        for action in link.on(Input::Timer, now) {
            if let Action::Dial(conn) = action {
                dialed += 1;
                link.on(Input::Greeted(conn), now);
            }
        }
        now = link.next_timer().unwrap().max(now);
    }
    assert!((5..15).contains(&dialed), "{dialed} connections in five minutes");
}

// holds: T-5
#[test]
fn refreshes_are_no_failures() {
    let (mut link, mut now) = live();
    for conn in 1..20 {
        now += 20 * S;
        link.on(Input::Heard(conn, now), now);
        link.on(Input::Disconnect(conn, Reason::Refresh), now);
        assert!(link.on(Input::Timer, now).contains(&Action::Dial(conn + 1)), "at once");
        link.on(Input::Greeted(conn + 1), now);
    }
}

#[test]
fn a_connection_that_is_given_up_leaves_its_replacement_alone() {
    let (mut link, start) = live();
    link.on(Input::Timer, start + SUSPECT_AFTER);
    let retried = start + SUSPECT_AFTER + GREETED_WITHIN;
    assert_eq!(link.on(Input::Timer, retried), [Action::Ping(1), Action::Close(2)]);
    let due = link.next_timer().unwrap();
    assert_eq!(link.on(Input::Timer, due), [Action::Dial(3)]);
    assert_eq!(link.on(Input::Timer, start + DEAD_AFTER), [Action::Close(1)]);
    assert!(link.on(Input::Greeted(3), start + DEAD_AFTER).is_empty());
    assert_eq!(link.state(), LinkState::Live);
}

#[test]
fn late_news_of_a_connection_that_is_gone_changes_nothing() {
    for reason in [Reason::Warning, Reason::Refresh, Reason::TooMany, Reason::Disabled, Reason::Unknown] {
        let (mut link, now) = live();
        link.on(Input::Lost(1, Loss::Transient), now);
        link.on(Input::Timer, now);
        link.on(Input::Greeted(2), now);
        let due = link.next_timer();
        for input in [
            Input::Disconnect(1, reason),
            Input::Lost(1, Loss::Auth("x".into())),
            Input::Greeted(1),
            Input::Heard(1, now + S),
            Input::Disconnect(7, reason),
        ] {
            assert!(link.on(input.clone(), now).is_empty(), "{input:?}");
        }
        assert_eq!((link.state(), link.next_timer()), (LinkState::Live, due));
    }
}

#[test]
fn slacks_own_words_about_waiting_and_refusing_count() {
    let (mut link, now) = link();
    link.on(Input::Timer, now);
    link.on(Input::Lost(1, Loss::Rate(90 * S)), now);
    assert!(link.next_timer().unwrap() >= now + 90 * S);
    link.on(Input::Timer, now + 120 * S);
    link.on(Input::Lost(2, Loss::Auth("invalid_auth".into())), now + 120 * S);
    assert_eq!(link.refused(), Some("invalid_auth"));
    assert!(matches!(link.state(), LinkState::Halted { .. }));
}

#[test]
fn too_many_connections_close_ours_first_and_wait() {
    let (mut link, now) = live();
    assert_eq!(link.on(Input::Disconnect(1, Reason::TooMany), now), [Action::Close(1)]);
    assert!(link.next_timer().unwrap() >= now + 10 * S);
}

#[test]
fn a_greeting_that_does_not_come_and_a_farewell_before_it() {
    let (mut link, now) = link();
    link.on(Input::Timer, now);
    assert_eq!(link.on(Input::Timer, now + GREETED_WITHIN), [Action::Close(1)]);
    let due = link.next_timer().unwrap();
    assert_eq!(link.on(Input::Timer, due), [Action::Dial(2)]);
    assert_eq!(link.on(Input::Disconnect(2, Reason::Warning), due), [Action::Close(2)]);
    assert!(link.next_timer().is_some());
}

#[test]
fn after_the_end_nothing_happens() {
    let (mut link, now) = live();
    assert_eq!(link.on(Input::Finish, now), [Action::Close(1)]);
    assert_eq!(link.next_timer(), None);
    assert!(link.on(Input::Lost(1, Loss::Transient), now).is_empty());
    assert!(link.on(Input::Finish, now).is_empty());
}

/// What a server may do to a link, in any order.
#[derive(Debug, Clone)]
enum Chaos {
    Wait(u64),
    Greet,
    Heard(Which),
    Disconnect(Which, u8),
    Lose(Which),
    Refuse,
    Rate,
}

/// Which connection it does it to: one of the open ones, or one that is gone or never was.
#[derive(Debug, Clone, Copy)]
enum Which {
    Newest,
    Oldest,
    Unknown,
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![4 => Just(Which::Newest), 2 => Just(Which::Oldest), 1 => Just(Which::Unknown)]
}

fn chaos() -> impl Strategy<Value = Chaos> {
    prop_oneof![
        (0u64..70_000).prop_map(Chaos::Wait),
        Just(Chaos::Greet),
        which().prop_map(Chaos::Heard),
        (which(), 0u8..5).prop_map(|(which, reason)| Chaos::Disconnect(which, reason)),
        which().prop_map(Chaos::Lose),
        Just(Chaos::Refuse),
        Just(Chaos::Rate),
    ]
}

/// The world as the link's actions make it.
#[derive(Default)]
struct World {
    /// Open connections and whether they were greeted, with the time of their greeting.
    open: BTreeMap<Conn, Option<Instant>>,
    overlap: Option<Instant>,
}

impl World {
    fn carry_out(&mut self, actions: Vec<Action>, now: Instant) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                Action::Dial(conn) => {
                    prop_assert!(self.open.insert(conn, None).is_none());
                }
                Action::Ping(conn) => prop_assert!(self.open.contains_key(&conn)),
                Action::Close(conn) => prop_assert!(self.open.remove(&conn).is_some()),
            }
        }
        prop_assert!(self.open.len() <= 2, "{:?}", self.open);
        let greeted = self.open.values().flatten().count();
        if greeted < 2 {
            self.overlap = None;
        }
        if let Some(since) = self.overlap {
            prop_assert!(now <= since + OVERLAP, "two live ones for too long");
        }
        Ok(())
    }

    fn greet(&mut self, link: &mut Link, now: Instant) -> Result<(), TestCaseError> {
        let Some(conn) = self.dialing() else { return Ok(()) };
        self.open.insert(conn, Some(now));
        if self.open.values().flatten().count() == 2 {
            self.overlap = Some(now);
        }
        self.carry_out(link.on(Input::Greeted(conn), now), now)
    }

    fn pick(&self, which: Which) -> Conn {
        let open = match which {
            Which::Newest => self.open.keys().next_back(),
            Which::Oldest => self.open.keys().next(),
            Which::Unknown => None,
        };
        open.copied().unwrap_or(Conn::MAX)
    }

    /// The attempt that is under way, if one is.
    fn dialing(&self) -> Option<Conn> {
        self.open.iter().find(|(_, greeted)| greeted.is_none()).map(|(conn, _)| *conn)
    }
}

/// Fires every timer up to `until`.
fn pass(link: &mut Link, world: &mut World, now: &mut Instant, until: Instant) -> Result<(), TestCaseError> {
    while let Some(due) = link.next_timer().filter(|due| *due <= until) {
        *now = due.max(*now);
        let actions = link.on(Input::Timer, *now);
        world.carry_out(actions, *now)?;
    }
    *now = until.max(*now);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_the_link_ends_connected_when_the_server_is_well(
        script in proptest::collection::vec(chaos(), 0..80),
        seed: u64,
    ) {
        let mut now = Clock::system().now();
        let (mut link, mut world) = (Link::new(now, seed), World::default());
        for step in script {
            let input = match step {
                Chaos::Wait(ms) => {
                    let until = now + Duration::from_millis(ms);
                    pass(&mut link, &mut world, &mut now, until)?;
                    continue;
                }
                Chaos::Greet => {
                    world.greet(&mut link, now)?;
                    continue;
                }
                Chaos::Heard(which) => Input::Heard(world.pick(which), now),
                Chaos::Disconnect(which, reason) => {
                    let reasons = [Reason::Warning, Reason::Refresh, Reason::TooMany, Reason::Disabled, Reason::Unknown];
                    Input::Disconnect(world.pick(which), reasons[usize::from(reason)])
                }
                Chaos::Lose(which) => Input::Lost(world.pick(which), Loss::Transient),
                Chaos::Refuse => Input::Lost(world.dialing().unwrap_or(Conn::MAX), Loss::Auth("x".into())),
                Chaos::Rate => Input::Lost(world.dialing().unwrap_or(Conn::MAX), Loss::Rate(S)),
            };
            if let Input::Lost(conn, _) = &input {
                world.open.remove(conn);
            }
            let actions = link.on(input, now);
            world.carry_out(actions, now)?;
            prop_assert!(link.next_timer().is_some(), "never without a next look");
        }
        // The server is well from now on: it greets, and it answers pings.
        let end = now + PROBE_EVERY * 2;
        while now < end {
            let until = now + S;
            pass(&mut link, &mut world, &mut now, until)?;
            world.greet(&mut link, now)?;
            for conn in world.open.keys().copied().collect::<Vec<_>>() {
                link.on(Input::Heard(conn, now), now);
            }
        }
        prop_assert_eq!(link.state(), LinkState::Live);
        prop_assert_eq!(world.open.len(), 1);
    }
}
