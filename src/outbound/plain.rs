//! One GET over plain HTTP, on a connection that the guard has made. No redirect is followed.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks `host` for `path` on this connection, and reads at most `most` bytes of the answer. An error is a sentence. The
/// caller sets the deadline.
pub async fn get(tcp: TcpStream, host: &str, path: &str, most: usize) -> Result<(StatusCode, Bytes), String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|error| error.to_string())?;
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let talk = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    // The connection has to be driven while it is talked over; it ends with the answer.
    tokio::pin!(talk);
    tokio::select! {
        answer = &mut talk => answer,
        broken = connection => match broken {
            Ok(()) => talk.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
