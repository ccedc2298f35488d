//! What is asked, each time about something else.

use super::data::{WORDS, name, plan, slug};

/// The path of the `n`th question, of so many tenants.
pub type Question = fn(usize, usize) -> String;

pub fn all() -> Vec<(&'static str, Question)> {
    [tenants(), searches(), domains(), certificates(), ledger()].concat()
}

fn tenants() -> Vec<(&'static str, Question)> {
    vec![
        ("dashboard counts", |_, _| "/v1/stats?expiring_days=7".into()),
        ("one tenant", |n, size| format!("/v1/tenants/{}", slug(n * 104_729 % size))),
        ("tenants by slug", |n, size| format!("/v1/tenants?prefix={}", &slug(n * 7919 % size)[..3])),
        ("tenants by slug, two hundred", |n, size| {
            format!("/v1/tenants?limit=200&prefix={}", &slug(n * 7919 % size)[..1])
        }),
        ("tenants by slug, the last first", |_, _| "/v1/tenants?sort=-slug".into()),
        ("tenants by name", |_, _| "/v1/tenants?sort=name".into()),
        ("tenants by creation, the newest first", |_, _| "/v1/tenants?sort=-created".into()),
        ("tenants by last change", |_, _| "/v1/tenants?sort=-updated".into()),
        ("of a status", |n, _| format!("/v1/tenants?status={}", ["trial", "active", "pending"][n / 2 % 3])),
        ("of a status, by name", |n, _| format!("/v1/tenants?sort=name&status={}", ["trial", "active"][n / 2 % 2])),
        ("of a status that nobody has", |_, _| "/v1/tenants?status=archived".into()),
        ("of a plan, the newest first", |n, _| format!("/v1/tenants?sort=-created&plan={}", plan(n / 2))),
        ("of a status and a plan, by name", |n, _| format!("/v1/tenants?sort=name&status=trial&plan={}", plan(n / 2))),
        ("of a plan, by prefix", |n, size| {
            format!("/v1/tenants?plan={}&prefix={}", plan(n / 2), &slug(n * 7919 % size)[..2])
        }),
        ("children of a tenant, by name", |n, size| {
            format!("/v1/tenants?sort=name&parent={}", slug(n / 2 % 100 % size))
        }),
        ("children of a tenant, of a status (rows looked at)", |n, size| {
            format!("/v1/tenants?status=trial&parent={}", slug(n / 2 % 100 % size))
        }),
        ("created since a time", |_, _| "/v1/tenants?sort=created&created_from=2020-01-01T00:00:00Z".into()),
        ("trials that end soon", |_, _| "/v1/tenants?trial_ends_before=2099-01-01T00:00:00Z".into()),
        ("trials of a plan (rows looked at)", |n, _| format!("/v1/tenants?sort=-trial_ends&plan={}", plan(n / 2))),
        ("of a plan, by prefix, updated lately (rows looked at)", |n, size| {
            let prefix = &slug(n * 104_729 % size)[..2];
            format!(
                "/v1/tenants?plan=growth&status=pending&prefix={prefix}&sort=name&updated_from=2020-01-01T00:00:00Z"
            )
        }),
        ("listed publicly", |_, _| "/v1/tenants?listed=true".into()),
        ("listed publicly, of a status, by name (rows looked at)", |n, _| {
            format!("/v1/tenants?listed=true&sort=name&status={}", ["trial", "active"][n / 2 % 2])
        }),
        ("not listed (rows looked at)", |_, _| "/v1/tenants?listed=false&sort=name".into()),
    ]
}

fn searches() -> Vec<(&'static str, Question)> {
    vec![
        ("search, one letter", |n, _| format!("/v1/tenants?search={}", (b'a' + (n / 2 % 26) as u8) as char)),
        ("search, a word", |n, _| format!("/v1/tenants?search={}", WORDS[n / 2 % 6])),
        ("search, a word, two hundred", |n, _| format!("/v1/tenants?limit=200&search={}", WORDS[n / 2 % 6])),
        ("search, two words", |n, _| {
            format!("/v1/tenants?search={}%20{}", WORDS[n / 2 % 6], WORDS[n / 12 % 24].replace('ü', "u"))
        }),
        ("search, a slug", |n, size| format!("/v1/tenants?search={}", slug(n * 104_729 % size))),
        ("search, a word, of a status (rows looked at)", |n, _| {
            format!("/v1/tenants?status=pending&search={}", WORDS[n / 2 % 6])
        }),
        ("search, a word, suspended ones only (rows looked at)", |n, _| {
            format!("/v1/tenants?status=suspended&search={}", WORDS[n / 2 % 6])
        }),
        ("search, a domain", |n, size| format!("/v1/tenants?search={}", name(n * 7919 / 10 * 10 % size))),
        ("search, a part of many domains", |_, _| "/v1/tenants?search=www".into()),
    ]
}

