//! JSON of any shape -> its fields, texts borrowed from the document.
//!
//! One reader for every document: readers derived for each of their types would be a third of the
//! module. What is absent is as if it were `null`, as Go reads it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::merge::Text;

/// A value.
#[derive(Debug)]
pub(crate) enum Json<'a> {
    Null,
    Flag(bool),
    Number(f64),
    Text(Text<'a>),
    List(Vec<Json<'a>>),
    Object(Fields<'a>),
}

/// The fields of an object, in the order of the document.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a>(Vec<(Text<'a>, Json<'a>)>);

/// What is needed instead of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needed(pub(crate) &'static str);

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is needed", self.0)
    }
}

impl<'a> Json<'a> {
    pub(crate) fn text(self) -> Result<Text<'a>, Needed> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Null => Ok(Text::default()),
            _ => Err(Needed("a text")),
        }
    }

    /// `false` where there is none.
    pub(crate) fn flag(self) -> Result<bool, Needed> {
        match self {
            Self::Flag(flag) => Ok(flag),
            Self::Null => Ok(false),
            _ => Err(Needed("true or false")),
        }
    }

    pub(crate) fn number(self) -> Result<f64, Needed> {
        match self {
            Self::Number(number) => Ok(number),
            _ => Err(Needed("a number")),
        }
    }

    pub(crate) fn object(self) -> Result<Fields<'a>, Needed> {
        self.optional_object()?.ok_or(Needed("an object"))
    }

    pub(crate) fn optional_object(self) -> Result<Option<Fields<'a>>, Needed> {
        match self {
            Self::Object(fields) => Ok(Some(fields)),
            Self::Null => Ok(None),
            _ => Err(Needed("an object")),
        }
    }

    /// The items of a list, each as `read` reads it; `None` where there is no list.
    pub(crate) fn list<T>(
        self,
        read: fn(Json<'a>) -> Result<T, Needed>,
    ) -> Result<Option<Vec<T>>, Needed> {
        match self {
            Self::List(items) => items.into_iter().map(read).collect::<Result<_, _>>().map(Some),
            Self::Null => Ok(None),
            _ => Err(Needed("a list")),
        }
    }
}

impl<'a> Fields<'a> {
    /// Takes a field out.
    pub(crate) fn take(&mut self, name: &str) -> Json<'a> {
        match self.0.iter().rposition(|(found, _)| **found == *name) {
            Some(at) => self.0.swap_remove(at).1,
            None => Json::Null,
        }
    }

    /// Names of the fields that were not taken.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = (Text<'a>, Json<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Text::owned(text)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Json::Number(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = object.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(Fields(fields)))
    }
}
