//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07) on every POST: a call that is sent again is not done
//! again, and is answered as it was. Whose call it is has been decided before.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::{AdminState, HANDLER_TIMEOUT, body, imports};
use crate::store::{CallRow, Store, StoreError};
use crate::tenancy::Actor;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_MAX: usize = 255;
/// An answer that is larger is not kept: the call is still not done twice.
const ANSWER_MAX: usize = 1 << 20;
/// After twice the time that it may take, a call without an answer is not under way any more.
const PATIENCE: u32 = 2;

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Does a call unless it has been done.
pub async fn once(state: &AdminState, actor: &Actor, request: Request, next: Next) -> Response {
    let key = match key(request.method(), request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(key)) => key,
        Err(problem) => return problem.into_response(),
    };
    let (parts, body) = request.into_parts();
    let is_import = parts.uri.path().starts_with(imports::PATHS);
    let max = if is_import { state.max_import() } else { state.max_body() };
    let patience = PATIENCE * if is_import { imports::TIMEOUT } else { HANDLER_TIMEOUT };
    let bytes = match body::collect(body, max).await {
        Ok(bytes) => bytes,
        Err(problem) => return problem.into_response(),
    };
    let store = state.tenancy.store();
    let call = CallRow {
        id: call_id(actor, &key),
        fingerprint: hash(&[parts.method.as_str().as_bytes(), parts.uri.to_string().as_bytes(), &bytes]),
        begun: state.tenancy.clock().now(),
        request_id: actor.request_id.clone(),
    };
    match begin(store, actor, &call, patience).await {
        Ok(None) => {}
        Ok(Some(answer)) => return answer,
        Err(error) => return Problem::from(error).into_response(),
    }
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    finish(store, &call, response).await
}

/// The key, where the call has one.
fn key(method: &Method, headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next().filter(|_| *method == Method::POST) else { return Ok(None) };
    let bytes = value.as_bytes();
    let good = (1..=KEY_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if !good || values.next().is_some() {
        let detail = format!("an idempotency key is one header of 1 to {KEY_MAX} visible ASCII characters");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-idempotency-key", detail));
    }
    Ok(Some(bytes.to_vec()))
}

/// `None`: the call is to be done now. Otherwise its answer, or why there is none.
async fn begin(
    store: &Store,
    actor: &Actor,
    call: &CallRow,
    patience: Duration,
) -> Result<Option<Response>, StoreError> {
    let mut aside = store.aside().await?;
    let fresh = aside.begin_call(call).await?;
    aside.commit().await?;
    if fresh {
        return Ok(None);
    }
    let Some(earlier) = store.call(&call.id).await? else { return Ok(Some(under_way())) };
    if earlier.row.fingerprint != call.fingerprint {
        let detail = "this idempotency key has come with another request before; a new request needs a new key";
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail);
        return Ok(Some(problem.into_response()));
    }
    if let Some(kept) = earlier.answer.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok()) {
        return Ok(kept.response());
    }
    if earlier.row.begun + patience > call.begun {
        return Ok(Some(under_way()));
    }
    let was_done = match &earlier.row.request_id {
        Some(id) => store.was_done(&actor.name, actor.rights.only(), id, earlier.row.begun).await?,
        None => true,
    };
    if was_done {
        let detail = "this call was done, and its answer was lost; look at what it made";
        return Ok(Some(Problem::new(StatusCode::CONFLICT, "idempotency-answer-lost", detail).into_response()));
    }
    // It ended before it had done anything: this one takes its place, if no other has.
    let mut aside = store.aside().await?;
    let ours = aside.forget_call(&call.id, earlier.row.begun).await? && aside.begin_call(call).await?;
    aside.commit().await?;
    Ok(if ours { None } else { Some(under_way()) })
}

fn under_way() -> Response {
    let detail = "a call with this idempotency key is under way; ask again";
    Problem::new(StatusCode::CONFLICT, "idempotency-in-progress", detail).retry_after(1).into_response()
}

/// Keeps the answer of a call that did something; one that was refused may be sent again.
async fn finish(store: &Store, call: &CallRow, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(collected) = body.collect().await else { return under_way() };
    let bytes = collected.to_bytes();
    let kept = async {
        let mut aside = store.aside().await?;
        if parts.status.is_success() && bytes.len() <= ANSWER_MAX {
            aside.answer_call(call, &Kept::of(parts.status, &parts.headers, &bytes).to_bytes()).await?;
        } else if parts.status.is_client_error() {
            aside.forget_call(&call.id, call.begun).await?;
        }
        aside.commit().await
    };
    if let Err(error) = kept.await {
        // The answer stands. Whoever sends the call again is told that it was done.
        tracing::warn!(%error, "idempotency.answer_not_kept");
    }
    Response::from_parts(parts, Body::from(bytes))
}

impl Kept {
    fn of(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Self {
        let headers =
            headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        Self { status: status.as_u16(), headers: headers.collect(), body: STANDARD.encode(body) }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// `None` when it is not what this program keeps: the call is then done again, as if its answer had been pruned.
    fn response(self) -> Option<Response> {
        let body = STANDARD.decode(self.body).ok()?;
        let mut response = (StatusCode::from_u16(self.status).ok()?, body).into_response();
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Some(response)
    }
}

/// A key is its caller's own. The tokens of tenants are named within their tenant: which tenant it is tells them apart.
fn call_id(actor: &Actor, key: &[u8]) -> String {
    let tenant = actor.rights.only().map(|tenant| tenant.to_string()).unwrap_or_default();
    let on_behalf = actor.on_behalf.as_deref().unwrap_or_default();
    hex::encode(hash(&[actor.name.as_bytes(), tenant.as_bytes(), on_behalf.as_bytes(), key]))
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
