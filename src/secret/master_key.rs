//! The keys that seal everything else: where they come from and what makes one usable.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::rng::Rng;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Most keys that are taken at once: the present one and those that were replaced.
const KEYS_MAX: usize = 16;
/// Longest file of keys that is read, in bytes.
const FILE_BYTES_MAX: u64 = 8 * 1024;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const KEY_TEXT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The master keys. The first one seals; all of them open what was sealed with them.
#[derive(Clone)]
pub struct MasterKeys(Vec<MasterKey>);

/// One key of 256 bits.
#[derive(Clone)]
pub(super) struct MasterKey {
    /// Names the key without telling it: the first 8 bytes of a hash of it, as 16 hexadecimal digits.
    pub id: String,
    pub bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// Why there are no master keys. No message holds a key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// A text is no key.
    #[error("key {number} is not 32 bytes in base64; make one with `openssl rand -base64 32`")]
    Malformed {
        /// Which, from 1.
        number: usize,
    },
    /// There is none.
    #[error("there is no key; write one line with 32 bytes in base64, as `openssl rand -base64 32` makes them")]
    Empty,
    /// There are more than are ever of use.
    #[error("there are {found} keys; at most {KEYS_MAX} are taken, remove those with which nothing is sealed any more")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Others on this machine may read the file.
    #[error("`{}` can be read by others (mode {mode:03o}); run `chmod 600` on it, and if it was read by others make another key the first line", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file cannot be read or written.
    #[error("`{}` cannot be read or written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl MasterKeys {
    /// Reads keys as base64 of 32 bytes, separated by commas or line ends; lines that begin with `#`
    /// are comments.
    ///
    /// # Errors
    /// [`MasterKeyError`] with the number of the first that is none.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let keys = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|key| !key.is_empty())
            .enumerate()
            .map(|(index, key)| MasterKey::parse(key).ok_or(MasterKeyError::Malformed { number: index + 1 }))
            .collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err(MasterKeyError::Empty),
            1..=KEYS_MAX => Ok(Self(keys)),
            found => Err(MasterKeyError::TooMany { found }),
        }
    }

    /// Reads the keys of a file; none if there is no such file.
    ///
    /// # Errors
    /// [`MasterKeyError`] if it cannot be read, holds no keys, or others may read it.
    pub fn read(path: &Path) -> Result<Option<Self>, MasterKeyError> {
        let fail = |source| MasterKeyError::File { path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let mode = file.metadata().map_err(fail)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Open { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(fail)?;
        Self::parse(&text).map(Some)
    }

    /// Draws a key and writes it to a new file that only its owner may read. It is on disk when this returns.
    ///
    /// # Errors
    /// [`MasterKeyError::File`] if the file is there already or cannot be written.
    pub fn create(path: &Path, rng: &dyn Rng) -> Result<Self, MasterKeyError> {
        let fail = |source| MasterKeyError::File { path: path.to_owned(), source };
        let keys = Self::draw(rng);
        let text = Zeroizing::new(STANDARD.encode(keys.0[0].bytes.as_slice()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
        writeln!(file, "{}", text.as_str()).and_then(|()| file.sync_all()).map_err(fail)?;
        // A name that is lost in a power cut would lose the key, and with it every secret.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
        Ok(keys)
    }

    /// One key that is kept nowhere: for tests, and for servers that keep nothing.
    #[must_use]
    pub fn draw(rng: &dyn Rng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rng.fill(bytes.as_mut_slice());
        Self(vec![MasterKey::new(bytes)])
    }

    /// The names of the keys, which do not tell the keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// The key that seals.
    pub(super) fn first(&self) -> &MasterKey {
        &self.0[0]
    }

    pub(super) fn find(&self, id: &str) -> Option<&MasterKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

impl MasterKey {
    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(KEY_TEXT.decode(text).or_else(|_| KEY_TEXT_URL_SAFE.decode(text)).ok()?);
        let bytes: [u8; KEY_BYTES] = bytes.as_slice().try_into().ok()?;
        Some(Self::new(Zeroizing::new(bytes)))
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let hash = Sha256::new().chain_update(b"postrider master key id\0").chain_update(bytes.as_slice()).finalize();
        Self { id: hash[..8].iter().map(|byte| format!("{byte:02x}")).collect(), bytes }
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MasterKeys").field(&self.ids().collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    #[test]
    fn keys_are_read_from_lines_and_lists() {
        let second = STANDARD.encode([7; 32]);
        let ids = |text: &str| MasterKeys::parse(text).unwrap().ids().map(str::to_owned).collect::<Vec<_>>();
        let both = ids(&format!("{ONE},{second}"));
        assert_eq!((both.len(), &both[..1]), (2, &ids(ONE)[..]));
        assert_eq!(ids(&format!("# the present one\n{ONE}\n\n  {}  \n", second.trim_end_matches('='))), both);
        assert_eq!(ids("__________________________________________8"), ids("//////////////////////////////////////////8="));
        for (text, what) in [("", "no key"), ("# none\n", "no key"), ("geheim", "key 1"), (&format!("{ONE},AAAA"), "key 2")] {
            let error = MasterKeys::parse(text).unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("geheim") && !error.contains("AAAA"), "{text}: {error}");
        }
        assert!(matches!(MasterKeys::parse(&[ONE; 17].join(",")), Err(MasterKeyError::TooMany { found: 17 })));
    }

    #[test]
    fn a_file_is_made_for_its_owner_alone_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        assert!(MasterKeys::read(&path).unwrap().is_none());
        let made = MasterKeys::create(&path, &SeededRng::new(1)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(MasterKeys::read(&path).unwrap().unwrap().ids().collect::<Vec<_>>(), made.ids().collect::<Vec<_>>());
        assert!(matches!(MasterKeys::create(&path, &SeededRng::new(2)), Err(MasterKeyError::File { .. })), "a key is never overwritten");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = MasterKeys::read(&path).unwrap_err().to_string();
        assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_debug_form_names_keys_and_does_not_show_them() {
        let keys = MasterKeys::parse(ONE).unwrap();
        let shown = format!("{keys:?}");
        assert!(shown.contains(keys.ids().next().unwrap()) && !shown.contains("AAEC"), "{shown}");
    }
}
