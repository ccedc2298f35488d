//! Writes down where an event has led an order, together with everything that has to be true at the same moment: the budget
//! with the right to place, the certificate with the end of its key's stay, the domain's state with the proof for it.

use std::time::Duration;

use serde_json::json;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::Acme;
use super::authorities::Reservation;
use super::order::{Event, Next, Stage};
use super::worker::Held;
use crate::clock::Timestamp;
use crate::model::{Certificate, DomainName, DomainState};
use crate::store::{self, Aside, OrderRow, StoreError, Write};

/// What is written in the same transaction as the stage.
#[derive(Default)]
pub(super) enum With {
    #[default]
    Nothing,
    Budget(Reservation),
    /// The key that the certificate is asked for with.
    Key(Zeroizing<String>),
    /// The certificate; the keys of the challenges that are answered no more.
    Certificate(Box<Certificate>),
}

pub(super) enum Recorded {
    /// There is something to do at once.
    GoOn,
    Rests,
    /// Somebody else has the lease, or the certificate is wanted no more.
    Lost,
}

/// Nothing is worth waiting for in memory that is due later than this.
const AT_ONCE: Duration = Duration::from_millis(5);

fn is_queued(held: &Held, next: &Next) -> bool {
    next.order.stage == Stage::Waiting && held.order.stage != Stage::Waiting
}

impl Acme {
    pub(super) async fn record(&self, held: &mut Held, event: Event, with: With) -> Result<Recorded, StoreError> {
        let now = self.0.clock.now();
        let patience = self.0.config.load().acme.failover_after;
        let next = held.order.next(event.clone(), &held.row.name, held.row.failures, patience, now);
        if let With::Budget(reservation) = &with {
            return self.record_reserved(held, next, reservation).await;
        }
        let recorded = match self.is_news(&event, &next) {
            true => self.record_news(held, &event, &next, &with).await?,
            false => self.record_aside(held, &next, &with).await?,
        };
        if recorded {
            self.tell(held, &event, &next);
        }
        Ok(self.after(held, next, recorded))
    }

    /// What others want to know of, and edges have to follow.
    fn is_news(&self, event: &Event, next: &Next) -> bool {
        next.failed || matches!(event, Event::Stored { .. } | Event::Served { .. })
    }

    async fn record_aside(&self, held: &Held, next: &Next, with: &With) -> Result<bool, StoreError> {
        let mut aside = self.0.store.aside().await?;
        let row = self.row_of(&mut aside, held, next).await?;
        if !aside.save_order(&row).await? {
            return Ok(false);
        }
        if let With::Key(key) = with {
            aside.set_order_key(&row.name, row.fence, Some(key.as_bytes())).await?;
            aside.retract_challenges(&held.answers).await?;
        } else if next.order.stage.rests() {
            aside.set_order_key(&row.name, row.fence, None).await?;
        }
        aside.commit().await?;
        Ok(true)
    }

    /// Takes the budget and the right to place an order at once, or finds that there is none.
    async fn record_reserved(
        &self,
        held: &mut Held,
        next: Next,
        reservation: &Reservation,
    ) -> Result<Recorded, StoreError> {
        let mut aside = self.0.store.aside().await?;
        let row = self.row_of(&mut aside, held, &next).await?;
        // First the order's row, then the buckets: everybody locks in this order.
        if !aside.save_order(&row).await? {
            return Ok(Recorded::Lost);
        }
        match self.0.authorities.take_budget(&mut aside, reservation).await? {
            Ok(level) => {
                aside.commit().await?;
                self.0.metrics.limiter_level.with_label_values(&[&reservation.authority]).set(level.into());
                Ok(self.after(held, next, true))
            }
            Err(until) => {
                drop(aside);
                let why = format!("the limits of {} leave no room before {until}", reservation.authority);
                let event = Event::Held { until, why };
                Box::pin(self.record(held, event, With::Nothing)).await
            }
        }
    }

    async fn record_news(&self, held: &mut Held, event: &Event, next: &Next, with: &With) -> Result<bool, StoreError> {
        let mut write = self.0.store.write().await?;
        let row = self.row_of(&mut write, held, next).await?;
        if !write.save_order(&row).await? {
            return Ok(false);
        }
        write.set_order_key(&row.name, row.fence, None).await?;
        match event {
            Event::Stored { .. } => {
                if let With::Certificate(certificate) = with {
                    write.insert_certificate(certificate).await?;
                    let detail = json!({
                        "id": certificate.id, "names": certificate.names, "authority": certificate.authority,
                        "not_after": certificate.not_after, "renewal": held.order.certificate.is_some(),
                    });
                    self.event(&mut write, held, "certificate.issued", detail).await?;
                }
            }
            Event::Served { .. } => self.go_live(&mut write, held).await?,
            _ => {
                if let Stage::Installed { certificate, .. } = &held.order.stage {
                    // It cannot be shown: the one before goes on serving.
                    write.delete_certificate(certificate).await?;
                }
                let detail = json!({
                    "reason": next.order.reason, "why": next.order.failure, "failures": next.failures,
                    "next_try": next.at,
                });
                self.event(&mut write, held, "certificate.failed", detail).await?;
            }
        }
        held.revision = write.commit().await?;
        Ok(true)
    }

