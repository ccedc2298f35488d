//! `/v1/tenants/{tenant}/branding` and `/listing`: how a tenant looks, its pictures, and where it is listed. The shapes are
//! the model's own; what may be set is decided elsewhere.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Need, needs};
use super::answer::{Tagged, Written};
use super::body::{Body, RawBody};
use super::edit::Edit;
use super::precondition::IfMatch;
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use crate::model::{Branding, ImageKind, Listing, MediaType, Scope};
use crate::tenancy::{Advice, Branded, Done, Dropped, PICTURE_MAX, Upload};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show)))
        .routes(needs(Need::Tenant(Scope::BrandingManage), routes!(set)))
        .routes(needs(Need::Tenant(Scope::BrandingManage), routes!(patch)))
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show_picture)))
        .routes(needs(Need::Tenant(Scope::BrandingManage), routes!(put_picture)))
        .routes(needs(Need::Tenant(Scope::BrandingManage), routes!(delete_picture)))
        .routes(needs(Need::Tenant(Scope::TenantRead), routes!(show_listing)))
        .routes(needs(Need::Tenant(Scope::ListingManage), routes!(set_listing)))
}

/// A tenant's own branding, what holds together with its parents', and what there is to say about it.
#[derive(Serialize, ToSchema)]
pub struct BrandingView {
    own: Branding,
    effective: Branding,
    /// What is hard to read (WCAG 2.2). Nothing is refused for it.
    advice: Vec<AdviceView>,
    /// What was left out of what was sent: of a style sheet or a drawing.
    dropped: Vec<DroppedView>,
}

/// What is hard to read.
#[derive(Serialize, ToSchema)]
pub struct AdviceView {
    /// Where, as a JSON pointer into the branding.
    pointer: &'static str,
    /// Stable, for programs: `low-contrast`.
    code: &'static str,
    /// For people.
    detail: String,
    /// Of the contrast, 1 to 21.
    ratio: f64,
    wanted: f64,
}

/// Something that was left out.
#[derive(Serialize, ToSchema)]
pub struct DroppedView {
    /// In the style sheet as it was sent, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// Its beginning, or its name.
    text: String,
    why: &'static str,
}

/// Show how a tenant looks
#[utoipa::path(get, path = "/v1/tenants/{tenant}/branding", operation_id = "showTenantBranding", tag = "branding",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "Its own branding and what holds", body = BrandingView,
            headers(("ETag", description = "The tenant's revision, and a digest of this answer")))))]
async fn show(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<BrandingView>, Problem> {
    let branded = state.tenancy.branding(&key).await?;
    Ok(Tagged(branded.state.tenant.revision, branded.into()))
}

/// Replace how a tenant looks
///
/// All but the pictures. The style sheet is cleaned and put beneath `.tenant-page`; what was left out is told.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/branding", operation_id = "setTenantBranding", tag = "branding",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = Branding,
    responses(
        (status = 200, description = "As it is now, and in force", body = BrandingView)))]
async fn set(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<Branding>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.set_branding(&actor, &key, &expect, body).await?))
}

/// Change some of how a tenant looks
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/branding", operation_id = "patchTenantBranding", tag = "branding",
    description = "A JSON merge patch (RFC 7396): what it names is changed, `null` takes a field back, so that the \
        parent's counts again.",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = Branding,
    responses(
        (status = 200, description = "As it is now, and in force", body = BrandingView)))]
async fn patch(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<Value>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.patch_branding(&actor, &key, &expect, &body).await?))
}

/// Show a picture that a tenant has uploaded
#[utoipa::path(get, path = "/v1/tenants/{tenant}/branding/{picture}", operation_id = "showTenantPicture",
    tag = "branding",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("picture" = String, Path, description = "`logo-light`, `logo-dark` or `social`")),
    responses(
        (status = 200, description = "Its bytes", content_type = "image/*", body = Vec<u8>),
        (status = 404, description = "There is none of its own")))]
async fn show_picture(
    State(state): State<AdminState>,
    Segment((key, picture)): Segment<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Problem> {
    let (_, asset) = state.tenancy.picture(&key, kind(&picture)?).await?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media.as_str())),
        // A drawing that is opened by itself runs nothing and loads nothing.
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    ];
    Ok((headers, asset.bytes).into_response())
}

