//! Every way in which the edge says no, as one closed list. Nothing else in the edge makes an error response.

use std::time::Duration;

use http::StatusCode;

use crate::config::Config;
use crate::directory::Trouble;
use crate::model::{Feature, PlanName};
use crate::traffic::Limit;

/// A refusal. Its status and code are a contract (design.md, *What a refusal looks like*).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rejection {
    TenantNotFound,
    DomainNotConfigured,
    TenantPending,
    TenantSuspended {
        reason: Option<String>,
    },
    TenantCancelled,
    /// The tenant's own wish; says what it wants to be told, and when to come back.
    Maintenance {
        message: Option<String>,
        retry_after: Duration,
    },
    PlanRequired {
        feature: Feature,
        plans: Vec<PlanName>,
        upgrade_url: Option<String>,
    },
    /// One client address has asked the edge itself too often.
    RateLimited {
        retry_after: Duration,
    },
    /// The tenant's requests a second are used up.
    TenantRateLimited {
        retry_after: Duration,
    },
    /// As many of the tenant's requests are under way as may be.
    TooManyRequests,
    /// As many of the tenant's WebSockets are open as may be.
    TooManyWebSockets,
    /// The tenant does not let this address in.
    AccessDenied,
    Misdirected,
    /// Malformed or ambiguous; says what.
    BadRequest(&'static str),
    MethodNotAllowed,
    RequestTimeout,
    BodyTooLarge {
        limit: u64,
    },
    HeadersTooLarge,
    /// The host is known and has no certificate yet, so it is not served in the clear either.
    CertificatePending,
    /// No route of the configuration matches.
    RouteNotFound,
    /// The edge answers this path itself and has nothing there: an unknown challenge token, an unknown host.
    NotFound,
    /// Too many unknown names are being looked up.
    LookupBusy,
    /// The store cannot be asked about this host.
    LookupUnavailable,
    UpstreamUnavailable,
    /// Too many requests are waiting for the pool already.
    UpstreamBusy,
    UpstreamFailed,
    UpstreamTimeout,
    /// A mistake of our own.
    Internal,
}

/// Whose fault a failed request was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    Client,
    Edge,
    Upstream,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::None, Self::Client, Self::Edge, Self::Upstream];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Client => "client",
            Self::Edge => "edge",
            Self::Upstream => "upstream",
        }
    }
}

impl From<Trouble> for Rejection {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Busy => Self::LookupBusy,
            Trouble::Unavailable => Self::LookupUnavailable,
        }
    }
}

impl Rejection {
    /// The tenant has not got this feature of Tenantry's own.
    pub fn not_in_plan(feature: &str, config: &Config) -> Self {
        let catalogue = &config.catalogue;
        match Feature::parse(feature) {
            Ok(feature) => {
                let (plans, upgrade_url) = (catalogue.plans_with(&feature), catalogue.upgrade_url.clone());
                Self::PlanRequired { feature, plans, upgrade_url }
            }
            Err(_) => Self::NotFound,
        }
    }

    /// Every code that there is.
    pub const CODES: &[&str] = &[
        "tenant-not-found",
        "domain-not-configured",
        "tenant-pending",
        "tenant-suspended",
        "tenant-cancelled",
        "maintenance",
        "plan-required",
        "rate-limited",
        "quota-exceeded",
        "access-denied",
        "misdirected-request",
        "bad-request",
        "method-not-allowed",
        "request-timeout",
        "body-too-large",
        "headers-too-large",
        "certificate-pending",
        "route-not-found",
        "not-found",
        "lookup-busy",
        "lookup-unavailable",
        "upstream-unavailable",
        "upstream-busy",
        "upstream-failed",
        "upstream-timeout",
        "internal-error",
    ];

