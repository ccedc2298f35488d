//! The table's CPU figures as bars, in an SVG that suits light and dark pages.

use std::fmt::Write as _;

use super::loads::Load;
use super::report::{Report, count};

const WIDTH: usize = 860;
const NAMES: usize = 270;
const ROW: usize = 20;
const TITLE: usize = 34;

/// The loads that are drawn: those of which a request's CPU time says something.
const DRAWN: [Load; 6] = [Load::Http1, Load::Http2, Load::Full, Load::Resumed, Load::Bodies, Load::WebSocket];

pub fn draw(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 30;
    for load in DRAWN {
        draw_load(report, load, &mut body, &mut y);
    }
    let machine = format!(
        "{} x {}, one core for the server; {}",
        count(report.machine["cores"].as_u64().unwrap_or(0)),
        report.machine["cpu"].as_str().unwrap_or_default(),
        report.taken.as_str().unwrap_or_default()
    );
    let height = y + 26;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif" font-size="13">
<style>
text {{ fill: #1f2328; }} .quiet {{ fill: #59636e; font-size: 12px; }} .title {{ font-weight: 600; }}
.ours {{ fill: #0969da; }} .theirs {{ fill: #afb8c1; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }} .quiet {{ fill: #9198a1; }} .ours {{ fill: #4493f8; }} .theirs {{ fill: #59636e; }}
}}
</style>
<text x="0" y="14" class="title">CPU of the server for each, in µs (less is better)</text>
{body}<text x="0" y="{}" class="quiet">{}</text>
</svg>
"#,
        y + 18,
        escape(&machine)
    )
}

fn draw_load(report: &Report, load: Load, body: &mut String, y: &mut usize) {
    let bars: Vec<(&str, f64)> =
        report.of(load).filter_map(|series| Some((report.servers[series.server].0.as_str(), series.cpu()?))).collect();
    let most = bars.iter().map(|(_, cpu)| *cpu).fold(0.0, f64::max);
    if bars.is_empty() || most <= 0.0 {
        return;
    }
    *y += TITLE;
    let _ = writeln!(body, r#"<text x="0" y="{}" class="title">{}</text>"#, *y - 12, escape(load.name()));
    for (name, cpu) in bars {
        let width = cpu / most * (WIDTH - NAMES - 70) as f64;
        let class = if name.starts_with("Tenantry") { "ours" } else { "theirs" };
        let (middle, value) = (*y + 11, NAMES as f64 + width + 6.0);
        let _ = writeln!(body, r#"<text x="0" y="{middle}">{}</text>"#, escape(name));
        let _ = writeln!(body, r#"<rect class="{class}" x="{NAMES}" y="{y}" width="{width:.1}" height="14" rx="2"/>"#);
        let _ = writeln!(body, r#"<text x="{value:.1}" y="{middle}" class="quiet">{cpu:.1}</text>"#);
        *y += ROW;
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
