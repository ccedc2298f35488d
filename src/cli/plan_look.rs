//! How a tenant's plan, and what a change of it would do, look in a terminal.

use serde_json::Value;

use super::output;

/// The plan that holds for a tenant.
pub fn state(found: &Value) {
    let cell = |pointer: &str| output::cell(found, pointer);
    let from = match cell("/from").as_str() {
        "own" => "its own".to_owned(),
        "parent" => format!("that of {}", cell("/tenant")),
        _ => "the catalogue's default".to_owned(),
    };
    let title = match found["title"].is_null() {
        true => "the catalogue has it no more".to_owned(),
        false => cell("/title"),
    };
    let period = match cell("/period/from").as_str() {
        "billing" => cell("/period/ends"),
        _ => format!("{} (calendar month)", cell("/period/ends")),
    };
    let mut change = change(&found["change"]);
    match found["change_waits_for"].as_str() {
        None => {}
        Some("plan-not-in-catalogue") => change.push_str(", which waits: the catalogue has no such plan"),
        Some("no-parent") => change.push_str(", which waits: there is no parent any more"),
        Some(other) => change.push_str(&format!(", which waits: {other}")),
    }
    output::answer(&output::lines(&[
        ("plan", format!("{} ({title})", cell("/plan"))),
        ("from", from),
        ("change", change),
        ("period ends", period),
        ("features", cell("/features")),
    ]));
    let row = |cap: &Value| {
        let over = list(found, "over_cap").any(|over| over["cap"] == cap["cap"]);
        vec![output::cell(cap, "/cap"), number(&cap["used"], "-"), number(&cap["limit"], "unlimited"), over_word(over)]
    };
    let rows: Vec<_> = list(found, "caps").map(row).collect();
    output::answer(&output::table(&["CAP", "USED", "LIMIT", ""], &rows));
}

/// What a change would do.
pub fn preview(found: &Value) {
    let cell = |pointer: &str| output::cell(found, pointer);
    let when = match found["at_once"] == true {
        true => "at once".to_owned(),
        false => cell("/takes_effect"),
    };
    let children = match (cell("/children/tenants").as_str(), found["children"]["or_more"] == true) {
        ("0", _) => String::new(),
        (tenants, true) => format!("{tenants} tenants beneath it, or more, are reached"),
        (tenants, false) => format!("{tenants} tenants beneath it are reached"),
    };
    let opened: Vec<_> = list(found, "routes_opened").map(route).collect();
    let closed: Vec<_> = list(found, "routes_closed").map(route).collect();
    output::answer(&output::lines(&[
        ("plan", format!("{} -> {} ({})", cell("/from"), cell("/to"), cell("/direction"))),
        ("takes effect", when),
        ("drops", change(&found["drops"])),
        ("gains", list(found, "features_gained").map(|it| output::cell(it, "/feature")).collect::<Vec<_>>().join(", ")),
        ("opens", opened.join(", ")),
        ("closes", closed.join(", ")),
        ("children", children),
    ]));
    for lost in list(found, "features_lost") {
        let in_use = lost["in_use"].as_object().into_iter().flatten();
        let in_use: Vec<_> = in_use.map(|(kind, n)| format!("{n} {}", kind.replace('_', " "))).collect();
        let in_use = if in_use.is_empty() { String::new() } else { format!(" ({})", in_use.join(", ")) };
        let until = output::cell(lost, "/until");
        let until = if until.is_empty() { until } else { format!(" [until {until}]") };
        let (feature, then) = (output::cell(lost, "/feature"), output::cell(lost, "/then"));
        output::answer(&format!("loses {feature}{in_use}: {then}{until}\n"));
    }
    let caps = list(found, "caps").map(|cap| {
        let (before, after) = (number(&cap["before"], "unlimited"), number(&cap["after"], "unlimited"));
        vec![output::cell(cap, "/cap"), number(&cap["used"], "-"), before, after, over_word(cap["over"] == true)]
    });
    let limits = list(found, "limits").filter(|limit| limit["before"] != limit["after"]).map(|limit| {
        let (before, after) = (number(&limit["before"], "none"), number(&limit["after"], "none"));
        vec![output::cell(limit, "/limit"), "-".to_owned(), before, after, String::new()]
    });
    let rows: Vec<_> = caps.chain(limits).collect();
    output::answer(&output::table(&["CAP OR LIMIT", "USED", "BEFORE", "AFTER", ""], &rows));
}

/// `free at 2026-12-01T00:00:00Z`; nothing for none.
pub fn change(change: &Value) -> String {
    if change.is_null() {
        return String::new();
    }
    let plan = if change["plan"].is_null() { "its parent's".to_owned() } else { output::cell(change, "/plan") };
    format!("{plan} at {}", output::cell(change, "/at"))
}

fn route(route: &Value) -> String {
    let path = ["/path", "/path_prefix", "/path_regex"].map(|at| output::cell(route, at)).concat();
    let words = [output::cell(route, "/methods"), path, format!("({})", output::cell(route, "/route"))];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn list<'v>(found: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    found[key].as_array().into_iter().flatten()
}

fn number(value: &Value, none: &str) -> String {
    if value.is_null() { none.to_owned() } else { value.to_string() }
}

fn over_word(over: bool) -> String {
    if over { "over: what there is stays, no more can be added".to_owned() } else { String::new() }
}
