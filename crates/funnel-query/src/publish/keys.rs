//! What ties events together, whatever their days: the visitor, the ids of a chat, the participant.
//!
//! All that `events_enriched` and the views say about an event follows from the events it is tied
//! to by such keys, directly or over others. Events without any have no session, offer or chat.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, Int64Builder, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Columns that hold a key. The chat's come in the order in which one stands for the others.
const KINDS: [&str; 5] = [
    "visitor_id",
    "chat_session_key",
    "chat_key",
    "auth_conversation_id",
    "participant_id",
];

/// What has to be read of an event to know its keys, whose it is and of which day.
pub(super) const COLUMNS: [&str; 7] = [
    ID_COLUMNS[0],
    ID_COLUMNS[1],
    ID_COLUMNS[2],
    ID_COLUMNS[3],
    ID_COLUMNS[4],
    ID_COLUMNS[5],
    "event_date",
];

/// What the keys of an event are made from: its account, and a column of each kind.
pub(super) const ID_COLUMNS: [&str; 6] = [
    "account_id",
    KINDS[0],
    KINDS[1],
    KINDS[2],
    KINDS[3],
    KINDS[4],
];

/// The keys of the rows of a batch, one array per kind.
pub(super) struct RowKeys(Vec<Int64Array>);

impl RowKeys {
    pub(super) fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let accounts = texts(batch, "account_id")?;
        let ids = KINDS.iter().map(|name| texts(batch, name));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        Ok(Self::of_columns(&accounts, &ids))
    }

    /// Of the account and the ids of each kind, as [`ID_COLUMNS`] has them.
    pub(super) fn of_columns(accounts: &StringArray, ids: &[StringArray]) -> Self {
        let kind = |(name, ids): (&&str, &StringArray)| {
            // Rows of one visitor are mostly beside each other.
            let mut last: Option<((&str, &str), i64)> = None;
            let mut keys = Int64Builder::with_capacity(ids.len());
            for (account, id) in accounts.iter().zip(ids) {
                let (Some(account), Some(id)) = (account, id) else {
                    keys.append_null();
                    continue;
                };
                let known = last.filter(|(of, _)| *of == (account, id));
                let (_, key) =
                    *last.insert(known.unwrap_or_else(|| ((account, id), key(name, account, id))));
                keys.append_value(key);
            }
            keys.finish()
        };
        Self(KINDS.iter().zip(ids).map(kind).collect())
    }

    /// The arrays, one per kind.
    pub(super) fn kinds(&self) -> &[Int64Array] {
        &self.0
    }

    /// The keys of one row.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = i64> {
        let of_kind = move |keys: &Int64Array| keys.is_valid(row).then(|| keys.value(row));
        self.0.iter().filter_map(of_kind)
    }

    /// Of each row the first key that it has.
    pub(super) fn first(&self, rows: usize) -> Int64Array {
        (0..rows).map(|row| self.row(row).next()).collect()
    }
}

/// The key of a visitor, from an id as any source spells it.
pub(super) fn visitor(account: &str, id: &str) -> i64 {
    key(KINDS[0], account, id)
}

/// Two things with one key are recomputed together, which costs time and changes nothing.
fn key(kind: &str, account: &str, id: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    // Engagement History writes visitor ids in lower case.
    let lower = if kind == KINDS[0] {
        id.to_lowercase()
    } else {
        id.to_owned()
    };
    for part in [kind, account, &lower] {
        hasher.update(part.as_bytes());
        hasher.update(&[0x1f]);
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    i64::from_le_bytes(bytes)
}

/// A column of texts, in whatever form it is stored.
pub(super) fn texts(batch: &RecordBatch, name: &str) -> Result<StringArray, ArrowError> {
    let found = batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{name}`")))?;
    let column: ArrayRef = cast(found, &DataType::Utf8)?;
    Ok(column.as_string::<i32>().clone())
}
