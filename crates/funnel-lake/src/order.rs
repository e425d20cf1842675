//! The order of sorted files, and the mark by which readers know it.

use std::collections::HashMap;

use deltalake::kernel::LogicalFileView;

/// The columns by which a closed day is sorted: ascending, nulls last. The first three are what
/// queries ask for, the others make the order the same whoever sorts.
pub(crate) const SORT_KEY: [&str; 8] = [
    "account_id",
    "visitor_id",
    "event_time",
    "event_id",
    "topic_uuid",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
];
/// How many columns of [`SORT_KEY`] a scan declares.
pub(crate) const DECLARED_COLUMNS: usize = 3;

/// The tag of a file's `add` action. Writers that rewrite a file do not know it and so drop it.
const TAG: &str = "funnel.sorted_by";
/// Its value; a file in another order has another one.
const TAG_VALUE: &str = "account_id,visitor_id,event_time";

/// The tags of a sorted file.
pub(crate) fn tags() -> HashMap<String, Option<String>> {
    HashMap::from([(TAG.to_owned(), Some(TAG_VALUE.to_owned()))])
}

/// Whether the log says that the file is sorted.
pub(crate) fn is_sorted(file: &LogicalFileView) -> bool {
    #[expect(deprecated, reason = "nothing else gives the tags of a file")]
    let tags = file.add_action().tags;
    let value = tags.as_ref().and_then(|tags| tags.get(TAG)?.as_deref());
    value == Some(TAG_VALUE)
}
