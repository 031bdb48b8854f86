//! The query of a list or watch -> the two of its options that change what a request is.
//!
//! Mirrors Go's `url.ParseQuery` and the decoding of `ListOptions` (apimachinery, `pkg/runtime` and
//! `pkg/apis/meta/internalversion`): one option that cannot be read, and only `watch` counts.

use std::borrow::Cow;

use super::selectors;

/// Query of a request target: what stands behind the first `?`.
pub(super) fn of(target: &[u8]) -> &[u8] {
    let start = target.iter().position(|byte| *byte == b'?').map_or(target.len(), |at| at + 1);
    target.get(start..).unwrap_or_default()
}

/// What of a list's options a server reads before it knows the resource.
pub(super) struct ListOptions {
    pub(super) watch: bool,
    /// The one name that the field selector asks for, if it may stand in a path.
    pub(super) name: Option<Vec<u8>>,
}

impl ListOptions {
    pub(super) fn read(query: &[u8]) -> Self {
        let watch = first(query, b"watch")
            .is_some_and(|value| !(*value == *b"0" || value.eq_ignore_ascii_case(b"false")));
        let name = first(query, b"fieldSelector")
            .and_then(|selector| selectors::exact_name(&selector))
            .filter(|name| !matches!(name.as_slice(), b"." | b".."))
            .filter(|name| !name.iter().any(|byte| matches!(byte, b'/' | b'%')))
            .filter(|_| the_rest_is_fine(query));
        Self { watch, name }
    }
}

fn the_rest_is_fine(query: &[u8]) -> bool {
    let is_number =
        |name: &[u8]| first(query, name).is_none_or(|value| selectors::is_int64(&value));
    is_number(b"limit")
        && is_number(b"timeoutSeconds")
        && first(query, b"labelSelector").is_none_or(|value| selectors::is_label_selector(&value))
}

/// First value of a parameter. Go drops a part that holds a `;` or cannot be decoded.
fn first<'a>(query: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    query.split(|byte| *byte == b'&').filter(|part| !part.contains(&b';')).find_map(|part| {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let key = unescaped(halves.next().filter(|_| !part.is_empty())?)?;
        let value = unescaped(halves.next().unwrap_or_default())?;
        (*key == *name).then_some(value)
    })
}

fn unescaped(part: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !part.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Some(Cow::Borrowed(part));
    }
    let spaced: Vec<u8> =
        part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    crate::request::unescaped(&spaced).map(|bytes| Cow::Owned(bytes.into_owned()))
}