fn domains() -> Vec<(&'static str, Question)> {
    vec![
        ("domains by name", |n, size| format!("/v1/domains?prefix=www.{}", &slug(n * 7919 % size)[..2])),
        ("domains by creation, the newest first", |_, _| "/v1/domains?sort=-created".into()),
        ("domains in a state", |n, _| format!("/v1/domains?state={}", ["pending", "verified", "live"][n / 2 % 3])),
        ("domains in a state, by prefix", |n, size| {
            format!("/v1/domains?state=pending&prefix=www.{}", &slug(n * 7919 % size)[..1])
        }),
        ("domains in a state, the oldest first", |_, _| "/v1/domains?state=pending&sort=created".into()),
        ("domains in a state, by prefix and age (rows looked at)", |n, size| {
            format!("/v1/domains?state=verified&sort=created&prefix=www.{}", &slug(n * 7919 % size)[..2])
        }),
        ("domains of a tenant", |n, size| format!("/v1/domains?tenant={}", slug(n * 7919 % size))),
        ("domains beneath a name", |n, _| format!("/v1/domains?beneath=zone{}.example", n / 2 % 1000)),
        ("verified domains beneath a name (rows looked at)", |_, _| {
            "/v1/domains?beneath=example&state=verified".into()
        }),
        ("one domain", |n, size| format!("/v1/domains/{}", name(n * 7919 % size))),
    ]
}

fn certificates() -> Vec<(&'static str, Question)> {
    vec![
        ("certificates, the oldest first", |_, _| "/v1/certificates".into()),
        ("certificates by their end", |_, _| "/v1/certificates?sort=not_after".into()),
        ("certificates that end soon, brought by their owners", |_, _| {
            "/v1/certificates?source=uploaded&not_after_before=2099-01-01T00:00:00Z".into()
        }),
        ("certificates of a source that has none", |_, _| "/v1/certificates?source=local".into()),
        ("certificates by name", |n, size| format!("/v1/certificates?prefix=www.c{}", &slug(n * 7919 % size)[..2])),
        ("certificates by name, of a source (rows looked at)", |_, _| "/v1/certificates?prefix=c&source=local".into()),
        ("certificates for one name", |n, size| {
            format!("/v1/certificates?name=c{}.example", slug(n * 7919 % (size / 10)))
        }),
        ("orders", |_, _| "/v1/orders".into()),
        ("orders, two hundred", |_, _| "/v1/orders?limit=200".into()),
        ("one order", |n, size| format!("/v1/orders/{}", name(n * 7919 / 10 * 10 % size))),
    ]
}

fn ledger() -> Vec<(&'static str, Question)> {
    vec![
        ("ledger, the newest first", |_, _| "/v1/audit".into()),
        ("ledger, of one who did it", |n, _| format!("/v1/audit?actor=operator:{}", WORDS[n / 2 % 6])),
        ("ledger, of an action", |n, _| {
            format!("/v1/audit?action={}", ["tenant.rename", "domain.", "member.invite"][n / 2 % 3])
        }),
        ("ledger, of an action that nobody took", |_, _| "/v1/audit?action=nothing.at.all".into()),
        ("ledger, about a subject", |n, size| format!("/v1/audit?subject={}", slug(n * 7919 % (size / 10)))),
        ("ledger, of a time", |_, _| "/v1/audit?from=2020-01-01T00:00:00Z&until=2099-01-01T00:00:00Z".into()),
        ("ledger, of a time long ago", |_, _| "/v1/audit?until=2020-01-01T00:00:00Z".into()),
        ("ledger, of one and an action of others", |n, _| {
            format!("/v1/audit?actor=operator:{}&action=domain.add", WORDS[n / 2 % 24])
        }),
        ("events", |_, _| "/v1/events?".into()),
    ]
}
