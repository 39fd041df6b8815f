//! Passwords that do not stand in the address: from the variable `PGPASSWORD`, or from a password file.
//!
//! Source: PostgreSQL documentation, "Environment Variables" and "The Password File".

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::address::AddressError;
use crate::secret::Secret;

/// Where a password is looked for if the address holds none.
#[derive(Debug, Clone, Default)]
pub struct PasswordSources {
    /// The password itself; it is looked at first.
    pub password: Option<Secret>,
    /// A file with a line `host:port:database:user:password` for each.
    pub file: Option<PathBuf>,
}

/// For whom a password is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

impl PasswordSources {
    /// The variables `PGPASSWORD` and `PGPASSFILE`, and without the latter `~/.pgpass`.
    #[must_use]
    pub fn of_the_environment() -> Self {
        let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
        let usual = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass"));
        Self { password: std::env::var("PGPASSWORD").ok().map(Secret::new), file: named.or_else(usual) }
    }

    /// The password of a login, if there is one.
    pub(super) fn find(&self, login: Login<'_>) -> Result<Option<Secret>, AddressError> {
        match (&self.password, &self.file) {
            (Some(password), _) => Ok(Some(password.clone())),
            (None, Some(file)) => Ok(read(file)?.and_then(|text| find(text.expose(), login))),
            (None, None) => Ok(None),
        }
    }
}

/// The text of a password file; none if there is no such file.
fn read(path: &Path) -> Result<Option<Secret>, AddressError> {
    let shown = path.display();
    let fail = |error: io::Error| AddressError::passwords(format!("`{shown}` cannot be read: {error}"));
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let metadata = file.metadata().map_err(fail)?;
    // A device or a folder in its place holds none.
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(AddressError::passwords(format!("`{shown}` can be read by others; run `chmod 600` on it")));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(fail)?;
    Ok(Some(Secret::new(text)))
}

/// The password in the first line that fits.
fn find(text: &str, login: Login<'_>) -> Option<Secret> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.database, login.user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let fits = fields.len() == 5 && wanted.iter().zip(&fields).all(|(wanted, field)| field == "*" || field == wanted);
        fits.then(|| Secret::new(fields[4].as_str()))
    })
}

/// The parts between colons; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(characters.next())),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    const LOGIN: Login<'_> = Login { host: "db.example", port: 5432, database: "d", user: "u" };

    fn found(text: &str) -> Option<String> {
        find(text, LOGIN).map(|password| password.expose().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        assert_eq!(found("# all\nother:5432:d:u:no\n*:5432:*:u:a:b\\\\c\ndb.example:5432:d:u:late\n").unwrap(), "a:b\\c");
        assert_eq!(found("db.example:5433:d:u:no\ndb.example:5432:d:v:no\ndb.example:*:d:u:yes").unwrap(), "yes");
        assert_eq!(find("\\:\\:1:5432:d:u:yes", Login { host: "::1", ..LOGIN }).unwrap().expose(), "yes");
        for none in ["", "#*:*:*:*:no", "*:*:*:*", "db.example"] {
            assert_eq!(found(none), None, "{none}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let sources = PasswordSources { password: None, file: Some(path.clone()) };
        assert_eq!(sources.find(LOGIN).unwrap(), None, "there is none");
        let write = |mode| File::options().write(true).create_new(true).mode(mode).open(&path).unwrap();
        io::Write::write_all(&mut write(0o600), b"*:*:*:*:geheim").unwrap();
        assert_eq!(sources.find(LOGIN).unwrap(), Some(Secret::new("geheim")));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = sources.find(LOGIN).unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains("geheim"), "{refused}");
        let first = PasswordSources { password: Some(Secret::new("first")), ..sources };
        assert_eq!(first.find(LOGIN).unwrap(), Some(Secret::new("first")), "the file is not even read");
    }
}
