//! The end of a connection whose client is still sending: what it sends is thrown away for a moment, because closing a
//! socket with unread bytes resets the connection, and a reset overtakes our last answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Conn, Wire};

/// How long a client may take to let us end a connection in good order.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// How much it may send meanwhile.
const LINGER_BYTES: usize = 64 * 1024;

/// Throws away what comes until the client ends its side, or one of the limits is reached.
pub(super) async fn linger(wire: &mut Wire) {
    let drain = async {
        let (mut scratch, mut left) = ([0; 4096], LINGER_BYTES);
        while left > 0 {
            match wire.read(&mut scratch).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    // Too late is the same as done.
    let _ = timeout(LINGER, drain).await;
}

impl Drop for Conn {
    /// pingora drops a connection without a word after some errors, an answer to which may be on its way.
    fn drop(&mut self) {
        if !self.connection.lingers() || self.outlet.ended || self.connection.closing().is_some() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let mut wire = std::mem::replace(&mut self.wire, Wire::Closed);
        runtime.spawn(async move {
            if matches!(timeout(LINGER, wire.shutdown()).await, Ok(Ok(()))) {
                linger(&mut wire).await;
            }
        });
    }
}
