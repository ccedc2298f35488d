//! What the service manager is told (sd_notify(3)), where there is one: that the process serves, reloads, ends, or has
//! been replaced, and, for as long as it is really well, that it lives. Nothing here decides anything, and a manager that
//! does not listen stops nothing.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

/// The process serves.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is being read again; [`ready`] says that this is over, however it went.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading the configuration")]),
        Err(error) => debug!(%error, "manager.no_monotonic_time"),
    }
}

/// The process ends, and takes no new work.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// Another process has taken over: the manager follows that one from now on.
pub(super) fn replaced_by(pid: u32) {
    tell(&[NotifyState::MainPid(pid), NotifyState::Ready, NotifyState::Status("serving; the former process drains")]);
}

/// Says that the process lives, twice as often as the manager asks for it, while it does: tasks are run, and the change
/// feed's follower turns (`turns` counts its rounds; it turns whether or not the store answers). Never
/// returns.
pub(super) async fn keep_watchdog(turns: watch::Receiver<u64>) {
    if let Some(patience) = watchdog_enabled().filter(|patience| !patience.is_zero()) {
        beat(patience, turns, || tell(&[NotifyState::Watchdog])).await;
    }
    std::future::pending().await
}

/// Returns when it can never be well again.
async fn beat(patience: Duration, mut turns: watch::Receiver<u64>, lives: impl Fn()) {
    let mut tick = interval(patience / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turned = Instant::now();
    loop {
        tick.tick().await;
        match turns.has_changed() {
            Ok(true) => {
                turns.borrow_and_update();
                turned = Instant::now();
            }
            Ok(false) => {}
            Err(_) => {
                warn!("manager.not_well: the change feed is not followed any more");
                return;
            }
        }
        if turned.elapsed() > patience.max(FEED_PATIENCE) {
            warn!(since_s = turned.elapsed().as_secs(), "manager.not_well: the change feed does not turn");
        } else if timeout(patience / 2, tokio::spawn(async {})).await.is_ok() {
            lives();
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        debug!(%error, "manager.not_told");
    }
}

/// The longest round of the feed's follower: a wait for news, or a store that does not answer until its time is up.
const FEED_PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn whoever_is_not_well_is_silent() {
        let patience = Duration::from_secs(10);
        let (feed, turns) = watch::channel(0_u64);
        let said = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&said);
        let beating = tokio::spawn(async move {
            let lives = || {
                count.fetch_add(1, Ordering::SeqCst);
            };
            beat(patience, turns, lives).await;
        });
        let within = async |seconds: u64| {
            let before = said.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            said.load(Ordering::SeqCst) - before
        };
        for _ in 0..20 {
            feed.send_modify(|turn| *turn += 1);
            assert!(within(10).await >= 2, "twice as often as it is asked for");
        }
        // The longest round that there is, and then silence.
        assert!(within(FEED_PATIENCE.as_secs()).await > 0);
        within(patience.as_secs()).await;
        assert_eq!(within(120).await, 0);
        feed.send_modify(|turn| *turn += 1);
        assert!(within(10).await > 0, "it turns again");
        drop(feed);
        tokio::time::timeout(patience, beating).await.expect("nobody follows any more").unwrap();
        assert_eq!(within(120).await, 0);
    }
}
