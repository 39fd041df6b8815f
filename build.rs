//! Builds the dashboard and hands its files to `src/dashboard/`, which embeds them.
//!
//! Where Node.js is missing, or with `POSTRIDER_SKIP_DASHBOARD=1`, one plain page takes its place that says
//! how to get it. A dashboard that cannot be built never fails the build of the program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// What the dashboard is made from. Nothing else makes it be built again; `node_modules` above all not.
const SOURCES: [&str; 7] = ["src", "scripts", "index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=POSTRIDER_SKIP_DASHBOARD");
    if env::var_os("CARGO_FEATURE_DASHBOARD").is_none() {
        return;
    }
    let sources = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("dashboard");
    for name in SOURCES {
        println!("cargo:rerun-if-changed={}", sources.join(name).display());
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let table = match build(&sources, &out.join("dashboard")) {
        Ok(table) => table,
        Err(missing) => {
            // Cargo does not notice that Node.js was installed.
            println!(
                "cargo:warning=the dashboard is not part of this build: {missing}; when that is mended, `touch build.rs` and build again"
            );
            plain_page(&out, &missing)
        }
    };
    fs::write(out.join("dashboard.rs"), table).expect("OUT_DIR can be written");
}

/// Builds the dashboard into `built`; gives the table of its files, or why there are none.
fn build(sources: &Path, built: &Path) -> Result<String, String> {
    if env::var_os("POSTRIDER_SKIP_DASHBOARD").is_some_and(|value| value == "1") {
        return Err("POSTRIDER_SKIP_DASHBOARD=1 is set".into());
    }
    if !sources.join("package.json").exists() {
        return Err("its sources are not here, only in the repository".into());
    }
    let node = Command::new("node").arg("--version").stderr(Stdio::null()).output();
    let version = node.ok().filter(|output| output.status.success()).map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let Some(version) = version else {
        return Err("Node.js is not installed; install version 20.19 or later with npm".into());
    };
    install(sources).map_err(|reason| format!("`npm ci` failed: {reason}"))?;
    npm(sources, &["run", "build"], built).map_err(|reason| format!("`npm run build` failed with Node.js {}: {reason}", version.trim()))?;
    table(built).map_err(|error| format!("what `npm run build` wrote cannot be read: {error}"))
}

/// Installs the packages of the lock file, unless these very ones are there.
fn install(sources: &Path) -> Result<(), String> {
    let lock = fs::read(sources.join("package-lock.json")).map_err(|error| error.to_string())?;
    // Written after a complete installation, so that one that was broken off is made again.
    let stamp = sources.join("node_modules/.installed-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    npm(sources, &["ci", "--ignore-scripts"], sources)?;
    fs::write(stamp, lock).map_err(|error| error.to_string())
}

fn npm(sources: &Path, arguments: &[&str], built: &Path) -> Result<(), String> {
    let output = Command::new("npm")
        .args(arguments)
        .current_dir(sources)
        .env("POSTRIDER_DASHBOARD_OUT", built)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("npm warn")).collect();
    Err(lines[lines.len().saturating_sub(6)..].join("; "))
}

/// The files of `files.tsv` (path, media type, hash) as Rust.
fn table(built: &Path) -> io::Result<String> {
    let mut table = String::from("&[\n");
    for line in fs::read_to_string(built.join("files.tsv"))?.lines() {
        let [path, media_type, hash] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(io::Error::other(format!("`{line}` has not three parts")));
        };
        let file = built.join(path).display().to_string();
        let (gzip, brotli) = (format!("{file}.gz"), format!("{file}.br"));
        writeln!(
            table,
            "File {{ path: {path:?}, media_type: {media_type:?}, hash: {hash:?}, plain: include_bytes!({file:?}), \
             gzip: include_bytes!({gzip:?}), brotli: include_bytes!({brotli:?}) }},",
        )
        .expect("writing to a string cannot fail");
    }
    table.push(']');
    Ok(table)
}

/// One page that says what is missing and how to get it.
fn plain_page(out: &Path, missing: &str) -> String {
    let missing = missing.replace('&', "&amp;").replace('<', "&lt;");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Postrider</title>\n</head>\n<body>\n\
         <h1>Postrider runs, without its dashboard</h1>\n<p>The dashboard is not part of this build: {missing}.</p>\n\
         <p>With Node.js 20.19 or later and npm on the path, <code>touch build.rs</code> and <code>cargo build --release</code> build and\n\
         embed it.</p>\n\
         <p>Everything that it does is also in the REST API under <code>/v1</code>.</p>\n</body>\n</html>\n"
    );
    let file = out.join("plain.html");
    fs::write(&file, &page).expect("OUT_DIR can be written");
    let file = file.display().to_string();
    let hash = page.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!(
        "&[File {{ path: \"index.html\", media_type: \"text/html; charset=utf-8\", hash: \"{hash:016x}\", \
         plain: include_bytes!({file:?}), gzip: b\"\", brotli: b\"\" }}]"
    )
}
