//! The README's section for operators, line by line, as a reader would type it.

use tokio::process::Command;

use super::House;

/// The commands between the two markers, without the words beside them; and whether each is said to be refused.
fn commands() -> Vec<(String, bool)> {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("<!-- operate -->").unwrap();
    let (lines, _) = rest.split_once("<!-- end -->").unwrap();
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    let each = lines.map(|line| {
        let (command, beside) = line.split_once("  #").unwrap_or((line, ""));
        (command.trim().to_owned(), beside.contains("refused"))
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_is_right_about_operating() {
    let house = House::start("").await;
    // What `sed` and the backup work on is the site's own.
    let config = house.site.path().display().to_string();
    let mut said = Vec::new();
    for (line, refused) in commands() {
        if line.contains("pool list") {
            stop_a_backend(&house).await;
        }
        let program = env!("CARGO_BIN_EXE_tenantry");
        let line = line.replace("config/", &format!("{config}/")).replace("before.jsonl", &format!("{config}/b.jsonl"));
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("tenantry() {{ {program} \"$@\"; }}; {line}")])
            .env("TENANTRY_TOKEN", &house.token);
        let output = command.env("TENANTRY_ADMIN", format!("http://{}", house.site.admin)).output().await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.success(), !refused, "{line}: {text}\n{}", house.process.log());
        said.push(text);
    }
    let [_, _, diff, reload, _, bad, _, explain, edge, pools, upgrade, _, _, shown] = &said[..] else {
        panic!("{said:#?}")
    };
    assert!(diff.contains("a reload would change:\nplans changed: growth"), "{diff}");
    assert!(reload.contains("plans changed: growth"), "{reload}");
    assert!(bad.contains("plans.toml:4:16: default_plan: there is no plan \"fre\""), "{bad}");
    assert!(explain.contains("the route needs the feature csv_export; the tenant has it"), "{explain}");
    assert!(edge.contains("\"requests_per_second\": 50"), "{edge}");
    assert!(pools.contains("127.0.0.1:1 ") && pools.contains("false"), "{pools}");
    assert!(upgrade.contains("serves now"), "{upgrade}");
    assert!(shown.contains("active") && !shown.contains("a mistake"), "{shown}");
}

/// Puts a backend beside the other at which nobody listens, and lets visitors find out.
async fn stop_a_backend(house: &House) {
    let file = house.site.path().join("routing.toml");
    let routing = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, routing.replacen("backends = [", "backends = [\"127.0.0.1:1\", ", 1)).unwrap();
    assert_eq!(house.tenantry(&["reload"]).await.0, 0);
    for _ in 0..30 {
        assert_eq!(house.visit().await, 200, "visitors do not notice");
    }
}
