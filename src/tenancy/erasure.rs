//! The end of a membership: what was removed is forgotten after a time, and what is to be purged is erased with what is
//! personal in it, unless that is called off. And before that, all that a tenant keeps of a member, to take along.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::error::{Fault, Kind, TenancyError};
use super::members::{RESTORABLE, entry, keep_an_owner, not_active, put};
use super::{Actor, Done, Expect, Tenancy, shown};
use crate::model::{MemberState, Person, PersonId, TenantId};
use crate::store::{AuditFilter, AuditLine, AuditOrder, MemberRow, Page, StoreError, Write};

/// How long an erasure can be called off.
pub const CANCELLABLE: Duration = Duration::from_secs(30 * 86_400);
/// How long an invitation that has expired is still shown.
const INVITATIONS_SHOWN: Duration = Duration::from_secs(30 * 86_400);

const LEASE: &str = "members";
const LEASED: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_secs(10);
const BATCH: u32 = 100;
/// The most lines of the ledger that one export has.
const MOST_LINES: usize = 10_000;

/// All that a tenant keeps of one of its members.
#[derive(Clone, Debug)]
pub struct MemberExport {
    pub member: MemberRow,
    /// The ledger's lines of what they did and of what was done to them, the oldest first.
    pub lines: Vec<AuditLine>,
    /// There are more lines than an export has.
    pub truncated: bool,
}

