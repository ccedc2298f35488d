//! x
use tenantry::config::Config;
#[test]
fn shipped() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    match Config::load(&dir) {
        Ok(c) => println!("{c:#?}"),
        Err(e) => panic!("{e}"),
    }
}
