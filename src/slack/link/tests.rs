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
    Heard,
    Greet,
    Disconnect(u8),
    Lose,
    Refuse,
    Rate,
}

fn chaos() -> impl Strategy<Value = Chaos> {
    prop_oneof![
        (0u64..70_000).prop_map(Chaos::Wait),
        Just(Chaos::Heard),
        Just(Chaos::Greet),
        (0u8..5).prop_map(Chaos::Disconnect),
        Just(Chaos::Lose),
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
        let waiting = self.open.iter().find(|(_, greeted)| greeted.is_none()).map(|(conn, _)| *conn);
        let Some(conn) = waiting else { return Ok(()) };
        self.open.insert(conn, Some(now));
        if self.open.values().flatten().count() == 2 {
            self.overlap = Some(now);
        }
        self.carry_out(link.on(Input::Greeted(conn), now), now)
    }

    fn newest(&self) -> Option<Conn> {
        self.open.keys().next_back().copied()
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
            let newest = world.newest();
            let input = match (step, newest) {
                (Chaos::Wait(ms), _) => {
                    let until = now + Duration::from_millis(ms);
                    pass(&mut link, &mut world, &mut now, until)?;
                    continue;
                }
                (Chaos::Greet, _) => {
                    world.greet(&mut link, now)?;
                    continue;
                }
                (_, None) => continue,
                (Chaos::Heard, Some(conn)) => Input::Heard(conn, now),
                (Chaos::Disconnect(which), Some(conn)) => {
                    let reasons = [Reason::Warning, Reason::Refresh, Reason::TooMany, Reason::Disabled, Reason::Unknown];
                    Input::Disconnect(conn, reasons[usize::from(which)])
                }
                (lost, Some(conn)) => {
                    world.open.remove(&conn);
                    let loss = match lost {
                        Chaos::Refuse => Loss::Auth("x".into()),
                        Chaos::Rate => Loss::Rate(S),
                        _ => Loss::Transient,
                    };
                    Input::Lost(conn, loss)
                }
            };
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
