//! A real Postgres server for tests, and a database of its own for each.
//!
//! The server is started once, by `.ci/postgres`, which installs the package if it is missing; the test
//! processes share it, and it ends by itself when none has used it for half a minute. A test that does
//! something to a server itself has [one of its own](OwnServer).
#![allow(dead_code, reason = "not every crate that shares this uses all of it")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

/// Where the server's files are. Not in the folder of the build: another user must reach it.
fn folder() -> PathBuf {
    let place = env!("CARGO_MANIFEST_DIR").replace('/', "-");
    std::env::temp_dir().join(format!("postrider-postgres{place}"))
}

/// The server, which stays while this process holds the lock.
struct Server {
    url: String,
    _used: File,
}

/// Has the script do something with the server of a folder; answers with what it prints.
fn script(command: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/postgres");
    let output = Command::new("bash").arg(script).arg(command).arg(folder).output().unwrap();
    assert!(output.status.success(), "no Postgres server for the tests: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn use_folder(folder: &Path) -> File {
    std::fs::create_dir_all(folder).unwrap();
    let used = File::create(folder.join("used")).unwrap();
    used.lock_shared().unwrap();
    used
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = folder();
        let used = use_folder(&folder);
        Server { url: script("start", &folder), _used: used }
    })
}

/// A server that one test has for itself.
#[derive(Debug)]
pub struct OwnServer {
    folder: TempDir,
    _used: File,
    /// The address of its database, with the password.
    pub url: String,
}

impl OwnServer {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let used = use_folder(folder.path());
        let url = script("start", folder.path());
        Self { folder, _used: used, url }
    }

    /// Where its files are; those of the database are in `data`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops it in order; it can be started again.
    pub fn stop(&self) {
        script("stop", self.folder.path());
    }

    /// Kills it.
    pub fn crash(&self) {
        script("crash", self.folder.path());
    }

    /// Starts it again, at the same address.
    pub fn start_again(&self) {
        assert_eq!(script("start", self.folder.path()), self.url);
    }

    /// Runs statements in it; the first column of the last rows.
    pub fn run(&self, statements: &str) -> Vec<String> {
        run(&self.url, statements)
    }

    /// Writes a file into its folder of data, as its own user and for nobody else.
    pub fn write_file(&self, name: &str, text: &str) {
        self.run(&format!("COPY (SELECT unnest(string_to_array($file${text}$file$, E'\\n'))) TO PROGRAM 'umask 077; cat > {name}'"));
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        script("stop", self.folder.path());
    }
}

/// Runs statements on a thread of their own, so that any test may call it. The first column of the last rows.
fn run(url: &str, statements: &str) -> Vec<String> {
    let (url, statements) = (url.to_owned(), statements.to_owned());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let messages = client.simple_query(&statements).await.unwrap();
            let rows = messages.into_iter().filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
                _ => None,
            });
            rows.collect()
        })
    })
    .join()
    .unwrap()
}

/// An empty database, which goes when this is dropped.
#[derive(Debug)]
pub struct Database {
    name: String,
    /// Its address, with the password.
    pub url: String,
}

impl Database {
    pub fn create() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let server = server();
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        run(&server.url, &format!("CREATE DATABASE {name}"));
        let url = server.url.strip_suffix("/postgres").unwrap().to_owned() + "/" + &name;
        Self { name, url }
    }

    /// The password in its address.
    pub fn password(&self) -> String {
        self.url.split([':', '@']).nth(2).unwrap().to_owned()
    }

    /// Its address through a pooler that gives every transaction another connection.
    pub fn pooled_url(&self) -> String {
        let address = script("pooler", &folder());
        address.strip_suffix("/postgres").unwrap().to_owned() + "/" + &self.name
    }

    /// The host and port of the server itself.
    pub fn place(&self) -> &str {
        self.url.rsplit_once('@').unwrap().1.split('/').next().unwrap()
    }

    /// Its address without the password.
    pub fn without_password(&self) -> String {
        self.url.replace(&format!(":{}@", self.password()), "@")
    }

    /// Ends all connections and lets nobody in, or lets them in again.
    pub fn lock_out(&self, locked: bool) {
        let name = &self.name;
        run(&server().url, &format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS {}", !locked));
        if locked {
            run(&server().url, &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
        }
    }

    /// Runs statements in it.
    pub fn run(&self, statements: &str) -> Vec<String> {
        run(&self.url, statements)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            run(&server().url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
