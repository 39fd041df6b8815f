//! The embedded files.

/// One file, with what a browser needs to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its path, without a leading slash.
    pub path: &'static str,
    /// The value of `Content-Type`.
    pub media_type: &'static str,
    /// Hash of the content in hex; changes when the content does.
    pub hash: &'static str,
    /// The content.
    pub plain: &'static [u8],
    /// The content compressed with gzip; empty if there is no such copy.
    pub gzip: &'static [u8],
    /// The content compressed with brotli; empty if there is no such copy.
    pub brotli: &'static [u8],
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// All files; at least `index.html`.
#[must_use]
pub fn files() -> &'static [File] {
    FILES
}
