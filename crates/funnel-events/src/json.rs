//! A borrowed JSON document: flat list of nodes in source order, strings and numbers as slices of
//! the input.
//!
//! Numbers stay text, so that an id never passes through a float. Every node remembers whether
//! somebody read it; what nobody read is what a record says beyond our columns.

mod number;
mod parse;

use std::borrow::Cow;
use std::cell::Cell;

pub(crate) use number::{decimal, integer};
pub(crate) use parse::parse;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    False,
    True,
    Number,
    String,
    Array,
    Object,
    /// A member's name; its value follows.
    Key,
}

#[derive(Debug)]
struct Node<'a> {
    kind: Kind,
    /// Position after the node's last descendant.
    end: u32,
    read: Cell<bool>,
    /// Text of strings and keys without escapes; source text of numbers.
    text: Cow<'a, str>,
}

/// One parsed record.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Document<'a> {
    pub(crate) fn root(&self) -> Value<'_, 'a> {
        Value {
            document: self,
            at: 0,
        }
    }

    fn node(&self, at: usize) -> &Node<'a> {
        // Positions come from the parser and always exist.
        &self.nodes[at]
    }
}

/// One value of a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'d, 'a> {
    document: &'d Document<'a>,
    at: usize,
}

impl<'d, 'a> Value<'d, 'a> {
    fn node(self) -> &'d Node<'a> {
        self.document.node(self.at)
    }

    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    /// Position in the document: the same value has the same position.
    pub(crate) fn position(self) -> usize {
        self.at
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    pub(crate) fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    pub(crate) fn is_array(self) -> bool {
        self.kind() == Kind::Array
    }

    /// Text of a string, source text of a number; empty for everything else.
    pub(crate) fn text(self) -> &'d str {
        &self.node().text
    }

    /// Says that the value has found its column.
    pub(crate) fn mark(self) {
        self.node().read.set(true);
    }

    /// Says so for the value and everything in it.
    pub(crate) fn mark_all(self) {
        let end = self.node().end as usize;
        for node in self.document.nodes.get(self.at..end).unwrap_or_default() {
            node.read.set(true);
        }
    }

    pub(crate) fn is_marked(self) -> bool {
        self.node().read.get()
    }

    /// Elements of an array; nothing for other values.
    pub(crate) fn items(self) -> Items<'d, 'a> {
        let end = if self.is_array() {
            self.node().end as usize
        } else {
            0
        };
        Items {
            document: self.document,
            at: self.at + 1,
            end,
        }
    }

    /// Members of an object; nothing for other values.
    pub(crate) fn members(self) -> Members<'d, 'a> {
        let end = if self.is_object() {
            self.node().end as usize
        } else {
            0
        };
        Members {
            document: self.document,
            at: self.at + 1,
            end,
        }
    }

    /// A member as sent.
    pub(crate) fn raw(self, key: &str) -> Option<Self> {
        self.members()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// A member that is not null, out of its Avro union.
    pub(crate) fn get(self, key: &str) -> Option<Self> {
        self.raw(key)
            .map(Self::unwrapped)
            .filter(|value| !value.is_null())
    }

    /// A member that is an object.
    pub(crate) fn object(self, key: &str) -> Option<Self> {
        self.get(key).filter(|value| value.is_object())
    }

    /// A member that is an array.
    pub(crate) fn array(self, key: &str) -> Option<Self> {
        self.get(key).filter(|value| value.is_array())
    }

    /// The branch of an Avro union in its JSON encoding: `{"string": x}` and `{"full.record.Name":
    /// {…}}` are x and the record. Other values are themselves.
    pub(crate) fn unwrapped(self) -> Self {
        let mut value = self;
        while let Some((branch, inner)) = value.only_member() {
            if !is_union_branch(branch) {
                break;
            }
            value = inner;
        }
        value
    }

    /// Whether the way from here down to the value at `position` leads through an array.
    pub(crate) fn holds_in_array(self, position: usize) -> bool {
        let mut value = self;
        loop {
            if value.at == position {
                return false;
            }
            if value.is_array() {
                return true;
            }
            let next = value
                .members()
                .map(|(_, member)| member)
                .find(|member| (member.at..member.node().end as usize).contains(&position));
            let Some(next) = next else { return false };
            value = next;
        }
    }

    fn only_member(self) -> Option<(&'d str, Self)> {
        let mut members = self.members();
        let first = members.next()?;
        members.next().is_none().then_some(first)
    }
}

/// Whether a member's name is a branch of an Avro union: a primitive or a record's full name.
fn is_union_branch(name: &str) -> bool {
    matches!(
        name,
        "string" | "long" | "int" | "double" | "float" | "boolean" | "bytes" | "array" | "map"
    ) || is_record_name(name)
}

/// `com.liveperson.dataaccess.Campaign`: dotted, and the last part begins with a capital letter.
fn is_record_name(name: &str) -> bool {
    name.starts_with("com.")
        && name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_uppercase()))
}

/// A member's name without the package of a record: `Conversation` of
/// `com.liveperson.dataaccess.Conversation`.
pub(crate) fn simple_name(name: &str) -> &str {
    if is_record_name(name) {
        name.rsplit('.').next().unwrap_or(name)
    } else {
        name
    }
}

#[derive(Debug)]
pub(crate) struct Items<'d, 'a> {
    document: &'d Document<'a>,
    at: usize,
    end: usize,
}

impl<'d, 'a> Iterator for Items<'d, 'a> {
    type Item = Value<'d, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let value = Value {
            document: self.document,
            at: self.at,
        };
        self.at = value.node().end as usize;
        Some(value)
    }
}

#[derive(Debug)]
pub(crate) struct Members<'d, 'a> {
    document: &'d Document<'a>,
    at: usize,
    end: usize,
}

impl<'d, 'a> Iterator for Members<'d, 'a> {
    type Item = (&'d str, Value<'d, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let key = self.document.node(self.at);
        let value = Value {
            document: self.document,
            at: self.at + 1,
        };
        self.at = value.node().end as usize;
        Some((&key.text, value))
    }
}
