//! The edge's view of who lives where: bounded caches over the system of record, exact about invalidation. It never
//! writes, and a request that finds its host here waits for nothing.

mod assets;
mod cache;
mod clients;
mod ended;
mod epoch;
mod follower;
mod gate;
mod listings;
mod recent;
mod resolve;
mod sitemap;
mod source;
mod view;

pub use assets::Picture;
pub use cache::{Cache, CacheStats, Cached, LoadFailed, Loader};
pub use clients::{Allowance, Network};
pub use ended::EndedSessions;
pub use follower::{Applied, Follower, Subscriber};
pub use gate::{Busy, Gate, GateSettings, Turn};
pub use resolve::{Directory, DirectorySettings, Resolution, Trouble, Via};
pub use source::{Lookup, Source};
pub use view::View;
