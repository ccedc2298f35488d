//! What a miss must pass before it may ask the store: a bounded number at once, and a bounded number of *wrong guesses*
//! per client. Clients who ask for names that exist are never charged.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::clients::{Allowance, Network};
use crate::clock::Clock;

#[derive(Clone, Debug)]
pub struct GateSettings {
    /// Look-ups under way at once.
    pub concurrent: usize,
    /// How long one may wait for its turn.
    pub wait: Duration,
    /// Wrong guesses a second that one client may make, and how many at once.
    pub rate: u32,
    pub burst: u32,
}

/// Shared by every cache whose keys strangers choose: hosts and certificate names.
pub struct Gate {
    turns: Arc<Semaphore>,
    wait: Duration,
    guesses: Allowance,
}

/// Too many others ask, or this client has guessed too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

/// The right to make one look-up.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    client: Network,
}

impl Gate {
    pub fn new(settings: &GateSettings, clock: Clock) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(settings.concurrent.max(1))),
            wait: settings.wait,
            guesses: Allowance::new(settings.rate, settings.burst, clock),
        }
    }

    /// Waits for a turn. The queue is first come, first served, so a real name waits behind a flood only as long as
    /// the store needs for what stands before it.
    pub async fn enter(&self, client: IpAddr) -> Result<Turn, Busy> {
        let client = Network::of(client);
        if !self.guesses.has_any(client) {
            return Err(Busy);
        }
        match tokio::time::timeout(self.wait, Arc::clone(&self.turns).acquire_owned()).await {
            // Those who stood before it in the queue may have been the same client, guessing.
            Ok(Ok(permit)) if self.guesses.has_any(client) => Ok(Turn { _permit: permit, client }),
            _ => Err(Busy),
        }
    }

    /// The look-up of this turn found nothing: its client pays for it.
    pub fn charge(&self, turn: &Turn) {
        self.guesses.charge(turn.client);
    }
}
