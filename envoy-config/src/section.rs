//! One mapping of a YAML file, asked field by field: values come out, problems are noted with their
//! place, and what nobody asked for is unknown. Not serde's derive, which stops at the first problem.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_yaml_ng::{Mapping, Value};

use crate::problems::{Problem, Problems};

/// What came up while one file was read.
#[derive(Default)]
pub(crate) struct Reading {
    problems: RefCell<Vec<Problem>>,
    /// Every field that was asked for, as `servers[].address`: what the file may hold.
    asked: RefCell<BTreeSet<String>>,
}

impl Reading {
    pub(crate) fn problem(&self, place: impl Into<String>, what: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { place: place.into(), what: what.into() });
    }

    pub(crate) fn into_problems(self) -> Problems {
        Problems(self.problems.into_inner())
    }

    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }
}

/// One mapping. Each read takes its field out; `None` always means that a problem was noted.
pub(crate) struct Section<'a> {
    reading: &'a Reading,
    place: String,
    /// `place` without indices.
    kind: String,
    fields: Mapping,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The file as a whole.
    pub(crate) fn of_file(text: &str, reading: &'a Reading) -> Option<Self> {
        match serde_yaml_ng::from_str(text) {
            Ok(value) => Self::open(value, String::new(), String::new(), reading),
            Err(error) => {
                reading.problem("", format!("not YAML: {error}"));
                None
            }
        }
    }

    fn open(value: Value, place: String, kind: String, reading: &'a Reading) -> Option<Self> {
        match value {
            Value::Mapping(fields) => {
                Some(Self { reading, place, kind, fields, known: Vec::new() })
            }
            other => {
                reading.problem(place, format!("{} instead of fields", described(&other)));
                None
            }
        }
    }

    fn place_of(&self, field: &str) -> String {
        joined(&self.place, field)
    }

    /// Notes a problem with `field`.
    pub(crate) fn problem(&self, field: &str, what: impl Into<String>) {
        self.reading.problem(self.place_of(field), what);
    }

    /// Notes a problem with the section as a whole.
    pub(crate) fn problem_here(&self, what: impl Into<String>) {
        self.reading.problem(self.place.clone(), what);
    }

    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.reading.asked.borrow_mut().insert(joined(&self.kind, field));
        // A field without a value is one that is not there.
        self.fields.remove(field).filter(|value| !value.is_null())
    }

    fn missing<T>(&self, field: &str) -> Option<T> {
        self.problem(field, "missing");
        None
    }

    /// A text that must be there.
    pub(crate) fn required<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.optional(field, parse)?.or_else(|| self.missing(field))
    }

    /// A text that may be left out.
    pub(crate) fn optional<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let parsed = match self.take(field) {
            None => return Some(None),
            Some(Value::String(text)) => parse(&text),
            // Quotes alone do not make a duration of a number.
            Some(Value::Number(number)) => match parse(&number.to_string()) {
                Err(what) => Err(what),
                Ok(_) => Err(format!("{} instead of text", described(&Value::Number(number)))),
            },
            Some(other) => Err(format!("{} instead of text", described(&other))),
        };
        parsed.map_err(|what| self.problem(field, what)).ok().map(Some)
    }

    /// A text with a default.
    pub(crate) fn or<T>(
        &mut self,
        field: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        Some(self.optional(field, parse)?.unwrap_or(default))
    }

    /// `true` or `false`; `false` when left out.
    pub(crate) fn flag(&mut self, field: &'static str) -> Option<bool> {
        match self.take(field) {
            None => Some(false),
            Some(Value::Bool(flag)) => Some(flag),
            Some(other) => {
                self.problem(field, format!("{} instead of true or false", described(&other)));
                None
            }
        }
    }

    /// A section that may be left out.
    pub(crate) fn optional_section(&mut self, field: &'static str) -> Option<Option<Section<'a>>> {
        let Some(value) = self.take(field) else { return Some(None) };
        let kind = joined(&self.kind, field);
        Self::open(value, self.place_of(field), kind, self.reading).map(Some)
    }

    /// A section that must be there.
    pub(crate) fn section(&mut self, field: &'static str) -> Option<Section<'a>> {
        self.optional_section(field)?.or_else(|| self.missing(field))
    }

    /// A list of sections that must be there, with what could be opened in it.
    pub(crate) fn sections(&mut self, field: &'static str) -> Option<Vec<Section<'a>>> {
        let items = match self.take(field) {
            None => return self.missing(field),
            Some(Value::Sequence(items)) => items,
            Some(other) => {
                self.problem(field, format!("{} instead of a list", described(&other)));
                return None;
            }
        };
        let kind = format!("{}[]", joined(&self.kind, field));
        let place = self.place_of(field);
        let opened = items.into_iter().enumerate().filter_map(|(at, item)| {
            Self::open(item, format!("{place}[{at}]"), kind.clone(), self.reading)
        });
        Some(opened.collect())
    }

    /// Ends the reading of this section: a field that is left is unknown.
    pub(crate) fn close(self) {
        for (name, _) in &self.fields {
            let known = self.known.join(", ");
            let name = match name {
                Value::String(name) => name.clone(),
                other => described(other),
            };
            self.reading
                .problem(joined(&self.place, &name), format!("unknown, known here: {known}"));
        }
    }
}

fn joined(place: &str, field: &str) -> String {
    if place.is_empty() { field.to_owned() } else { format!("{place}.{field}") }
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => format!("{flag} (quotes make it text)"),
        Value::Number(number) => format!("the number {number} (quotes make it text)"),
        Value::String(text) => format!("the text {text:?}"),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(tagged) => format!("a value with the tag {}", tagged.tag),
    }
}
