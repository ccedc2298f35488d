//! The body of a refusal: a page in the tenant's branding for browsers, a problem document (RFC 9457) for everybody
//! else. Everything that a tenant chose is escaped or checked here.

use std::borrow::Cow;

use askama::Template;
use http::{HeaderMap, header};
use serde_json::json;

use super::look::{BARE_POLICY, Look};
use super::rejection::Rejection;
use crate::directory::View;
use crate::model::Brand;

/// A body and its media type.
#[derive(Debug)]
pub struct Body {
    pub media_type: &'static str,
    pub text: String,
    /// Its `Content-Security-Policy`.
    pub policy: Cow<'static, str>,
}

/// The body for this refusal, in the form that the client asked for.
pub fn body(rejection: &Rejection, request: &HeaderMap, view: Option<&View>, brand: &Brand, request_id: &str) -> Body {
    if wants_html(request)
        && let Some((text, look)) = html(rejection, view, brand, request_id)
    {
        return Body { media_type: "text/html; charset=utf-8", text, policy: look.policy().into() };
    }
    let text = problem(rejection, request_id).to_string();
    Body { media_type: "application/problem+json", text, policy: BARE_POLICY.into() }
}

#[derive(Template)]
#[template(path = "edge/page.html")]
struct Page<'a> {
    title: &'a str,
    detail: &'a str,
    look: &'a Look,
    main_site: &'a str,
    upgrade_url: Option<&'a str>,
    status: u16,
    code: &'a str,
    request_id: &'a str,
}

fn html(rejection: &Rejection, view: Option<&View>, brand: &Brand, request_id: &str) -> Option<(String, Look)> {
    let look = Look::of(view, brand);
    let page = Page {
        title: rejection.title(),
        detail: &rejection.detail(),
        look: &look,
        main_site: &brand.main_site,
        upgrade_url: match rejection {
            Rejection::PlanRequired { upgrade_url, .. } => upgrade_url.as_deref(),
            _ => None,
        },
        status: rejection.status().as_u16(),
        code: rejection.code(),
        request_id,
    };
    let text = page.render().ok()?;
    Some((text, look))
}

fn problem(rejection: &Rejection, request_id: &str) -> serde_json::Value {
    let mut problem = json!({
        "type": format!("urn:tenantry:problem:{}", rejection.code()),
        "title": rejection.title(),
        "status": rejection.status().as_u16(),
        "detail": rejection.detail(),
        "code": rejection.code(),
        "request_id": request_id,
    });
    if let Rejection::PlanRequired { feature, plans, upgrade_url } = rejection {
        problem["feature"] = json!(feature);
        problem["plans"] = json!(plans);
        problem["upgrade_url"] = json!(upgrade_url);
    }
    problem
}

/// Browsers say `text/html` by name; nobody else does.
pub(super) fn wants_html(request: &HeaderMap) -> bool {
    request
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|media| matches!(media.trim(), "text/html" | "application/xhtml+xml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Hostname;

    fn brand() -> Brand {
        Brand { name: "<b>Brand</b>".into(), ..Brand::for_base(Hostname::parse("connect.localhost").unwrap()) }
    }

    #[test]
    fn browsers_get_a_page_and_others_a_problem_document() {
        let mut request = HeaderMap::new();
        let refusal = Rejection::TenantSuspended { reason: Some("<script>".into()) };
        let answer = body(&refusal, &request, None, &brand(), "r-1");
        assert_eq!(answer.media_type, "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(403), Some("tenant-suspended")));

        request.insert(header::ACCEPT, "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8".parse().unwrap());
        let answer = body(&refusal, &request, None, &brand(), "r-1");
        assert_eq!(answer.media_type, "text/html; charset=utf-8");
        assert!(answer.text.contains("tenant-suspended") && answer.text.contains("r-1"));
        assert!(!answer.text.contains("<script>") && !answer.text.contains("<b>Brand"), "{}", answer.text);
    }
}
