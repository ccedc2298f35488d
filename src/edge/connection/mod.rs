//! One client connection: what the edge knows of it ([`Connection`]) and the `IO` that pingora reads and writes
//! ([`Conn`]), which carries the deadlines, judges HTTP/1 heads before pingora sees them, and can be closed from
//! anywhere. No request is answered here, and no tenant is looked up.

mod alarm;
mod chunked;
mod conn;
mod context;
mod gate;
mod h2_frames;
mod head;
mod linger;
mod outlet;
mod read;
mod read_h1;
mod read_h2;
mod traits;
mod websocket;
mod wire;
mod write;

pub use conn::{Conn, Protocol};
pub use context::{Connection, Facts, Visitor};
pub use head::HeadFault;
pub use websocket::CloseReason;
pub use wire::Wire;
