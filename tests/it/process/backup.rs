//! A backup and a restore while the process serves, from the command line.

use std::os::unix::fs::PermissionsExt;

use super::{House, until};
use crate::support::postgres::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_running_process_is_backed_up_restored_and_copied() {
    let house = House::start("").await;
    let config = house.site.path().display().to_string();
    let file = house.site.path().join("backup.jsonl").display().to_string();
    let good = async |arguments: &[&str]| {
        let (code, said) = house.tenantry(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    };
    let served = async || house.visit().await == 200;
    until("it is served", served).await;
    assert!(good(&["backup", "-c", &config, &file]).await.contains("rows in"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    good(&["tenant", "suspend", "acme"]).await;
    until("it is suspended", async || !served().await).await;
    let (code, said) = house.tenantry(&["restore", "-c", &config, &file]).await;
    assert!(code == 1 && said.contains("not empty"), "{said}");
    assert!(!served().await);
    assert!(good(&["restore", "-c", &config, &file, "--replace"]).await.contains("are in the store, at revision"));
    until("it is served again, by the process that runs", served).await;
    // And on from there.
    good(&["tenant", "suspend", "acme"]).await;
    until("it is suspended once more", async || !served().await).await;
    let copy = format!("sqlite:{}", house.site.path().join("copy.db").display());
    assert!(good(&["store", "copy", "-c", &config, "--to", &copy]).await.contains("change store.url"));
    let (code, said) = house.tenantry(&["store", "copy", "-c", &config, "--to", &copy]).await;
    assert!(code == 1 && said.contains("not empty"), "{said}");
    // To the other engine: what arrives is what was there.
    let fleet = Server::shared().database().await;
    assert!(good(&["store", "copy", "-c", &config, "--to", &fleet]).await.contains("change store.url"));
    let (code, said) = house.tenantry(&["store", "copy", "-c", &config, "--to", &fleet]).await;
    assert!(code == 1 && said.contains("not empty"), "{said}");
    let (code, said) = house.tenantry(&["restore", "-c", &config, "/nowhere"]).await;
    assert!(code == 1 && said.contains("/nowhere: "), "{said}");
    let (code, said) = house.tenantry(&["backup", "-c", &config, "/nowhere/at-all"]).await;
    assert!(code == 1 && said.contains("/nowhere/at-all.part: "), "{said}");
}
