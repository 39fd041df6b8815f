//! Ids that are made of names, so that the same report is the same lead.

use ring::digest;
use uuid::{Builder, Uuid};

/// The id of the lead that an advertiser calls `name`: a name-based UUID in `namespace`.
///
/// Source: RFC 9562, section 5.5 (version 5). SHA-1 is what the version is defined by; nothing rests on its strength, since only
/// the advertiser itself chooses names in its namespace.
#[must_use]
pub fn lead_id(namespace: Uuid, name: &str) -> Uuid {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(namespace.as_bytes());
    context.update(name.as_bytes());
    let digest = context.finish();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    Builder::from_sha1_bytes(bytes).into_uuid()
}

/// A random UUID of these bits.
///
/// Source: RFC 9562, section 5.4 (version 4).
#[must_use]
pub fn random_uuid(bits: [u8; 16]) -> Uuid {
    Builder::from_random_bytes(bits).into_uuid()
}

/// A UUID in order of time: of the moment `unix_ms` and these random bits.
///
/// Source: RFC 9562, section 5.7 (version 7).
#[must_use]
pub fn timed_uuid(unix_ms: u64, bits: [u8; 10]) -> Uuid {
    Builder::from_unix_timestamp_millis(unix_ms, &bits).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_is_the_name_based_uuid_of_the_standard() {
        // The name-based UUID of `www.example.com` in the namespace of domain names: RFC 9562, appendix A.4.
        let dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8".parse().unwrap();
        assert_eq!(lead_id(dns, "www.example.com").to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }

    #[test]
    fn drawn_ids_have_their_version() {
        assert_eq!(random_uuid([7; 16]).get_version_num(), 4);
        let (earlier, later) = (timed_uuid(1_700_000_000_000, [255; 10]), timed_uuid(1_700_000_000_001, [0; 10]));
        assert_eq!(earlier.get_version_num(), 7);
        assert!(earlier.to_string() < later.to_string());
    }
}
