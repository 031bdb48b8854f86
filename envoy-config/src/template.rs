//! Plain YAML with a few `{{names}}` → the same with their values.
//!
//! A name that stands alone on its line takes any number of lines, each with that line's indentation;
//! without any, the line goes away. What is put in is never looked at again, so a value that holds
//! `{{name}}` stays what it is.

/// Puts `values` in. A name without a value stays as it is, for a test to find.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    for line in template.lines() {
        match block(line, values) {
            Some((indentation, value)) => {
                for line in value.lines() {
                    let indentation = if line.is_empty() { "" } else { indentation };
                    filled.extend([indentation, line, "\n"]);
                }
            }
            None => {
                fill_line(line, values, &mut filled);
                filled.push('\n');
            }
        }
    }
    filled
}

/// `text` as a YAML scalar, whatever is in it: a JSON string is a double-quoted scalar.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn block<'a>(line: &'a str, values: &[(&str, &'a str)]) -> Option<(&'a str, &'a str)> {
    let name = line.trim_start().strip_prefix("{{")?.strip_suffix("}}")?;
    let (_, value) = values.iter().find(|(known, _)| *known == name)?;
    Some((line.split("{{").next()?, value))
}

fn fill_line(line: &str, values: &[(&str, &str)], filled: &mut String) {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let value = after.split_once("}}").and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((*value, after))
        });
        let Some((value, after)) = value else { break };
        filled.extend([before, value]);
        rest = after;
    }
    filled.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_on_its_line_takes_lines() {
        let filled = fill(
            "a:\n  {{b}}\nc: {{d}} {{d}}\n{{e}}\n",
            &[("b", "- 1\n\n- 2\n"), ("d", "3"), ("e", "")],
        );
        assert_eq!(filled, "a:\n  - 1\n\n  - 2\nc: 3 3\n");
    }

    #[test]
    fn what_is_put_in_is_not_looked_at_again() {
        assert_eq!(fill("x: {{a}}", &[("a", "{{b}}"), ("b", "no")]), "x: {{b}}\n");
    }

    #[test]
    fn a_quoted_text_stays_one_scalar() {
        for text in
            ["", "a: b", "\"", "\\", "# no comment", "- x", "{{y}}", "é\u{1f600}", "'", "*a", "%"]
        {
            let yaml = format!("[{}]", quoted(text));
            let read: Vec<String> = serde_yaml_ng::from_str(&yaml).unwrap();
            assert_eq!(read, [text]);
        }
    }
}
