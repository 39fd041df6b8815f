//! Completions, the manual, and the page about the lab.

use std::path::Path;
use std::process::Command;

use crate::program::{Files, run};

/// The names that `postrider --help` lists.
fn commands() -> Vec<String> {
    let help = run(&["--help"]).out;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<String> = names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect();
    assert!(names.len() > 8 && names.contains(&"simulate".to_owned()), "{names:?}");
    names
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, 0, "{shell}: {}", script.err);
        for command in commands() {
            assert!(script.out.contains(&command), "{shell} does not know `{command}`");
        }
        assert!(script.out.contains("subscription"), "{shell} knows no flags");
    }
    assert_eq!(run(&["completions", "cmd"]).code, 2);
}

#[test]
fn the_manual_has_every_command() {
    let page = run(&["man"]);
    assert_eq!(page.code, 0, "{}", page.err);
    assert!(page.out.contains(".TH postrider 1") && !page.out.contains("EXTRA"));
    let files = Files::new();
    let folder = files.path("man1");
    assert_eq!(run(&["man", "--dir", folder.to_str().unwrap()]).code, 0);
    for command in commands() {
        assert!(page.out.contains(&format!(".SH POSTRIDER {}\n", command.to_uppercase())), "`{command}` is not in the page");
        let own = std::fs::read_to_string(folder.join(format!("postrider-{command}.1"))).unwrap();
        assert!(own.contains(".SH SYNOPSIS") && own.contains(&format!("postrider {command}")), "{own}");
    }
    assert!(folder.join("postrider-template-render.1").exists() && folder.join("postrider.1").exists());
    assert!(page.out.contains("\n.nf\nExamples:\n"), "examples keep their lines");
}

/// Every command of the page that needs neither a server nor a receiver runs as it stands.
#[test]
fn the_commands_of_the_page_work_as_they_stand() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/local-lab.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines: Vec<&str> = blocks.flat_map(str::lines).filter(|line| line.contains("postrider ") && !line.starts_with('#')).collect();
    let needs_more = |line: &str| {
        ["postrider listen", "postrider serve", "postrider trigger"].iter().any(|part| line.contains(part))
            || line.contains("--allow-private")
    };
    let folder = Path::new(env!("CARGO_BIN_EXE_postrider")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut count = 0;
    for line in lines.into_iter().filter(|line| !needs_more(line)) {
        let run = Command::new("sh").args(["-c", line]).env("PATH", &path).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(run.status.success(), "{line}\n{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        count += 1;
    }
    assert_eq!(count, 8, "commands of the page");
}