    /// The domain of this order is served, as a handshake has shown.
    async fn go_live(&self, write: &mut Write, held: &Held) -> Result<(), StoreError> {
        for name in &held.row.names {
            let Ok(name) = DomainName::parse(name) else { continue };
            let claims = write.claims(&name).await?;
            let verified = claims.into_iter().find(|claim| claim.state == DomainState::Verified);
            let Some(domain) = verified.filter(|claim| Some(claim.tenant) == held.row.tenant) else { continue };
            write.set_domain_state(&name, domain.tenant, DomainState::Live).await?;
            let entry = store::AuditEntry {
                actor: "system".into(),
                action: "domain.live".into(),
                tenant: Some(domain.tenant),
                subject: name.to_string(),
                detail: json!({}),
                ..store::AuditEntry::default()
            };
            let (before, after) = (json!({ "state": domain.state }), json!({ "state": DomainState::Live }));
            write.audit(&entry.changed(before, after)).await?;
            let event = store::Event {
                kind: "domain.live".into(),
                tenant: Some(domain.tenant),
                subject: name.to_string(),
                detail: json!({}),
            };
            write.event(&event).await?;
        }
        Ok(())
    }

    async fn event(
        &self,
        write: &mut Write,
        held: &Held,
        kind: &str,
        detail: serde_json::Value,
    ) -> Result<(), StoreError> {
        let subject = held.row.name.clone();
        let audit = store::AuditEntry {
            actor: "system".into(),
            action: kind.into(),
            tenant: held.row.tenant,
            subject: subject.clone(),
            detail: detail.clone(),
            ..store::AuditEntry::default()
        };
        write.audit(&audit).await?;
        write.event(&store::Event { kind: kind.into(), tenant: held.row.tenant, subject, detail }).await
    }

    /// The row as it is to be: back in the queue it takes a new turn (a renewal comes before all) and gives up the lease.
    async fn row_of(&self, aside: &mut Aside, held: &Held, next: &Next) -> Result<OrderRow, StoreError> {
        let rests = self.rests(held, next);
        let turn = match next.order.stage == Stage::Waiting && next.order.certificate.is_some() {
            true => store::BEFORE_ALL,
            false if is_queued(held, next) || next.failed => aside.next_turn(held.row.tenant).await?,
            false => held.row.turn,
        };
        let data = serde_json::to_string(&next.order).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(OrderRow {
            stage: next.order.stage.word().into(),
            data,
            turn,
            not_before: next.at,
            failures: next.failures,
            owner: (!rests).then(|| self.0.owner.clone()),
            lease: if rests { Timestamp(0) } else { self.lease() },
            ..held.row.clone()
        })
    }

    /// What is due again at once goes on here, unless others would wait for it: what goes back into the queue takes its
    /// turn.
    fn rests(&self, held: &Held, next: &Next) -> bool {
        is_queued(held, next) || next.at > self.0.clock.now() + AT_ONCE
    }

    fn after(&self, held: &mut Held, next: Next, recorded: bool) -> Recorded {
        if !recorded {
            return Recorded::Lost;
        }
        let rests = self.rests(held, &next);
        held.row.failures = next.failures;
        held.row.not_before = next.at;
        held.order = next.order;
        if held.order.stage != Stage::Waiting {
            held.in_line = None;
        }
        if rests { Recorded::Rests } else { Recorded::GoOn }
    }

    fn tell(&self, held: &Held, event: &Event, next: &Next) {
        let authority = held.order.stage.authority().unwrap_or("none");
        let count = |result| self.0.metrics.orders.with_label_values(&[authority, result]).inc();
        match event {
            Event::Stored { .. } => {
                count("issued");
                info!(order.name = held.row.name, authority, "acme.issued");
            }
            _ if next.failed => {
                count("failed");
                let reason = next.order.reason.as_deref().unwrap_or("internal");
                self.0.metrics.order_failures.with_label_values(&[reason]).inc();
                warn!(
                    order.name = held.row.name,
                    authority,
                    reason,
                    why = next.order.failure,
                    next_try = %next.at,
                    "acme.failed"
                );
            }
            Event::Refused(error) | Event::Elsewhere(error) => {
                count(error.word());
                warn!(order.name = held.row.name, authority, %error, next_try = %next.at, "acme.held");
            }
            _ => {}
        }
    }
}
