//! Where two JSON values differ.

use serde_json::Value;

/// One place that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    /// Its JSON Pointer.
    pub pointer: String,
    /// What is there; none if nothing is.
    pub present: Option<Value>,
    /// What is wanted there; none for nothing.
    pub wanted: Option<Value>,
}

/// Every place where `wanted` differs from `present`, leaves only; lists are compared whole.
pub(super) fn differences(present: &Value, wanted: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    collect("", Some(present), Some(wanted), &mut found);
    found
}

fn collect(pointer: &str, present: Option<&Value>, wanted: Option<&Value>, found: &mut Vec<Difference>) {
    match (present, wanted) {
        (Some(Value::Object(present)), Some(Value::Object(wanted))) => {
            let names = present.keys().chain(wanted.keys().filter(|name| !present.contains_key(*name)));
            for name in names {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                collect(&pointer, present.get(name), wanted.get(name), found);
            }
        }
        (present, wanted) if is_nothing(present) && is_nothing(wanted) => {}
        (present, wanted) if present == wanted => {}
        (present, wanted) => found.push(Difference { pointer: pointer.to_owned(), present: present.cloned(), wanted: wanted.cloned() }),
    }
}

/// A field that is null says the same as one that is not there.
fn is_nothing(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_that_differ_are_found() {
        let present = json!({"a": 1, "b": {"c": [1, 2], "d": "x"}, "gone": true, "none": null});
        let wanted = json!({"a": 1, "b": {"c": [1], "d": "x"}, "new/er": "y"});
        let found: Vec<_> = differences(&present, &wanted).into_iter().map(|difference| difference.pointer).collect();
        assert_eq!(found, ["/b/c", "/gone", "/new~1er"]);
        assert!(differences(&present, &present).is_empty());
    }
}
