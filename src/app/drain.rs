//! The end of a process that serves: what is under way ends in good order, everything else at a deadline. The change feed
//! is followed to the last, so that nothing is served meanwhile which is no longer true.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use super::{Running, control, manager};

impl Running {
    /// Stops accepting, lets what is under way end for as long as `grace`, then ends the rest.
    pub async fn stop(self, grace: Duration) {
        self.upgrader.abandon().await;
        self.end(Duration::ZERO, grace).await;
    }

    /// The same as the configuration says: for as long as `process.notice` it goes on while `/readyz` says that it will
    /// not, and `process.drain_deadline` is the grace. The private listener answers to the last.
    pub async fn drain(self) {
        let process = self.tenancy.config().process.clone();
        // Before the manager hears of the end: a successor that came now would be told of after it.
        self.upgrader.abandon().await;
        manager::stopping();
        self.end(process.notice, process.drain_deadline).await;
    }

    /// Another process serves at the same sockets: gives up what only one can have, and ends as [`Self::drain`] does,
    /// without notice and without a word to the service manager, which follows the other one by now.
    pub async fn hand_over(mut self) {
        let grace = self.tenancy.config().process.drain_deadline;
        // `/readyz` stays as it is: who asks is told how the service is, and that goes on.
        let _ = self.shutdown_admin.send(true);
        self.upgrader.release();
        let _ = self.shutdown.send(true);
        self.rest().await;
        self.finish(grace).await;
    }

    async fn end(mut self, notice: Duration, grace: Duration) {
        self.health.draining.store(true, Ordering::Release);
        info!(notice_s = notice.as_secs_f64(), grace_s = grace.as_secs_f64(), "process.draining");
        self.upgrader.release();
        tokio::time::sleep(notice).await;
        let _ = self.shutdown.send(true);
        self.rest().await;
        self.finish(grace).await;
    }

    /// Ends what works by itself, so that other nodes take it up at once.
    async fn rest(&mut self) {
        self.working.shutdown().await;
        control::farewell(&self.store, &self.node).await;
    }

    async fn finish(mut self, grace: Duration) {
        if let Some(listeners) = &self.listeners {
            listeners.drain(grace).await;
        }
        let _ = self.shutdown_admin.send(true);
        let ended = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_CALLS, ended).await.is_err() {
            warn!("process.drain_deadline: ending what is left");
        }
        if let Some(tracer) = &self.tracer {
            tracer.flush(LAST_SPANS).await;
        }
        self.helping.shutdown().await;
        self.store.close().await;
        info!("process.drained");
    }
}

/// For calls to the admin API that are under way when everything else has ended.
const LAST_CALLS: Duration = Duration::from_secs(10);
/// For the spans of what has just ended.
const LAST_SPANS: Duration = Duration::from_secs(5);
