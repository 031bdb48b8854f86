//! The documents of one group-version of several servers -> one that has all of it.
//!
//! Values are left as they are written: reading a large document costs little that way, and no number
//! in it changes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::discovery::DiscoveryError;
use crate::merge::Text;
use crate::merge::go_json;

/// Most members of one object: each is compared with all others. The largest group-version of a
/// kube-apiserver has some 200 paths.
const MAX_MEMBERS: usize = 5_000;

/// Each member's name, in the order of the document, and its value as JSON.
struct Object<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'a> Object<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find_map(|(known, value)| (**known == *name).then_some(*value))
    }
}

/// What holds paths and schemas, and how many levels below it members are united.
const UNITED: [(&str, u32); 2] = [("paths", 1), ("components", 2)];

/// The paths and the components of all documents; of what several have, the first's. Everything else
/// is the first's. Fails when one of them is no OpenAPI document in JSON: what it has would be missing.
pub(super) fn united(documents: &[&[u8]]) -> Result<Vec<u8>, DiscoveryError> {
    let mut json = Vec::new();
    unite(documents, Levels::Document, &mut json)?;
    Ok(json)
}

/// How many levels below a member the members are united too.
#[derive(Clone, Copy)]
enum Levels {
    /// Those of [`UNITED`].
    Document,
    Below(u32),
}

impl Levels {
    fn below(self, name: &str) -> u32 {
        match self {
            Self::Document => {
                let found = UNITED.iter().find(|(united, _)| *united == name);
                found.map_or(0, |(_, levels)| *levels)
            }
            Self::Below(levels) => levels.saturating_sub(1),
        }
    }
}

/// Unites objects by name.
fn unite(objects: &[&[u8]], levels: Levels, out: &mut Vec<u8>) -> Result<(), DiscoveryError> {
    let read = objects.iter().map(|object| serde_json::from_slice(object));
    let objects: Vec<Object<'_>> = read.collect::<Result<_, _>>()?;
    let mut all = go_json::Object::begin(out);
    for (at, object) in objects.iter().enumerate() {
        let (before, _) = objects.split_at(at);
        for (name, value) in &object.0 {
            if before.iter().any(|object| object.get(name).is_some()) {
                continue;
            }
            let out = all.field(name);
            match levels.below(name) {
                0 => out.extend(value.get().as_bytes()),
                levels => {
                    let parts = objects.iter().filter_map(|object| object.get(name));
                    let parts: Vec<_> = parts.map(|part| part.get().as_bytes()).collect();
                    unite(&parts, Levels::Below(levels), out)?;
                }
            }
        }
    }
    all.end();
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members)
    }
}

/// Everything that is no object is refused here: `deserialize_map` would do it in words that make the
/// module 6 kB larger, for the numbers in them.
struct Members;

fn no_object<T, E: Error>() -> Result<T, E> {
    Err(E::custom("an object is needed"))
}

impl<'de> Visitor<'de> for Members {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        no_object()
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        no_object()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        no_object()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        no_object()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        no_object()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        no_object()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        no_object()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Text<'de>, &'de RawValue)> = Vec::new();
        while let Some((name, value)) = object.next_entry::<Text<'_>, _>()? {
            // Of a name that is there twice, the last one counts, as Go reads it.
            let is_full = members.len() == MAX_MEMBERS;
            match members.iter_mut().find(|(known, _)| **known == *name) {
                Some((_, known)) => *known = value,
                None if is_full => return Err(A::Error::custom("too many members")),
                None => members.push((name, value)),
            }
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn paths_and_components_of_all_are_there_and_the_first_wins() {
        let first = br#"{"openapi":"3.0.0","info":{"version":"new"},
            "paths":{"/a":{"get":1},"/b":{}},"components":{"schemas":{"S":{"max":18446744073709551615}}}}"#;
        let second = br#"{"openapi":"3.0.0","info":{"version":"old"},
            "paths":{"/a":{"get":2},"/c":{"put":3}},
            "components":{"schemas":{"S":{},"T":{}},"securitySchemes":{"B":{}}}}"#;
        let united = united(&[first, second]).unwrap();
        let expected = concat!(
            r#"{"openapi":"3.0.0","info":{"version":"new"},"#,
            r#""paths":{"/a":{"get":1},"/b":{},"/c":{"put":3}},"#,
            r#""components":{"schemas":{"S":{"max":18446744073709551615},"T":{}},"#,
            r#""securitySchemes":{"B":{}}}}"#
        );
        assert_eq!(String::from_utf8(united).unwrap(), expected);
    }

    #[test]
    fn of_a_name_that_is_there_twice_the_last_one_counts() {
        let twice = br#"{"paths":{"/a":1,"/a":2},"x":1,"paths":{"/b":3,"/b":4}}"#.as_slice();
        let united = united(&[twice, br#"{"paths":{"/c":5}}"#]).unwrap();
        assert_eq!(String::from_utf8(united).unwrap(), r#"{"paths":{"/b":4,"/c":5},"x":1}"#);
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        let document = br#"{"paths":{"/a":{}}}"#.as_slice();
        let many: Vec<_> = (0..=MAX_MEMBERS).map(|at| format!(r#""{at}":1"#)).collect();
        let many = format!("{{{}}}", many.join(","));
        for odd in [many.as_bytes(), b"", b"[]", b"{\"paths\":[]}", b"\xff", b"{\"paths\""] {
            assert!(united(&[document, odd]).is_err(), "{}", odd.escape_ascii());
        }
    }
}
