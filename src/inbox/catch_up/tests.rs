use super::*;
use crate::domain::conversation::ConversationKey;
use crate::domain::ids::{ChannelId, OfferId, Ts};
use crate::domain::outgoing::Owed;
use crate::domain::ports::{Answered, Away, Intake, Joined, Keep, ReadPage, Reading, Said, Settled, WriteError};

/// A workspace without channels, in which the first look at them crashes.
#[derive(Default)]
struct Treacherous(watch::Sender<u32>);

#[async_trait]
impl ReadBack for Treacherous {
    fn now_us(&self) -> i64 {
        7
    }

    async fn channels(&self, _cursor: Option<&str>) -> Result<ReadPage<Joined>, WriteError> {
        self.0.send_modify(|looks| *looks += 1);
        assert!(*self.0.borrow() > 1, "boom");
        Ok(ReadPage { items: Vec::new(), next: None, cut: false })
    }

    async fn said_since(
        &self,
        _channel: &Joined,
        _thread: Option<&Ts>,
        _since: &Ts,
        _cursor: Option<&str>,
    ) -> Result<ReadPage<Reading>, WriteError> {
        unreachable!("there is no channel")
    }
}

/// Nothing is ever said.
struct Nobody;

impl Intake for Nobody {
    fn claim(&self, _inbound: &Inbound) -> Claim {
        unreachable!()
    }

    fn settle(&self, _inbound: Inbound, _keep: Keep, _outcome: Settled) {
        unreachable!()
    }
}

#[async_trait]
impl SlackRead for Nobody {
    async fn thread(&self, _: &ConversationKey, _: &Ts, _: usize) -> Result<Vec<Said>, WriteError> {
        unreachable!()
    }

    async fn answered(&self, _: &ConversationKey, _: &Ts) -> Result<Answered, WriteError> {
        unreachable!()
    }

    async fn is_closed(&self, _: &ChannelId) -> Result<bool, WriteError> {
        unreachable!()
    }
}

impl Belated for Nobody {
    fn is_addressed(&self, _inbound: &Inbound) -> bool {
        unreachable!()
    }

    fn consider(&self, _inbound: &Inbound) -> Claim {
        unreachable!()
    }

    fn note(&self, _place: &ConversationKey, _offer: OfferId, _away: Away) -> Vec<Owed> {
        unreachable!()
    }

    fn noted(&self, _note: Vec<Owed>) {
        unreachable!()
    }
}

#[tokio::test]
async fn f_66_a_reading_back_that_crashes_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.note_heard(3).await.unwrap();
    store.probe().await.unwrap();
    let (clock, hand) = Clock::manual(0);
    let workspace = Arc::new(Treacherous::default());
    let catch_up = CatchUp::begin(Parts {
        inbox: Inbox::new(store.clone(), Arc::new(Nobody), clock.clone(), 1),
        store: store.clone(),
        read: workspace.clone(),
        answers: Arc::new(Nobody),
        belated: Arc::new(Nobody),
        clock,
        queue_limit: 1,
    })
    .await
    .unwrap();
    catch_up.set_live(true);
    let stop = CancellationToken::new();
    let runs = catch_up.clone().run(stop.clone());
    let watched = async {
        let (mut looks, mut state) = (workspace.0.subscribe(), catch_up.0.state.subscribe());
        looks.wait_for(|looks| *looks == 1).await.unwrap();
        while *looks.borrow() < 2 {
            assert!(catch_up.is_catching_up(), "what is missing is not read back");
            hand.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        state.wait_for(|state| *state == State::Whole).await.unwrap();
        stop.cancel();
    };
    tokio::join!(runs, watched);
    assert_eq!(store.heard().await.unwrap(), Some(7));
}
