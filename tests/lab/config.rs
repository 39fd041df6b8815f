//! `postrider config`: mistakes with their places, values with their origins, the schema.

use std::path::Path;

use crate::program::{Files, run, run_in};

#[test]
fn config_check_tells_every_mistake_and_serve_tells_the_same() {
    let files = Files::new();
    let file = files.write("postrider.toml", "retention_day = 7\n\nlog = \"loud,x=y=z\"\nstore = \"mysql:x\"\ndeny_hosts = [\"*.*\"]\n");
    let variables = [("POSTRIDER_EGRESS_PROXY", "socks5://user:geheim@proxy.example"), ("POSTRIDER_LISTN", "x")];
    let check = run_in(&["config", "check", "--config", &file, "--listen", "here"], &variables);
    let lines: Vec<&str> = check.out.lines().collect();
    assert_eq!(check.code, 1, "{}", check.out);
    for (place, words) in [
        ("postrider.toml:1: ", "did you mean `retention_days`?"),
        ("postrider.toml:3: ", "the setting `log` is wrong"),
        ("postrider.toml:4: ", "the setting `store` is wrong"),
        ("postrider.toml:5: ", "the setting `deny_hosts` is wrong"),
        ("error: POSTRIDER_EGRESS_PROXY: ", "the setting `egress_proxy` is wrong"),
        ("error: --listen: ", "such as"),
        ("warning: POSTRIDER_LISTN: ", "did you mean `listen`?"),
    ] {
        assert!(lines.iter().any(|line| line.contains(place) && line.contains(words)), "{place}{words}: {}", check.out);
    }
    assert_eq!(lines.len(), 7, "{}", check.out);
    let as_json = run_in(&["config", "check", "--json", "--config", &file, "--listen", "here"], &variables);
    let told = as_json.json();
    assert_eq!((as_json.code, &told["ok"], told["errors"].as_array().unwrap().len()), (1, &false.into(), 6));
    let log = told["errors"].as_array().unwrap().iter().find(|one| one["setting"] == "log").unwrap();
    assert_eq!((&log["from"], &log["line"], &log["file"]), (&"file".into(), &3.into(), &file.as_str().into()));
    let serve = run_in(&["serve", "--config", &file, "--listen", "here"], &variables);
    assert_eq!(serve.code, 2);
    for line in lines.iter().filter_map(|line| line.strip_prefix("error: ")) {
        assert!(serve.err.contains(line), "`{line}` is not in {}", serve.err);
    }
    for text in [check.out, check.err, as_json.out, serve.err] {
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[test]
fn config_show_tells_where_each_value_comes_from_and_masks_secrets() {
    let files = Files::new();
    let file = files.write("postrider.toml", "# comment\ndrain_s = 3\nports = [80]\n");
    let variables = [("POSTRIDER_EGRESS_PROXY", "http://user:geheim@proxy.example:3128"), ("POSTRIDER_MASTER_KEY", "geheim")];
    let shown = run_in(&["config", "show", "--config", &file, "--allow-private"], &variables);
    assert_eq!(shown.code, 0, "{}", shown.err);
    let line = |name: &str| {
        let line = shown.out.lines().find(|line| line.starts_with(&format!("{name} ="))).unwrap_or_else(|| panic!("no {name}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("drain_s"), format!("drain_s = 3 # {file}:2"));
    assert_eq!(line("allow_private"), "allow_private = true # --allow-private");
    assert_eq!(line("egress_proxy"), "egress_proxy = \"http://(secret)@proxy.example:3128\" # POSTRIDER_EGRESS_PROXY");
    assert_eq!(line("retention_days"), "retention_days = 30 # default");
    let json = run_in(&["config", "show", "--json", "--config", &file], &variables);
    let told = json.json();
    assert_eq!((&told["ports"]["value"][0], &told["ports"]["line"]), (&80.into(), &3.into()));
    assert_eq!((&told["master_key"]["value"], &told["master_key"]["name"]), (&"(secret)".into(), &"POSTRIDER_MASTER_KEY".into()));
    assert!(!format!("{}{}{}", shown.out, json.out, json.err).contains("geheim"));
    assert_eq!(run(&["config", "check"]).code, 0);
}

#[test]
fn the_committed_schema_is_the_programs_and_the_page_has_every_setting() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let schema = run(&["config", "schema"]);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(docs.join("settings.schema.json"), &schema.out).unwrap();
    }
    let committed = std::fs::read_to_string(docs.join("settings.schema.json")).unwrap_or_default();
    assert!(committed == schema.out, "docs/settings.schema.json is behind the program; run this test with UPDATE_DOCS=1");
    let page = std::fs::read_to_string(docs.join("settings.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|row| row.split_once(" |")).map(|row| row.0).collect();
    for name in schema.json()["properties"].as_object().unwrap().keys() {
        assert!(rows.iter().any(|row| row.contains(&format!("`{name}`"))), "docs/settings.md has no row for `{name}`");
    }
}
