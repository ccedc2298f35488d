//! Parsing the host of a request.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use tenantry::model::Hostname;

fn hostname(c: &mut Criterion) {
    let mut group = c.benchmark_group("hostname");
    for (name, text) in [
        ("plain", "acme.connect.arythmatic.cloud"),
        ("upper case, port, dot", "ACME.Connect.Arythmatic.Cloud.:8443"),
        ("idn", "bücher.example"),
        ("punycode", "xn--bcher-kva.example"),
        ("refused", "user@acme.connect.arythmatic.cloud"),
    ] {
        group.bench_function(name, |b| b.iter(|| Hostname::parse_authority(black_box(text.as_bytes()))));
    }
    group.finish();
}

criterion_group!(benches, hostname);
criterion_main!(benches);
