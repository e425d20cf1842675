//! State of a table's log.
