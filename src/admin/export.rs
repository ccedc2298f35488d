//! `/v1/tenants/{tenant}/export`: one archive of everything that there is of a tenant, sent while it is read. A tar archive
//! (POSIX ustar), so that a part goes out before the next is known.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tar::{Builder, Header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::access::{Caller, Need, needs};
use super::problem::Problem;
use super::query::{NoParams, Params, Segment};
use super::readings::Place;
use crate::model::Scope;
use crate::tenancy::{Export, Part};

pub fn routes() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new().routes(needs(Need::Tenant(Scope::DataExport), routes!(export)))
}

/// Export a tenant as one archive
#[utoipa::path(get, path = "/v1/tenants/{tenant}/export", operation_id = "exportTenant", tag = "tenants",
    description = "A tar archive of JSON: `tenant.json`, then a directory a kind (`domains/00001.jsonl`, …), then \
        `manifest.json` with the number of rows of each. An archive without a manifest is not whole. There is no secret \
        in it: neither keys nor tokens.",
    params(("tenant" = String, Path, description = "Id or slug")),
    responses(
        (status = 200, description = "The archive", content_type = "application/x-tar", body = Vec<u8>),
        (status = 429, description = "This node does as many exports and checks of the ledger as it does at once, or one \
            of the tenant's; see Retry-After", body = Problem, content_type = "application/problem+json")))]
async fn export(
    State(state): State<AdminState>,
    Caller(actor): Caller,
    Segment(key): Segment,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Problem> {
    let place = state.readings.place(&actor.rights)?;
    let export = state.tenancy.export(&actor, &key).await?;
    let disposition = format!("attachment; filename=\"{}.tar\"", export.slug());
    let archive = Archive { export, tar: Some(Builder::new(Vec::new())), _place: place };
    let body = Body::from_stream(stream::try_unfold(archive, Archive::step));
    let headers = [(header::CONTENT_TYPE, "application/x-tar".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, body).into_response())
}

/// An export on its way into an archive.
struct Archive {
    export: Export,
    /// `None` once it is closed.
    tar: Option<Builder<Vec<u8>>>,
    _place: Place,
}

impl Archive {
    /// The next bytes. A failure breaks the answer off: whoever reads it sees that it is not whole.
    async fn step(mut self) -> Result<Option<(Bytes, Self)>, std::io::Error> {
        let Some(mut tar) = self.tar.take() else { return Ok(None) };
        let part = self.export.next().await.map_err(|error| {
            tracing::warn!(%error, tenant.slug = self.export.slug(), "tenant.export_broken_off");
            std::io::Error::other("the export was broken off")
        })?;
        let Some(part) = part else { return Ok(Some((tar.into_inner()?.into(), self))) };
        append(&mut tar, &part, self.export.at.secs())?;
        let bytes = std::mem::take(tar.get_mut());
        Ok(Some((bytes.into(), Self { tar: Some(tar), ..self })))
    }
}

fn append(tar: &mut Builder<Vec<u8>>, part: &Part, at: i64) -> Result<(), std::io::Error> {
    let mut header = Header::new_ustar();
    header.set_size(part.bytes.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(at).unwrap_or(0));
    tar.append_data(&mut header, &part.path, part.bytes.as_slice())
}
