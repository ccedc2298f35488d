//! The composition root: only here do the parts meet. It opens the store, builds what the configuration asks for, binds
//! the sockets, and hands each part the others that it needs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::admin::{self, AdminState};
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::{Allowance, Applied, Directory, DirectorySettings, Follower, Gate, Source, Subscriber};
use crate::edge::listener::{self, Listeners};
use crate::edge::{Assertions, Edge, Live, PoolError, Pools, Proxy, Registry, server};
use crate::jobs::{self, JobError};
use crate::metrics::Metrics;
use crate::model::Change;
use crate::seal::{Keyring, SealError, Sealer};
use crate::store::{Store, StoreError};
use crate::tenancy::{self, Tenancy, hash_token};
use crate::tls::{CertificateCache, CertificateCacheSettings, ServerConfigs, TlsError};
