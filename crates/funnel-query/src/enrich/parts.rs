//! Enriched rows in parts, so that what is computed over them needs the memory of a part only.

use hashbrown::HashMap;

use super::intern::NULL;
use super::row::Row;

/// `rows`, which have those of an account and of a visitor together, in parts of at least `least` rows,
/// by account and the first time of their visitors: a part has few accounts and few days. Visitors
/// with a conversation in common are in one part.
pub(super) fn split(rows: Vec<Row>, least: usize) -> Vec<Vec<Row>> {
    if rows.len() <= least {
        return vec![rows];
    }
    let visitors: Vec<&[Row]> = rows
        .chunk_by(|one, next| (one.account, one.visitor) == (next.account, next.visitor))
        .collect();
    let groups = groups(&visitors);
    let mut first: HashMap<usize, (usize, i64)> = HashMap::new();
    let (mut account, mut number) = (None, 0);
    for (visitor, group) in visitors.iter().zip(&groups) {
        let of = visitor.first().map(|row| row.account);
        number += usize::from(account != of);
        account = of;
        let begun = visitor.iter().map(|row| row.time).min();
        let begun = (number, begun.unwrap_or(i64::MAX));
        let first = first.entry(*group).or_insert(begun);
        *first = begun.min(*first);
    }
    let mut order: Vec<usize> = (0..visitors.len()).collect();
    order
        .sort_unstable_by_key(|visitor| (first.get(&groups[*visitor]), groups[*visitor], *visitor));
    let mut parts: Vec<Vec<Row>> = vec![Vec::new()];
    for together in order.chunk_by(|one, next| groups[*one] == groups[*next]) {
        if parts.last().is_some_and(|part| part.len() >= least) {
            parts.push(Vec::new());
        }
        for visitor in together {
            if let Some(part) = parts.last_mut() {
                part.extend_from_slice(visitors[*visitor]);
            }
        }
    }
    parts
}

/// For each visitor the first one that it is tied to by conversations.
fn groups(visitors: &[&[Row]]) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..visitors.len()).collect();
    let mut of_conversation = HashMap::new();
    for (visitor, rows) in visitors.iter().enumerate() {
        for row in rows.iter().filter(|row| row.conversation != NULL) {
            let other = *of_conversation.entry(row.conversation).or_insert(visitor);
            let (one, other) = (root(&groups, visitor), root(&groups, other));
            groups[one.max(other)] = one.min(other);
        }
    }
    (0..visitors.len())
        .map(|visitor| root(&groups, visitor))
        .collect()
}

/// Nobody stands behind one that is before it: it ends.
fn root(groups: &[usize], visitor: usize) -> usize {
    let mut found = visitor;
    while groups[found] != found {
        found = groups[found];
    }
    found
}
