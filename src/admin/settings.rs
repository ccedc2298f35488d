//! `/v1/tenants/{tenant}/settings` and `/contacts`: what an application reads of a tenant, and whom to turn to there.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::{Tagged, Written};
use super::body::Body;
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use crate::model::{Contact, Scope, SettingKind, Source};
use crate::tenancy::{Contacts, SettingState, SettingsState};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show)))
        .routes(needs(Need::Tenant(Scope::TenantManage), routes!(replace, patch)))
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show_contacts)))
        .routes(needs(Need::Tenant(Scope::TenantManage), routes!(set_contacts)))
}

/// Every setting of the catalogue, by name, with what holds.
#[derive(Serialize, ToSchema)]
pub struct SettingsView {
    settings: BTreeMap<String, SettingView>,
}

/// What holds of one setting, and where it comes from.
#[derive(Serialize, ToSchema)]
pub struct SettingView {
    title: String,
    /// `text`, `boolean`, `integer` or `choice`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What a value is to be, for people.
    expected: String,
    #[schema(value_type = Object)]
    value: Value,
    /// `own`, `parent` or `default`.
    from: Source,
    /// The slug of the parent whose word it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[schema(value_type = Object)]
    default: Value,
    /// Only operators may set it.
    operators_only: bool,
    /// The words of a `choice`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
}

/// A tenant's own values, by the names of settings.
#[derive(Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct Values(BTreeMap<String, Value>);

/// Whom to turn to at a tenant.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactList {
    /// At most 20.
    contacts: Vec<Contact>,
}

/// Show a tenant's settings
#[utoipa::path(get, path = "/v1/tenants/{tenant}/settings", operation_id = "showTenantSettings", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "Every setting of the catalogue, with what holds", body = SettingsView,
            headers(("ETag", description = "The tenant's revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<SettingsView>, Problem> {
    let found = state.tenancy.settings(&key).await?;
    Ok(Tagged(found.revision, found.into()))
}

/// Replace a tenant's own settings
#[utoipa::path(put, path = "/v1/tenants/{tenant}/settings", operation_id = "setTenantSettings", tag = "tenants",
    description = "What is not named is the parent's or the default again.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = Values,
    responses(
        (status = 200, description = "As they are now", body = SettingsView),
        (status = 422, description = "No such setting, or no value of it")))]
async fn replace(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(Values(values)): Body<Values>,
) -> Result<Written, Problem> {
    let done = state.tenancy.set_settings(&actor, &key, &expect, values).await?;
    Ok(Written::new(&done).etag(done.value.revision).body(&SettingsView::from(done.value)))
}

/// Change some of a tenant's own settings
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/settings", operation_id = "patchTenantSettings", tag = "tenants",
    description = "A JSON merge patch (RFC 7396): `null` takes a value back, so that the parent's or the default counts.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = Values,
    responses(
        (status = 200, description = "As they are now", body = SettingsView),
        (status = 422, description = "No such setting, or no value of it")))]
async fn patch(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(Values(values)): Body<Values>,
) -> Result<Written, Problem> {
    let done = state.tenancy.patch_settings(&actor, &key, &expect, values).await?;
    Ok(Written::new(&done).etag(done.value.revision).body(&SettingsView::from(done.value)))
}

/// Show whom to turn to at a tenant
#[utoipa::path(get, path = "/v1/tenants/{tenant}/contacts", operation_id = "showTenantContacts", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "In the order given", body = ContactList,
            headers(("ETag", description = "The tenant's revision, and a digest of this answer")))))]
async fn show_contacts(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<ContactList>, Problem> {
    let Contacts { contacts, revision } = state.tenancy.contacts(&key).await?;
    Ok(Tagged(revision, ContactList { contacts }))
}

/// Replace whom to turn to at a tenant
#[utoipa::path(put, path = "/v1/tenants/{tenant}/contacts", operation_id = "setTenantContacts", tag = "tenants",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = ContactList,
    responses(
        (status = 200, description = "As they are now", body = ContactList)))]
async fn set_contacts(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<ContactList>,
) -> Result<Written, Problem> {
    let done = state.tenancy.set_contacts(&actor, &key, &expect, body.contacts).await?;
    let revision = done.value.revision;
    Ok(Written::new(&done).etag(revision).body(&ContactList { contacts: done.value.contacts }))
}

impl From<SettingsState> for SettingsView {
    fn from(state: SettingsState) -> Self {
        let named = |state: SettingState| (state.setting.name.clone(), SettingView::from(state));
        Self { settings: state.settings.into_iter().map(named).collect() }
    }
}

impl From<SettingState> for SettingView {
    fn from(state: SettingState) -> Self {
        let SettingState { setting, value, from, tenant } = state;
        let (kind, expected) = (setting.kind.as_str(), setting.kind.expected());
        let choices = match setting.kind {
            SettingKind::Choice { choices } => choices,
            _ => Vec::new(),
        };
        let (title, default, operators_only) = (setting.title, setting.default, setting.operators_only);
        let tenant = tenant.map(|slug| slug.to_string());
        Self { title, kind, expected, value, from, tenant, default, operators_only, choices }
    }
}
