//! A real Postgres server for tests, and a database of its own for each.
//!
//! The server is started once, by `.ci/postgres`, which installs the package if it is missing; the test
//! processes share it, and it ends by itself when none has used it for half a minute.
#![allow(dead_code, reason = "not every crate that shares this uses all of it")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

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

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        let used = File::create(folder.join("used")).unwrap();
        used.lock_shared().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/postgres");
        let output = Command::new("bash").arg(script).arg("start").arg(&folder).output().unwrap();
        assert!(output.status.success(), "no Postgres server for the tests: {}", String::from_utf8_lossy(&output.stderr));
        Server { url: String::from_utf8(output.stdout).unwrap().trim().to_owned(), _used: used }
    })
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
