//! What stands between the link and its server, and can be pulled out.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Passes bytes on to one server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(TcpListener::from_std(listener).unwrap(), server, connections.clone()));
        Self { address, connections, _accepting: accepting }
    }

    /// Breaks off every connection. Returns how many there were.
    pub(crate) fn cut(&self) -> usize {
        let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        while all.try_join_next().is_some() {}
        let count = all.len();
        all.abort_all();
        count
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, connections: Arc<Mutex<JoinSet<()>>>) {
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        connections.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            let Ok(mut far) = TcpStream::connect(server).await else { return };
            // A reset, not a farewell.
            near.set_zero_linger().unwrap();
            let _broken_off = copy_bidirectional(&mut near, &mut far).await;
        });
    }
}
