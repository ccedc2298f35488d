//! The reading side of a connection, whichever protocol it speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::conn::{Conn, Protocol};
use super::read_h1::H1;
use super::read_h2::H2;
use crate::config::Limits;

/// The state of the reading side.
#[derive(Debug)]
pub(super) enum Inlet {
    H1(Box<H1>),
    H2(Box<H2>),
}

impl Inlet {
    pub fn new(protocol: Protocol, limits: Limits) -> Self {
        match protocol {
            Protocol::H1 => Self::H1(Box::new(H1::new(limits))),
            Protocol::H2 => Self::H2(Box::new(H2::new(limits))),
        }
    }
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let conn = self.get_mut();
        if conn.poll_close_frame(cx) {
            // Everything that the client still says is thrown away until the connection's task drops us.
            return Poll::Pending;
        }
        let before = out.filled().len();
        let result = match &mut conn.inlet {
            Inlet::H1(h1) => {
                let result = h1.poll(&mut conn.wire, &conn.connection, cx, out);
                if h1.take_begun() {
                    conn.outlet.expect_response();
                }
                result
            }
            Inlet::H2(h2) => h2.poll(&mut conn.wire, &conn.connection, cx, out),
        };
        if out.filled().len() > before {
            conn.connection.add_in(out.filled().len() - before);
        }
        result
    }
}