impl Tenancy {
    /// Ends a membership, if it has not ended yet, and has it erased in 30 days. The address is typed back.
    pub async fn purge_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
        email: &str,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let (mut write, _, mut row) = self.open_member(actor, tenant, who, expect).await?;
        if row.state == MemberState::Purging {
            return Err(not_active(&row));
        }
        if email.trim().to_lowercase() != row.email.as_str() {
            let detail = "to have this member erased for ever, type their e-mail address";
            return Err(TenancyError::Invalid(vec![Fault::new("/email", "email-mismatch", detail)]));
        }
        keep_an_owner(&mut write, &row).await?;
        let before = shown::member(&row);
        let now = write.now();
        (row.state, row.ended, row.due) = (MemberState::Purging, row.ended.or(Some(now)), Some(now + CANCELLABLE));
        let row = self.end(&mut write, row).await?;
        let entry = entry(actor, "member.purge", &row, json!({ "erased_at": row.due }));
        let entry = entry.changed(before, shown::member(&row));
        self.finish(write, entry, row).await
    }

    /// Calls an erasure off: they are removed, and can be brought back for 30 days.
    pub async fn cancel_purge(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
        expect: &Expect,
    ) -> Result<Done<MemberRow>, TenancyError> {
        let (mut write, _, mut row) = self.open_member(actor, tenant, who, expect).await?;
        if row.state != MemberState::Purging {
            return Err(TenancyError::conflict("", "not-purging", "nobody has asked to have them erased"));
        }
        let before = shown::member(&row);
        (row.state, row.due) = (MemberState::Removed, Some(write.now() + RESTORABLE));
        let row = put(&mut write, row).await?;
        let entry = entry(actor, "member.purge-cancel", &row, json!({ "restorable_until": row.due }));
        let entry = entry.changed(before, shown::member(&row));
        self.finish(write, entry, row).await
    }

    /// What the tenant keeps of a member. The ledger says that it was taken.
    pub async fn export_member(
        &self,
        actor: &Actor,
        tenant: &str,
        who: &str,
    ) -> Result<Done<MemberExport>, TenancyError> {
        let (write, _, member) = self.open_member(actor, tenant, who, &Expect::Anything).await?;
        let entry = entry(actor, "member.export", &member, json!({}));
        let done = self.finish(write, entry, ()).await?;
        let (tenant, person) = (Some(member.tenant), member.person.to_string());
        let by = AuditFilter { tenant, actor: Some(format!("person:{person}")), ..AuditFilter::default() };
        let about = AuditFilter { tenant, subject: Some(person), ..AuditFilter::default() };
        let mut lines = self.lines(&by).await?;
        lines.extend(self.lines(&about).await?);
        let truncated = lines.len() > MOST_LINES;
        lines.sort_by_key(|line| line.id);
        lines.dedup_by_key(|line| line.id);
        lines.truncate(MOST_LINES);
        let value = MemberExport { member, lines, truncated };
        Ok(Done { value, revision: done.revision, applied: done.applied })
    }

    async fn lines(&self, filter: &AuditFilter) -> Result<Vec<AuditLine>, StoreError> {
        let mut lines: Vec<AuditLine> = Vec::new();
        loop {
            let after = lines.last().map(|line| line.id.to_string());
            let page = Page { limit: Page::MOST, after };
            let more = self.store.audit_lines(filter, AuditOrder::OldestFirst, &page).await?;
            let last = more.len() < Page::MOST as usize;
            lines.extend(more);
            if last || lines.len() > MOST_LINES {
                return Ok(lines);
            }
        }
    }

    /// Forgets and erases whatever is due, until the task is dropped. `owner`: this process, as leases name it.
    pub async fn keep_members(self, owner: String) {
        loop {
            if let Err(error) = self.forget_members(&owner).await {
                warn!(%error, "members.not_forgotten: trying again");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Forgets and erases what is due now; how many members that were. None while another node has the lease.
    pub async fn forget_members(&self, owner: &str) -> Result<usize, TenancyError> {
        let now = self.clock.now();
        let mut aside = self.store.aside().await?;
        if !aside.take_lease(LEASE, owner, now + LEASED).await? {
            return Ok(0);
        }
        aside.forget_invitations(now - INVITATIONS_SHOWN).await?;
        aside.commit().await?;
        let mut seen_to = 0;
        for (tenant, person) in self.store.due_members(now, BATCH).await? {
            self.forget_member(tenant, person).await?;
            seen_to += 1;
        }
        Ok(seen_to)
    }

    /// One membership whose time has come. Whoever is nobody's member any more, and was to be erased, is no person any more
    /// either; for as long as another tenant has them, what is theirs there stays, and that they are to be erased is kept.
    async fn forget_member(&self, tenant: TenantId, person: PersonId) -> Result<(), TenancyError> {
        let mut write = self.store.write().await?;
        let Some(row) = write.member(tenant, person).await? else { return Ok(()) };
        if row.is_active() || row.due.is_none_or(|due| due > write.now()) {
            return Ok(());
        }
        write.delete_member(tenant, person).await?;
        let purged = row.state == MemberState::Purging;
        if purged {
            write.set_to_be_erased(person).await?;
        }
        let erased = settle(&mut write, person).await?;
        info!(tenant.id = %tenant, person.id = %person, purged, "member.forgotten");
        let action = if purged { "member.erase" } else { "member.forget" };
        let detail = json!({ "person_erased": erased.is_some(), "values_erased": erased.unwrap_or(0) });
        let entry = entry(&Actor::new("system"), action, &row, detail).gone(shown::member(&row));
        self.finish(write, entry, ()).await.map(drop)
    }

    /// Erases a person at once, with the memberships that are over; how many values of the ledger went. The address is typed
    /// back. A member is not erased: whoever has them ends that first.
    pub async fn erase_person(
        &self,
        actor: &Actor,
        key: &str,
        expect: &Expect,
        email: &str,
    ) -> Result<Done<u64>, TenancyError> {
        let id = self.person(key).await?.id;
        let mut write = self.store.write().await?;
        let person = write.person(id).await?.ok_or_else(|| TenancyError::NotFound(Kind::Person, key.to_owned()))?;
        expect.check(person.revision)?;
        if email.trim().to_lowercase() != person.email.as_str() {
            let detail = "to have this person erased for ever, type their e-mail address";
            return Err(TenancyError::Invalid(vec![Fault::new("/email", "email-mismatch", detail)]));
        }
        let memberships = write.memberships_anywhere(id).await?;
        if let Some(active) = memberships.iter().find(|row| row.is_active()) {
            let detail = format!("they are a member of the tenant {}; remove them there first", active.tenant);
            return Err(TenancyError::conflict("", "still-member", detail));
        }
        for row in &memberships {
            write.delete_member(row.tenant, id).await?;
        }
        let erased = erase(&mut write, &person).await?;
        let detail = json!({ "values_erased": erased, "memberships": memberships.len() });
        let entry = actor.entry("person.erase", None, id, detail);
        self.finish(write, entry, erased).await
    }
}

/// Erases somebody who is to be erased and whom nobody has any more; how many values of the ledger went. `None`: they stay.
pub(super) async fn settle(write: &mut Write, person: PersonId) -> Result<Option<u64>, TenancyError> {
    if !write.is_to_be_erased(person).await? || write.is_member_anywhere(person).await? {
        return Ok(None);
    }
    match write.person(person).await? {
        Some(person) => erase(write, &person).await.map(Some),
        None => Ok(None),
    }
}

async fn erase(write: &mut Write, person: &Person) -> Result<u64, TenancyError> {
    let keys = [person.id.to_string(), person.email.to_string()];
    write.erase_person(person.id).await?;
    Ok(write.erase_from_audit(&[keys[0].as_str(), keys[1].as_str()]).await?)
}

impl MemberExport {
    /// As it is handed out.
    pub fn to_json(&self) -> Value {
        let row = &self.member;
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({ "id": line.id, "at": line.at, "actor": line.entry.actor, "action": line.entry.action,
                    "subject": line.entry.subject, "detail": line.entry.detail, "before": line.entry.before,
                    "after": line.entry.after, "from": line.entry.from })
            })
            .collect();
        json!({
            "format": "tenantry-member/1",
            "person": { "id": row.person, "email": row.email, "name": row.name },
            "membership": { "tenant": row.tenant, "state": row.state, "role": row.position.name(),
                "rank": row.position.rank, "unit": row.unit, "created": row.created, "updated": row.updated,
                "ended": row.ended },
            "audit": lines,
            "audit_truncated": self.truncated,
        })
    }
}
