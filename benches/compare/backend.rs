//! The backend of all: the cheapest HTTP/1.1 there is, because it shares a core with the load. It answers what was prepared:
//! 131 bytes to a GET, 64 KiB to a POST whose body it has read, and WebSocket messages with themselves.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A body both ways.
pub const LARGE: usize = 64 * 1024;
const SMALL: usize = 131;

pub async fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            // Out of descriptors, say: others end meanwhile.
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(async move { drop(serve(stream).await) });
        }
    });
    address
}

fn prepared(size: usize) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\nServer: backend\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; size]].concat()
}

/// Until the other side has had enough.
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (small, large) = (prepared(SMALL), prepared(LARGE));
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let head = loop {
            if let Some(end) = find_end(&buffer) {
                break end;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        if let Some(key) = header(&buffer[..head], "sec-websocket-key") {
            let accept = derive_accept_key(key.as_bytes());
            buffer.drain(..head);
            return echo(stream, buffer, &accept).await;
        }
        let length = header(&buffer[..head], "content-length").map_or(0, |length| length.parse().unwrap_or(0));
        if length == 0 && header(&buffer[..head], "transfer-encoding").is_some() {
            return Err(io::Error::other("whoever has a length is to pass it on"));
        }
        let here = (buffer.len() - head).min(length);
        buffer.drain(..head + here);
        skip(&mut stream, length - here).await?;
        stream.write_all(if length == 0 { &small } else { &large }).await?;
    }
}

async fn skip(stream: &mut TcpStream, mut left: usize) -> io::Result<()> {
    let mut sink = [0; 16 * 1024];
    while left > 0 {
        let most = left.min(sink.len());
        match stream.read(&mut sink[..most]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left -= read,
        }
    }
    Ok(())
}

/// WebSocket messages of one short frame each (RFC 6455 §5.2), sent back unmasked.
async fn echo(mut stream: TcpStream, mut buffer: Vec<u8>, accept: &str) -> io::Result<()> {
    const HEAD: usize = 6;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut out = Vec::with_capacity(128);
    loop {
        fill(&mut stream, &mut buffer, HEAD).await?;
        let length = usize::from(buffer[1] & 0x7f);
        if length > 125 || buffer[1] & 0x80 == 0 {
            return Err(io::Error::other("a long frame, or one without a mask"));
        }
        fill(&mut stream, &mut buffer, HEAD + length).await?;
        out.clear();
        out.extend([buffer[0], buffer[1] & 0x7f]);
        let mask = [buffer[2], buffer[3], buffer[4], buffer[5]];
        out.extend(buffer[HEAD..HEAD + length].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        buffer.drain(..HEAD + length);
        stream.write_all(&out).await?;
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>, upto: usize) -> io::Result<()> {
    while buffer.len() < upto {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Where the head ends.
pub fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of a header in a raw head.
pub fn header<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    let text = std::str::from_utf8(head).ok()?;
    text.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