/// Upload a picture
///
/// The body is the picture itself, at most 2 MB; its type is read from its bytes and must be what `Content-Type` says:
/// `image/png`, `image/jpeg`, `image/gif`, `image/webp` or (for logos) `image/svg+xml`. A logo has at most 4,096 pixels a
/// side, the social picture has 1200 × 630. Drawings are cleaned; what was left out is told.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/branding/{picture}", operation_id = "putTenantPicture",
    tag = "branding",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("picture" = String, Path, description = "`logo-light`, `logo-dark` or `social`"), IfMatch),
    request_body(content = Vec<u8>, content_type = "image/*"),
    responses(
        (status = 200, description = "Stored and served", body = BrandingView),
        (status = 404, description = "There is no such tenant, or no such picture"),
        (status = 422, description = "The picture cannot be taken")))]
async fn put_picture(
    State(state): State<AdminState>,
    Edit { actor, key: (key, picture), expect, .. }: Edit<(String, String)>,
    body: RawBody<PICTURE_MAX>,
) -> Result<Written, Problem> {
    let kind = kind(&picture)?;
    if MediaType::parse(&body.media_type).is_none() {
        let known = MediaType::ALL.map(MediaType::as_str).join(", ");
        let detail = format!("the body's Content-Type is one of {known}, not {:?}", body.media_type);
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail));
    }
    let upload = Upload { kind, declared: body.media_type, bytes: body.bytes.to_vec() };
    Ok(written(state.tenancy.put_picture(&actor, &key, &expect, upload).await?))
}

/// Take a picture away
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/branding/{picture}", operation_id = "deleteTenantPicture",
    tag = "branding",
    params(("tenant" = String, Path, description = "Id or slug"),
        ("picture" = String, Path, description = "`logo-light`, `logo-dark` or `social`"), IfMatch),
    responses(
        (status = 200, description = "Gone; the parent's counts again", body = BrandingView),
        (status = 404, description = "There is none of its own")))]
async fn delete_picture(
    State(state): State<AdminState>,
    Edit { actor, key: (key, picture), expect, .. }: Edit<(String, String)>,
) -> Result<Written, Problem> {
    Ok(written(state.tenancy.delete_picture(&actor, &key, &expect, kind(&picture)?).await?))
}

/// Show whether and where a tenant is listed
#[utoipa::path(get, path = "/v1/tenants/{tenant}/listing", operation_id = "showTenantListing", tag = "branding",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "Its listing", body = Listing,
            headers(("ETag", description = "The tenant's revision, and a digest of this answer")))))]
async fn show_listing(
    State(state): State<AdminState>,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Tagged<Listing>, Problem> {
    let found = state.tenancy.listing(&key).await?;
    Ok(Tagged(found.revision, found.listing))
}

/// Set whether and where a tenant is listed
///
/// The public directory shows listed tenants that are active: by priority, then members, then the newest first. Only
/// operators change a priority.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/listing", operation_id = "setTenantListing", tag = "branding",
    params(("tenant" = String, Path, description = "Id or slug"), IfMatch),
    request_body = Listing,
    responses(
        (status = 200, description = "As it is now", body = Listing)))]
async fn set_listing(
    State(state): State<AdminState>,
    Edit { actor, key, expect, .. }: Edit,
    Body(body): Body<Listing>,
) -> Result<Written, Problem> {
    let done = state.tenancy.set_listing(&actor, &key, &expect, body).await?;
    Ok(Written::new(&done).etag(done.value.revision).body(&done.value.listing))
}

fn written(done: Done<Branded>) -> Written {
    let revision = done.value.state.tenant.revision;
    Written::new(&done).etag(revision).body(&BrandingView::from(done.value))
}

fn kind(picture: &str) -> Result<ImageKind, Problem> {
    ImageKind::parse(picture).ok_or_else(|| {
        let known = ImageKind::ALL.map(ImageKind::as_str).join(", ");
        let detail = format!("there is no picture {picture:?}; there are {known}");
        Problem::new(StatusCode::NOT_FOUND, "picture-not-found", detail)
    })
}

impl From<Branded> for BrandingView {
    fn from(branded: Branded) -> Self {
        let Branded { state, advice, dropped, dropped_names } = branded;
        let rules = dropped.into_iter().map(|Dropped { line, text, why }| DroppedView { line: Some(line), text, why });
        let names = dropped_names.into_iter().map(|text| DroppedView { line: None, text, why: NOT_IN_DRAWINGS });
        Self {
            own: state.tenant.branding,
            effective: state.effective.branding,
            advice: advice.into_iter().map(AdviceView::from).collect(),
            dropped: rules.chain(names).collect(),
        }
    }
}

impl From<Advice> for AdviceView {
    fn from(Advice { pointer, code, detail, ratio, wanted }: Advice) -> Self {
        Self { pointer, code, detail, ratio: (ratio * 100.0).round() / 100.0, wanted }
    }
}

const NOT_IN_DRAWINGS: &str = "it is not one of the elements and attributes that a drawing can have";