    pub fn status(&self) -> StatusCode {
        match self {
            Self::TenantNotFound | Self::DomainNotConfigured | Self::RouteNotFound | Self::NotFound => {
                StatusCode::NOT_FOUND
            }
            Self::TenantPending
            | Self::Maintenance { .. }
            | Self::CertificatePending
            | Self::LookupBusy
            | Self::LookupUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::TenantSuspended { .. } | Self::AccessDenied => StatusCode::FORBIDDEN,
            Self::TenantCancelled => StatusCode::GONE,
            Self::PlanRequired { .. } => StatusCode::PAYMENT_REQUIRED,
            Self::RateLimited { .. }
            | Self::TenantRateLimited { .. }
            | Self::TooManyRequests
            | Self::TooManyWebSockets => StatusCode::TOO_MANY_REQUESTS,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UpstreamUnavailable | Self::UpstreamBusy => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamFailed => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code of the problem document; also the label in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TenantNotFound => "tenant-not-found",
            Self::DomainNotConfigured => "domain-not-configured",
            Self::TenantPending => "tenant-pending",
            Self::TenantSuspended { .. } => "tenant-suspended",
            Self::TenantCancelled => "tenant-cancelled",
            Self::Maintenance { .. } => "maintenance",
            Self::PlanRequired { .. } => "plan-required",
            Self::RateLimited { .. } | Self::TenantRateLimited { .. } | Self::TooManyRequests => "rate-limited",
            Self::TooManyWebSockets => "quota-exceeded",
            Self::AccessDenied => "access-denied",
            Self::Misdirected => "misdirected-request",
            Self::BadRequest(_) => "bad-request",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::BodyTooLarge { .. } => "body-too-large",
            Self::HeadersTooLarge => "headers-too-large",
            Self::CertificatePending => "certificate-pending",
            Self::RouteNotFound => "route-not-found",
            Self::NotFound => "not-found",
            Self::LookupBusy => "lookup-busy",
            Self::LookupUnavailable => "lookup-unavailable",
            Self::UpstreamUnavailable => "upstream-unavailable",
            Self::UpstreamBusy => "upstream-busy",
            Self::UpstreamFailed => "upstream-failed",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::Internal => "internal-error",
        }
    }

