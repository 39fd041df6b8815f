//! Files that commands read: a path, or `-` for standard input.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// The text of `path`; of standard input if it is `-`.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read as UTF-8 text")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("`{}` cannot be read", path.display()))
}
