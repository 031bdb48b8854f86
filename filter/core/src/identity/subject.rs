//! A certificate's subject -> the attributes that mean something to Kubernetes, as Go's
//! `pkix.Name.FillFromRDNSequence` takes them. One attribute that Go cannot read spoils the whole.

use super::der::{Reader, tag};
use super::text::text;

/// 1.3.6.1.4.1.57683.2, Kubernetes' own attribute for the UID of a user.
pub(super) const UID: &[u8] = b"\x2b\x06\x01\x04\x01\x83\xc2\x53\x02";
/// 2.5.4.3
const COMMON_NAME: &[u8] = b"\x55\x04\x03";
/// 2.5.4.10
const ORGANIZATION: &[u8] = b"\x55\x04\x0a";

#[derive(Default)]
pub(super) struct Subject {
    /// The last one; empty when there is none.
    pub(super) common_name: String,
    pub(super) organizations: Vec<String>,
    pub(super) uids: Vec<String>,
}

impl Subject {
    /// Reads what is inside of a Name.
    pub(super) fn read(mut name: Reader<'_>) -> Option<Self> {
        let mut subject = Self::default();
        while !name.is_finished() {
            let mut set = name.open(tag::SET)?;
            while !set.is_finished() {
                let mut attribute = set.open(tag::SEQUENCE)?;
                let kind = attribute.inside(tag::OBJECT_IDENTIFIER)?;
                let (tag, value) = attribute.element()?;
                let value = text(tag, value)?;
                match kind {
                    COMMON_NAME => subject.common_name = value,
                    ORGANIZATION => subject.organizations.push(value),
                    UID => subject.uids.push(value),
                    _ => {}
                }
            }
        }
        Some(subject)
    }
}