    /// What a person reads first.
    pub fn title(&self) -> &'static str {
        match self {
            Self::TenantNotFound => "Tenant not found",
            Self::DomainNotConfigured => "Domain not configured",
            Self::TenantPending => "Not ready yet",
            Self::TenantSuspended { .. } => "Suspended",
            Self::TenantCancelled => "No longer here",
            Self::Maintenance { .. } => "Under maintenance",
            Self::PlanRequired { .. } => "Not part of this plan",
            Self::RateLimited { .. } | Self::TenantRateLimited { .. } | Self::TooManyRequests => "Too many requests",
            Self::TooManyWebSockets => "Too many connections",
            Self::AccessDenied => "Not open to you",
            Self::Misdirected => "Wrong connection for this host",
            Self::BadRequest(_) => "Bad request",
            Self::MethodNotAllowed => "Method not allowed",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::BodyTooLarge { .. } => "The request is too large",
            Self::HeadersTooLarge => "The request's headers are too large",
            Self::CertificatePending => "Certificate on its way",
            Self::RouteNotFound | Self::NotFound => "Not found",
            Self::LookupBusy | Self::LookupUnavailable => "Temporarily unavailable",
            Self::UpstreamUnavailable => "The application is not available",
            Self::UpstreamBusy => "The application is busy",
            Self::UpstreamFailed => "The application failed",
            Self::UpstreamTimeout => "The application took too long",
            Self::Internal => "Something went wrong",
        }
    }

    /// One or two sentences more.
    pub fn detail(&self) -> String {
        match self {
            Self::TenantNotFound => "There is no tenant at this address.".into(),
            Self::DomainNotConfigured => {
                "This domain points here, but no tenant has set it up and proven to own it.".into()
            }
            Self::TenantPending => "This tenant is being set up. Try again in a minute.".into(),
            Self::TenantSuspended { reason: Some(reason) } => format!("This tenant is suspended: {reason}"),
            Self::TenantSuspended { reason: None } => "This tenant is suspended.".into(),
            Self::TenantCancelled => "This tenant has been cancelled.".into(),
            Self::Maintenance { message: Some(message), .. } => message.clone(),
            Self::Maintenance { message: None, .. } => "This site is being worked on. Try again later.".into(),
            Self::PlanRequired { feature, plans, .. } => {
                let plans: Vec<_> = plans.iter().map(PlanName::as_str).collect();
                match plans.is_empty() {
                    true => format!("This needs the feature {feature}."),
                    false => format!("This needs the feature {feature}, which comes with: {}.", plans.join(", ")),
                }
            }
            Self::RateLimited { .. } => "This address has asked too often. Slow down.".into(),
            Self::TenantRateLimited { .. } => "This tenant gets more requests than it may. Try again shortly.".into(),
            Self::TooManyRequests => "Too many of this tenant's requests are under way. Try again shortly.".into(),
            Self::TooManyWebSockets => "Too many of this tenant's WebSockets are open.".into(),
            Self::AccessDenied => "This tenant does not take visitors from your address.".into(),
            Self::Misdirected => "This connection was made for another host. Open a new one and try again.".into(),
            Self::BadRequest(why) => format!("The request cannot be understood: {why}."),
            Self::MethodNotAllowed => "This method is not allowed here.".into(),
            Self::RequestTimeout => "The request did not arrive in time.".into(),
            Self::BodyTooLarge { limit } => format!("A request may carry at most {limit} bytes."),
            Self::HeadersTooLarge => "Send fewer or smaller headers.".into(),
            Self::CertificatePending => "The certificate for this host is not there yet. Try again in a minute.".into(),
            Self::RouteNotFound => "Nothing is served at this address.".into(),
            Self::NotFound => "There is nothing here.".into(),
            Self::LookupBusy | Self::LookupUnavailable => {
                "Who lives at this host cannot be looked up right now. Try again shortly.".into()
            }
            Self::UpstreamUnavailable => "No backend can take the request right now.".into(),
            Self::UpstreamBusy => "Too many requests are waiting for an answer already. Try again shortly.".into(),
            Self::UpstreamFailed => "The backend did not give a usable answer.".into(),
            Self::UpstreamTimeout => "The backend did not answer in time.".into(),
            Self::Internal => "The edge could not handle this request.".into(),
        }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TenantPending | Self::CertificatePending => Some(Duration::from_secs(60)),
            Self::LookupBusy | Self::LookupUnavailable | Self::UpstreamUnavailable => Some(Duration::from_secs(5)),
            Self::UpstreamBusy => Some(Duration::from_secs(1)),
            Self::RateLimited { retry_after }
            | Self::TenantRateLimited { retry_after }
            | Self::Maintenance { retry_after, .. } => Some(*retry_after),
            Self::TooManyRequests => Some(Duration::from_secs(1)),
            Self::TooManyWebSockets => Some(Duration::from_secs(10)),
            _ => None,
        }
    }

    /// The tenant's limit that it is about.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::TenantRateLimited { .. } => Some(Limit::Rate),
            Self::TooManyRequests => Some(Limit::Concurrency),
            Self::TooManyWebSockets => Some(Limit::WebSockets),
            Self::BodyTooLarge { .. } => Some(Limit::Body),
            Self::AccessDenied => Some(Limit::Access),
            _ => None,
        }
    }

    /// Whether the connection must not be used for another request.
    pub fn closes(&self) -> bool {
        matches!(self, Self::BadRequest(_) | Self::RequestTimeout | Self::HeadersTooLarge | Self::BodyTooLarge { .. })
    }

    pub fn fault(&self) -> Fault {
        match self {
            Self::LookupBusy | Self::LookupUnavailable | Self::Internal | Self::CertificatePending => Fault::Edge,
            Self::UpstreamUnavailable | Self::UpstreamBusy | Self::UpstreamFailed | Self::UpstreamTimeout => {
                Fault::Upstream
            }
            Self::Maintenance { .. } => Fault::None,
            _ => Fault::Client,
        }
    }

    /// `grpc-status` for a call that is refused
    /// (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
    pub fn grpc_status(&self) -> u8 {
        match self.status().as_u16() {
            400 | 413 | 431 => 3,
            404 | 405 | 410 => 12,
            402 => 9,
            403 => 7,
            408 | 504 => 4,
            429 => 8,
            500 => 13,
            _ => 14,
        }
    }
}
